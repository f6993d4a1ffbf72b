//! The order of a run: what happens in each phase, and what follows from it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt;
use futures::future::join;
use kube::Client;
use serde_json::Value;

use super::causes::Causes;
use super::finished::{self, Goal};
use super::phases::{Done, Phases};
use super::plan::{Keep, Plan};
use super::trouble::Trouble;
use super::{clusters, comparison, topology};
use crate::checks::{ManagementTarget, TOOLS_IMAGE, Target};
use crate::cluster::{Applier, Apply, Context, Progress, View, kinds, stay, wait};
use crate::delivery::{self, Direct};
use crate::engine::{Engine, Kept, Management};
use crate::record::{Blocker, CheckResult, Counts, Finding, ObjectRef, Phase, Verdict, What};
use crate::stack::{Hook, Release, ReleaseError};
use crate::suite;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether the release may go out.
    pub verdict: Verdict,
    /// One sentence: the first cause, or what was shown.
    pub reason: String,
    /// What was kept, and how to reach it.
    pub kept: Vec<Kept>,
}

/// How long preflight may take: everything in it answers at once or not at all.
const PREFLIGHT: Duration = Duration::from_secs(60);

/// Runs a plan on an engine, from preflight to teardown. Whatever happens in between, also a panic,
/// the teardown happens.
pub async fn run(plan: &Plan, context: &Context, engine: &dyn Engine) -> Ending {
    let phases = Phases::new(context);
    let run = Run {
        plan,
        context,
        engine,
        phases: &phases,
    };
    let outcome = AssertUnwindSafe(run.up_to_the_checks())
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(Trouble::Infrastructure(panicked(&*panic))));
    phases.skip_rest();
    let (verdict, reason) = run.verdict(outcome).await;
    if verdict != Verdict::Open {
        run.save_what_only_the_machines_know().await;
    }
    let keep = match plan.keep {
        Keep::Never => false,
        Keep::OnFailure => verdict != Verdict::Open,
        Keep::Always => true,
    };
    let kept = run.tear_down(keep).await;
    Ending {
        verdict,
        reason,
        kept,
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    anyhow!("stackgate itself failed, which is a bug worth reporting: {text}")
}

/// The results of the two rounds of checks.
struct Checked {
    before: Vec<CheckResult>,
    after: Vec<CheckResult>,
}

/// The workload cluster, arrived at a release.
struct Workload {
    client: Client,
    view: View,
    goal: Goal,
    addons: Vec<delivery::AddonObjects>,
}

/// A release's addons, rendered for the run's Cluster, and where the Cluster has to arrive with them.
struct Prepared {
    addons: Vec<delivery::AddonObjects>,
    goal: Goal,
}

struct Run<'a> {
    plan: &'a Plan,
    context: &'a Context,
    engine: &'a dyn Engine,
    phases: &'a Phases<'a>,
}

impl Run<'_> {
    async fn up_to_the_checks(&self) -> Result<Checked, Trouble> {
        let timeouts = &self.plan.stack.spec.timeouts;
        let (from, to) = (&self.plan.pair.from, &self.plan.pair.to);
        self.phases
            .run(Phase::Preflight, PREFLIGHT, self.preflight())
            .await?;
        let management = self
            .phases
            .run(
                Phase::Management,
                timeouts.management.get(),
                self.management(),
            )
            .await?;
        self.phases
            .run(Phase::Release, timeouts.release.get(), async {
                self.provide(&management, from).await?;
                Ok(((), Some(format!("ClusterClass {}", from.class_name))))
            })
            .await?;
        let view = clusters::watch_management(&management);
        let create = async {
            // N+1 is made available meanwhile; what is wrong with it is told when its turn comes.
            let (created, provided) = join(
                self.create(&management, &view),
                self.provide(&management, to),
            )
            .await;
            let (workload, message) = created?;
            Ok(((workload, provided), message))
        };
        let (mut workload, provided) = self
            .phases
            .run(Phase::Create, timeouts.create.get(), create)
            .await?;
        let check = timeouts.check.get();
        let before = self
            .phases
            .run(
                Phase::CheckBefore,
                check,
                self.check(Phase::CheckBefore, &management, &workload, from, None, &[]),
            )
            .await?;
        let dropped = self
            .phases
            .run(Phase::Upgrade, timeouts.upgrade.get(), async {
                provided?;
                self.upgrade(&management, &view, &mut workload).await
            })
            .await?;
        let stable = timeouts.stable.get();
        let after = self.check(
            Phase::CheckAfter,
            &management,
            &workload,
            to,
            Some(from),
            &dropped,
        );
        let after = self
            .phases
            .run(Phase::CheckAfter, check + stable, async {
                // The checks run while the cluster is watched for what moves without being asked to.
                let (stayed, after) = join(self.stays(&view, &workload, stable), after).await;
                stayed?;
                after
            })
            .await?;
        Ok(Checked { before, after })
    }

    async fn preflight(&self) -> Result<Done<()>, Trouble> {
        let problems = self.engine.preflight().await;
        if problems.is_empty() {
            return Ok(((), None));
        }
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}; {}", problem.what, problem.remedy))
            .collect();
        Err(Trouble::Infrastructure(anyhow!("{}", lines.join("\n"))))
    }

    async fn management(&self) -> Result<Done<Management>, Trouble> {
        let management = self.engine.management(self.context).await?;
        for (name, value) in self.engine.properties().await {
            self.context.property(name, value);
        }
        let message = format!("namespace {}", management.namespace);
        Ok((management, Some(message)))
    }

    fn direct(&self, deadline: Duration) -> Direct<'_> {
        Direct {
            context: self.context,
            deadline,
        }
    }

    async fn provide(&self, management: &Management, release: &Release) -> Result<(), Trouble> {
        let class = delivery::class(release, &management.namespace).map_err(rendering)?;
        let direct = self.direct(self.plan.stack.spec.timeouts.release.get());
        Ok(direct
            .provide(&management.client, &management.namespace, &class)
            .await?)
    }

    fn goal(
        &self,
        management: &Management,
        release: &Release,
        addons: &[delivery::AddonObjects],
    ) -> Goal {
        let objects: Vec<Value> = delivery::applied(addons).cloned().collect();
        Goal {
            namespace: management.namespace.clone(),
            cluster: self.plan.cluster.clone(),
            class: release.class_name.clone(),
            version: release.kubernetes_version.to_string(),
            control_plane: self.plan.stack.spec.cluster.control_plane.replicas.into(),
            workers: self.plan.workers(),
            workloads: finished::workloads(&objects),
        }
    }

    /// Renders a release's addons with the management cluster's objects as they are now.
    async fn prepare(
        &self,
        management: &Management,
        release: &Release,
        hook: Hook,
    ) -> Result<Prepared, Trouble> {
        let left = self.phases.left();
        let inputs = clusters::inputs(self.context, management, &self.plan.cluster, left).await?;
        let addons = delivery::addons(release, hook, &inputs).map_err(rendering)?;
        let goal = self.goal(management, release, &addons);
        Ok(Prepared { addons, goal })
    }

    async fn create(
        &self,
        management: &Management,
        view: &View,
    ) -> Result<Done<Workload>, Trouble> {
        let release = &self.plan.pair.from;
        let cluster = self
            .plan
            .cluster_object(release, &management.namespace, &self.context.run);
        let applier = Applier::new("management", management.client.clone());
        let options = Apply {
            deadline: self.phases.left(),
            namespace: Some(&management.namespace),
            labels: &[],
            source: "stack.yaml",
        };
        applier.apply(self.context, &[cluster], options).await?;
        let (client, _) = clusters::connect(
            self.context,
            self.engine,
            management,
            &self.plan.cluster,
            self.phases.left(),
        )
        .await?;
        let workload = clusters::watch_workload(&client);
        let bare = self.goal(management, release, &[]);
        self.arrive("API server answers", &bare, view, &workload, |blockers| {
            blockers
                .retain(|blocker| blocker.condition == "cannot be watched on the workload cluster");
        })
        .await?;
        let hook = Hook::AfterControlPlaneInitialized;
        let prepared = self.prepare(management, release, hook).await?;
        let direct = self.direct(self.phases.left());
        direct.addons(&client, &prepared.addons, &[]).await?;
        self.nodes("nodes Ready", &prepared.goal, view, &workload)
            .await?;
        self.arrive("all settled", &prepared.goal, view, &workload, |_| {})
            .await?;
        self.versions("before", release, &prepared);
        let nodes = workload.list(&kinds::NODE).len();
        let message = format!("{nodes} nodes at {}", prepared.goal.version);
        let Prepared { addons, goal } = prepared;
        Ok((
            Workload {
                client,
                view: workload,
                goal,
                addons,
            },
            Some(message),
        ))
    }

    /// Addons, then the one patch, then everything that is not yet at N+1. Returns what N+1 dropped.
    async fn upgrade(
        &self,
        management: &Management,
        view: &View,
        workload: &mut Workload,
    ) -> Result<Done<Vec<Value>>, Trouble> {
        let release = &self.plan.pair.to;
        let prepared = self
            .prepare(management, release, Hook::BeforeClusterUpgrade)
            .await?;
        let direct = self.direct(self.phases.left());
        direct
            .addons(&workload.client, &prepared.addons, &workload.addons)
            .await?;
        topology::upgrade(
            &management.client,
            &self.plan.stack.spec,
            &management.namespace,
            &self.plan.cluster,
            &release.class_name,
            &prepared.goal.version,
        )
        .await?;
        self.nodes("nodes upgraded", &prepared.goal, view, &workload.view)
            .await?;
        self.arrive("all settled", &prepared.goal, view, &workload.view, |_| {})
            .await?;
        self.versions("after", release, &prepared);
        let dropped = delivery::dropped(
            delivery::applied(&workload.addons),
            delivery::applied(&prepared.addons),
        );
        let nodes = workload.view.list(&kinds::NODE).len();
        let message = format!("{nodes} nodes at {}", prepared.goal.version);
        workload.goal = prepared.goal;
        workload.addons = prepared.addons;
        Ok((dropped, Some(message)))
    }

    /// Waits until the nodes are there, Ready, at the goal's version: what people mean by "upgraded".
    async fn nodes(
        &self,
        what: &str,
        goal: &Goal,
        view: &View,
        workload: &View,
    ) -> Result<(), Trouble> {
        self.arrive(what, goal, view, workload, |blockers| {
            blockers.retain(|blocker| {
                matches!(blocker.object.kind.as_str(), "Node" | "Machine")
                    || blocker.condition.contains("nodes for")
                    || blocker.condition.contains("Machines, ")
            });
        })
        .await
    }

    async fn arrive(
        &self,
        what: &str,
        goal: &Goal,
        view: &View,
        workload: &View,
        only: impl Fn(&mut Vec<Blocker>),
    ) -> Result<(), Trouble> {
        let causes = Causes {
            context: self.context,
            goal,
            management: view,
            workload: Some(workload),
            engine: self.engine,
            seen: Mutex::default(),
        };
        let what = format!("{}: {what}", goal.cluster);
        wait(
            self.context,
            &what,
            self.phases.left(),
            &[view, workload],
            Some(&causes),
            || {
                let mut blockers = finished::blockers(goal, view, workload);
                only(&mut blockers);
                Progress::unless(blockers)
            },
        )
        .await?;
        Ok(())
    }

    /// Nothing moves any more: no Machine is replaced, and nothing that had arrived goes away for
    /// good. A workload that is briefly unavailable is waited for, and watched again.
    async fn stays(
        &self,
        view: &View,
        workload: &Workload,
        period: Duration,
    ) -> Result<(), Trouble> {
        let machines = || -> BTreeSet<String> {
            let machines = workload.goal.machines(view);
            machines
                .iter()
                .map(|machine| machine.str("/metadata/uid").to_owned())
                .collect()
        };
        let arrived = machines();
        loop {
            let violated = stay(self.context, period, &[view, &workload.view], || {
                finished::blockers(&workload.goal, view, &workload.view)
            })
            .await?;
            if machines() != arrived {
                return Err(unexpected_rollout(&workload.goal, &violated));
            }
            let Some(first) = violated.first() else {
                return Ok(());
            };
            self.context.note(format!("had arrived, but then: {first}"));
            self.arrive(
                "settled again",
                &workload.goal,
                view,
                &workload.view,
                |_| {},
            )
            .await?;
        }
    }

    async fn check(
        &self,
        phase: Phase,
        management: &Management,
        workload: &Workload,
        release: &Release,
        upgraded_from: Option<&Release>,
        dropped: &[Value],
    ) -> Result<Done<Vec<CheckResult>>, Trouble> {
        let addons: Vec<Value> = delivery::applied(&workload.addons).cloned().collect();
        let version = release.kubernetes_version.to_string();
        let from = upgraded_from.map(|release| release.kubernetes_version.to_string());
        let target = Target {
            context: self.context,
            workload: &workload.client,
            management: Some(ManagementTarget {
                client: &management.client,
                namespace: &management.namespace,
                cluster: &self.plan.cluster,
            }),
            kubernetes: &version,
            upgraded_from: from.as_deref(),
            addons: &addons,
            dropped,
            tools_image: TOOLS_IMAGE,
        };
        let accepted = &self.plan.stack.spec.accepted;
        // It heeds an interruption by itself, and removes what its checks had created.
        let results = suite::run(&target, &self.plan.suites, accepted, phase).await;
        if self.context.interrupt.is_raised() {
            return Err(Trouble::Interrupted);
        }
        let message = suite::tally(&results);
        Ok((results, Some(message)))
    }

    /// Facts for the reports that are known once a release has arrived.
    fn versions(&self, when: &str, release: &Release, prepared: &Prepared) {
        self.context.property(
            format!("kubernetes.{when}"),
            release.kubernetes_version.to_string(),
        );
        let network = prepared
            .addons
            .iter()
            .find(|addon| addon.stage.name.contains("cni"));
        let images = network
            .into_iter()
            .flat_map(|addon| &addon.objects)
            .filter_map(|object| {
                object
                    .pointer("/spec/template/spec/containers/0/image")?
                    .as_str()
            });
        for image in images.take(1) {
            self.context.property(format!("cni.{when}"), image);
        }
    }

    async fn verdict(&self, outcome: Result<Checked, Trouble>) -> (Verdict, String) {
        let failed = self.context.phase();
        let judge = async {
            let (verdict, reason, counts) = match outcome {
                Ok(checked) => self.compare(&checked),
                Err(trouble) => {
                    let verdict = match trouble {
                        Trouble::Stack { .. } => Verdict::Closed,
                        Trouble::Infrastructure(_) => Verdict::None,
                        Trouble::Interrupted => Verdict::Interrupted,
                    };
                    (verdict, format!("{failed}: {trouble}"), Counts::default())
                }
            };
            self.context.emit(What::Verdict {
                verdict,
                reason: reason.clone(),
                counts,
            });
            Ok(((verdict, reason), None))
        };
        self.phases
            .run(Phase::Verdict, PREFLIGHT, judge)
            .await
            .unwrap_or_else(|trouble| (Verdict::None, trouble.to_string()))
    }

    fn compare(&self, checked: &Checked) -> (Verdict, String, Counts) {
        let compared = comparison::compare(&checked.before, &checked.after);
        for one in &compared {
            self.context.emit(What::Compared {
                check: one.id.to_owned(),
                before: one.before.map(|result| result.outcome),
                after: one.after.map(|result| result.outcome),
                change: one.change,
            });
        }
        let (verdict, reason) = comparison::verdict(&compared);
        (verdict, reason, comparison::counts(&compared))
    }

    /// Node journals and container states, gone with the teardown. A failure here must not hide the
    /// one that is being reported.
    async fn save_what_only_the_machines_know(&self) {
        let folder = self.context.recorder.path().with_file_name("nodes");
        if let Err(error) = self.engine.collect(&folder).await {
            self.context
                .note(format!("node logs could not be saved: {error:#}"));
        }
    }

    /// Removes what the run created, deaf to interruption.
    async fn tear_down(&self, keep: bool) -> Vec<Kept> {
        let context = self.context.uninterrupted();
        let deadline = self.plan.stack.spec.timeouts.teardown.get();
        let body = async {
            let kept = self.engine.teardown(&context, keep).await?;
            let left = if keep {
                vec![]
            } else {
                self.engine.leftovers().await?
            };
            if left.is_empty() {
                let message = if keep { "kept" } else { "nothing left" };
                return Ok((kept, Some(message.to_owned())));
            }
            Err(Trouble::Infrastructure(anyhow!(
                "left behind: {}",
                left.join(", ")
            )))
        };
        self.phases
            .run(Phase::Teardown, deadline, body)
            .await
            .unwrap_or_default()
    }
}

fn rendering(error: ReleaseError) -> Trouble {
    Trouble::stack(error.to_string())
}

fn unexpected_rollout(goal: &Goal, evidence: &[Blocker]) -> Trouble {
    let finding = Finding {
        cause: "unexpected-rollout".to_owned(),
        message: format!(
            "Machines of {} are replaced although the upgrade to {} had arrived",
            goal.cluster, goal.version
        ),
        object: ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster),
        evidence: evidence.iter().map(ToString::to_string).collect(),
    };
    Trouble::Stack {
        message: finding.message.clone(),
        finding: Some(Box::new(finding)),
    }
}
