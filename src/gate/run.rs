//! The order of a run: what happens in each phase, and what follows from it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt;
use futures::future::join;
use kube::Client;
use serde_json::Value;

use super::clusters;
use super::journey::Workload;
use super::phases::{Done, Phases};
use super::plan::{Keep, Plan};
use super::resumed::Beginning;
use super::resumption::Resumption;
use super::trouble::Trouble;
use crate::checks::{ManagementTarget, Shared, TOOLS_IMAGE, Target};
use crate::cluster::{Context, Recorded};
use crate::delivery;
use crate::engine::{Engine, Kept, Management};
use crate::probe::Probing;
use crate::record::{CheckResult, Effect, Outcome, Phase, Verdict, What};
use crate::stack::Release;
use crate::suite::{self, Acceptance, Memory, Place, Round};

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
pub(super) const PREFLIGHT: Duration = Duration::from_secs(60);

/// How often it is looked what containers use, and how long that may take.
const CONTAINERS: Duration = Duration::from_secs(10);

/// How long may be spent on what is told beside the verdict: it must not hold up the teardown.
const ASIDE: Duration = Duration::from_secs(30);

/// Under what name the machines' journals are kept as they were before the upgrade.
const BEFORE: &str = "before-upgrade";

/// Runs a plan on an engine, from preflight to teardown. Whatever happens in between, also a panic,
/// the teardown happens.
pub async fn run(plan: &Plan, context: &Context, engine: &dyn Engine) -> Ending {
    begin(plan, context, engine, None).await
}

/// Goes on with a run whose process is gone, from the phase after the last one that was finished, while its clusters
/// are there. Whatever happens in between, the teardown happens.
pub async fn resume(
    plan: &Plan,
    context: &Context,
    engine: &dyn Engine,
    resumption: &Resumption,
) -> Ending {
    begin(plan, context, engine, Some(resumption)).await
}

async fn begin(
    plan: &Plan,
    context: &Context,
    engine: &dyn Engine,
    resumption: Option<&Resumption>,
) -> Ending {
    let next = resumption.map_or(Phase::Preflight, |resumption| resumption.next);
    let phases = Phases::new(context, Some(engine))
        .pausing(&plan.pauses)
        .starting_at(next);
    let run = Run {
        plan,
        context,
        engine,
        phases: &phases,
        memory: Memory::default(),
        beginning: Beginning::default(),
        had: super::images::Had::default(),
        probing: OnceCell::new(),
        recorded: context.recording.as_ref().map(Recorded::new),
        followed: RefCell::default(),
        begun: Cell::new(false),
        resumption,
    };
    let judged = AssertUnwindSafe(async {
        let outcome = run.up_to_the_checks().await;
        phases.skip_rest();
        let (verdict, reason) = run.verdict(outcome).await;
        if verdict == Verdict::Open {
            // What was saved for the case that it is not has served.
            let _ = std::fs::remove_dir_all(run.machines());
        } else {
            run.save_what_only_the_machines_know(&run.machines()).await;
        }
        (verdict, reason)
    });
    let judged = async {
        tokio::select! {
            biased;
            judged = judged.catch_unwind() => judged,
            never = run.watch_containers() => match never {},
        }
    };
    let (mut verdict, mut reason) = judged
        .await
        .unwrap_or_else(|panic| run.without_verdict(panicked(&*panic).to_string()));
    let keep = match plan.keep {
        Keep::Never => false,
        Keep::OnFailure => verdict != Verdict::Open,
        Keep::Always => true,
    };
    let kept = run.tear_down(keep).await.unwrap_or_else(|trouble| {
        // What was shown stands, but a gate that leaves things behind is not one to go on from.
        if verdict == Verdict::Open {
            (verdict, reason) = run.without_verdict(format!("teardown: {trouble}"));
        }
        Vec::new()
    });
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

/// Whether a check's answer keeps the gate from being open.
fn counts_against(result: &CheckResult) -> bool {
    let bad = matches!(result.outcome, Outcome::Fail | Outcome::Abort);
    bad && result.effect() == Effect::Closes && result.accepted.is_none()
}

/// The results of the two rounds of checks.
pub(super) struct Checked {
    pub(super) before: Vec<CheckResult>,
    pub(super) after: Vec<CheckResult>,
}

pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) context: &'a Context,
    pub(super) engine: &'a dyn Engine,
    pub(super) phases: &'a Phases<'a>,
    /// What the checks before the upgrade saw, for those after it.
    pub(super) memory: Memory,
    /// What cannot be seen any more once the upgrade has begun.
    pub(super) beginning: Beginning,
    /// The images that nodes are known to have run, for all waits.
    pub(super) had: super::images::Had,
    /// What is measured, once there is a workload cluster.
    pub(super) probing: OnceCell<Probing>,
    /// The clusters that are being recorded.
    recorded: Option<Recorded>,
    /// The names of these.
    followed: RefCell<BTreeSet<&'static str>>,
    /// Whether the management cluster was begun.
    begun: Cell<bool>,
    /// Where another process had come to.
    pub(super) resumption: Option<&'a Resumption>,
}

impl Run<'_> {
    async fn up_to_the_checks(&self) -> Result<Checked, Trouble> {
        let timeouts = &self.plan.stack.spec.timeouts;
        let (from, to) = (&self.plan.pair.from, &self.plan.pair.to);
        if let Some(checked) = self.checked_before() {
            return Ok(checked);
        }
        if self.is_ahead(Phase::Preflight) {
            self.phases
                .pausing_run(Phase::Preflight, PREFLIGHT, async || self.preflight().await)
                .await?;
        }
        let deadline = timeouts.management.get();
        let management = if self.is_ahead(Phase::Management) {
            self.phases
                .pausing_run(Phase::Management, deadline, async || {
                    self.management().await
                })
                .await?
        } else {
            self.rejoin().await?
        };
        let all: Vec<&Release> = self.plan.pair.releases().collect();
        if self.is_ahead(Phase::Release) {
            let first = self.plan.pair.first();
            self.phases
                .pausing_run(Phase::Release, timeouts.release.get(), async || {
                    // Asking what the parts use takes a second, which nobody waits for like this.
                    let releases = [first];
                    let provided = self.provide(&management, &releases);
                    let (provided, ()) = join(provided, self.tell_properties()).await;
                    provided?;
                    Ok(((), Some(format!("ClusterClass {}", first.class_name))))
                })
                .await?;
        }
        let view = clusters::watch_management(&management, &self.plan.stack.spec);
        let create = async || {
            if let Some(start) = &self.plan.pair.start {
                let (workload, message) = self.by_way_of(start, &management, &view).await?;
                return Ok(((workload, None), message));
            }
            // N+1 is made available meanwhile; what is wrong with it is told when its turn comes.
            let (created, provided) = join(
                self.create(&management, &view),
                self.provide(&management, &all),
            )
            .await;
            let (workload, message) = created?;
            Ok(((workload, Some(provided)), message))
        };
        let creating = match self.plan.pair.start {
            Some(_) => timeouts.create.get() + timeouts.upgrade.get(),
            None => timeouts.create.get(),
        };
        let (mut workload, mut provided) = if self.is_ahead(Phase::Create) {
            self.phases
                .pausing_run(Phase::Create, creating, create)
                .await?
        } else {
            (self.found(&management).await?, None)
        };
        let check = timeouts.check.get() + suite::heavy(&self.plan.suites);
        let probing = self.probing.get_or_init(|| {
            let (spec, whole) = (&self.plan.stack.spec, !self.may_have_begun());
            Probing::new(self.context, &workload.client, spec, whole)
        });
        self.phases.tell_when_standing(probing.stillness());
        let before = if self.is_ahead(Phase::CheckBefore) {
            let before = async || {
                let checks =
                    self.check(Phase::CheckBefore, &management, &workload, from, None, &[]);
                let (checked, ()) = join(checks, probing.begin(&workload.view)).await;
                checked
            };
            let before = self
                .phases
                .pausing_run(Phase::CheckBefore, check, before)
                .await?;
            self.save_memory();
            before
        } else {
            self.answers_before()
        };
        let dropped = if self.is_ahead(Phase::Upgrade) {
            self.phases
                .pausing_run(Phase::Upgrade, timeouts.upgrade.get(), async || {
                    match provided.take() {
                        Some(provided) => provided?,
                        None => self.provide(&management, &all).await?,
                    }
                    if !self.is_ahead(Phase::CheckBefore) {
                        // Who measured is gone with its process.
                        probing.begin(&workload.view).await;
                    }
                    // What is known of machines that are replaced is gone at the end, and when the phase is begun again.
                    let before = self.machines().join(BEFORE);
                    let saved = async {
                        if !before.exists() {
                            self.save_what_only_the_machines_know(&before).await;
                        }
                    };
                    let upgraded = self.upgrade(&management, &view, &mut workload);
                    join(upgraded, saved).await.0
                })
                .await?
        } else {
            self.dropped(&management, &workload).await?
        };
        probing.upgraded();
        let stable = timeouts.stable.get();
        let after = self
            .phases
            .pausing_run(Phase::CheckAfter, check + stable, async || {
                let after = self.check(
                    Phase::CheckAfter,
                    &management,
                    &workload,
                    to,
                    Some(from),
                    &dropped,
                );
                // The checks run while the cluster is watched for what moves without being asked to.
                let (stayed, after) = join(self.stays(&view, &workload, stable), after).await;
                stayed?;
                after
            })
            .await?;
        Ok(Checked { before, after })
    }

    async fn preflight(&self) -> Result<Done<()>, Trouble> {
        if let Some(first) = self.plan.known.first() {
            for finding in &self.plan.known {
                self.context.emit(What::Finding(finding.clone()));
            }
            let more = match self.plan.known.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            return Err(Trouble::stack(format!(
                "{}: {}: {}{more}",
                first.cause, first.object, first.message
            )));
        }
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
        if self.begun.replace(true) {
            // What an earlier attempt left would be in the way.
            self.engine
                .teardown(&self.context.uninterrupted(), false)
                .await?;
        }
        let management = self.engine.management(self.context).await?;
        self.record("management", &management.client);
        let message = format!("namespace {}", management.namespace);
        Ok((management, Some(message)))
    }

    /// Records a cluster from now on, until the teardown.
    pub(super) fn record(&self, cluster: &'static str, client: &Client) {
        if let Some(recorded) = &self.recorded
            && self.followed.borrow_mut().insert(cluster)
        {
            recorded.follow(cluster, client);
        }
    }

    /// Records how the engine's containers are, where it has any, for as long as it is waited for.
    async fn watch_containers(&self) -> Infallible {
        while let Some(recording) = &self.context.recording {
            let looked = tokio::time::timeout(CONTAINERS, self.engine.containers()).await;
            let Some(used) = looked.unwrap_or(Some(Vec::new())) else {
                break;
            };
            for (container, used) in used {
                recording.used(&container, &used);
            }
            tokio::time::sleep(CONTAINERS).await;
        }
        std::future::pending().await
    }

    /// Ends the recording before the clusters go: that is not part of what happened to them.
    async fn end_recording(&self) {
        let Some(recorded) = &self.recorded else {
            return;
        };
        // What takes too long is left out.
        let _ = tokio::time::timeout(ASIDE, recorded.logs()).await;
        if let Err(error) = recorded.end() {
            self.context.note(format!("{error:#}"));
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
            ok_to_fail: &self.plan.stack.ok_to_fail,
            parameters: &Value::Null,
            shared: &Shared::with(self.engine.handshakes()),
        };
        let place = Place {
            engine: self.engine.name().to_owned(),
            surroundings: workload.surroundings(&release.tag.provider),
            kubeconfig: self.engine.workload_kubeconfig(),
            read_only: false,
        };
        let round = Round {
            suites: &self.plan.suites,
            accepted: Acceptance {
                entries: &self.plan.stack.spec.accepted,
                ok_to_fail: &self.plan.stack.ok_to_fail,
            },
            phase,
            place: &place,
            memory: &self.memory,
        };
        // It heeds an interruption by itself, and removes what its checks had created.
        let results = suite::run(&target, round).await;
        if self.context.interrupt.is_raised() {
            return Err(Trouble::Interrupted);
        }
        for failed in results.iter().filter(|result| counts_against(result)) {
            let what = format!("{} {}: {}", failed.outcome, failed.id, failed.message);
            self.phases.fails(phase, what);
        }
        let message = suite::tally(&results);
        Ok((results, Some(message)))
    }

    /// Facts about the environment, and what its parts use at this moment.
    pub(super) async fn tell_properties(&self) {
        let told = tokio::time::timeout(ASIDE, self.engine.properties()).await;
        for (name, value) in told.unwrap_or_default() {
            self.context.property(name, value);
        }
    }

    /// Where the run's folder holds what its machines know.
    fn machines(&self) -> PathBuf {
        self.context.recorder.path().with_file_name("nodes")
    }

    /// Node journals and container states, gone with the teardown. A failure here must not hide the
    /// one that is being reported.
    async fn save_what_only_the_machines_know(&self, folder: &Path) {
        let redactor = self.context.recorder.redactor();
        let collected = tokio::time::timeout(ASIDE, self.engine.collect(folder, redactor)).await;
        let failure = match collected {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it took too long".to_owned(),
        };
        self.context
            .note(format!("node logs could not be saved: {failure}"));
    }

    /// Removes what the run created, deaf to interruption.
    async fn tear_down(&self, keep: bool) -> Result<Vec<Kept>, Trouble> {
        // However the pause ends, it goes on: there is nothing else left to do.
        let _ = self.phases.stand_before(Phase::Teardown).await;
        let context = self.context.uninterrupted();
        let deadline = self.plan.stack.spec.timeouts.teardown.get();
        self.end_recording().await;
        // A second sample of what the clusters use, before they go.
        self.tell_properties().await;
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
        self.phases.run(Phase::Teardown, deadline, body).await
    }
}
