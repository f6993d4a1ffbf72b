//! The workload cluster's way: created from N, and moved to N+1.

use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::ahead::Ahead;
use super::causes::{Causes, Unseen};
use super::disturbance::Moment;
use super::finished::{self, Goal};
use super::operator::Providing;
use super::phases::Done;
use super::run::Run;
use super::start::Judged;
use super::trouble::Trouble;
use super::truth::{Expected, Truth};
use super::{clusters, topology};
use crate::cluster::{Applier, Apply, Progress, View, WaitError, blind, wait};
use crate::delivery::{self, Direct};
use crate::engine::Management;
use crate::record::Blocker;
use crate::stack::{Action, Delivery, Hook, Hooks, OperatorReleases, Release, ReleaseError};

/// How long the workload cluster may take to tell its kinds before an upgrade: who does not answer for
/// longer is looked at while nodes are waited for.
const KINDS: Duration = Duration::from_secs(45);

/// The workload cluster, arrived at a release.
pub(super) struct Workload {
    pub(super) client: Client,
    pub(super) view: View,
    pub(super) goal: Goal,
    pub(super) addons: Vec<delivery::AddonObjects>,
    /// The addons as they are, where another than stackgate brings them.
    pub(super) truth: Option<Truth>,
}

/// A release's addons, rendered for the run's Cluster, and where the Cluster has to arrive with them.
pub(super) struct Prepared {
    pub(super) addons: Vec<delivery::AddonObjects>,
    pub(super) goal: Goal,
}

/// What a wait looks at.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) goal: &'a Goal,
    pub(super) view: &'a View,
    workload: &'a View,
    pub(super) truth: Option<&'a Truth>,
    /// Whether no hook may be called meanwhile.
    unasked: bool,
    /// What was ready when the upgrade began.
    ahead: Option<&'a Ahead>,
}

impl<'a> Seen<'a> {
    pub(super) const fn of(goal: &'a Goal, view: &'a View, workload: &'a View) -> Self {
        Self {
            goal,
            view,
            workload,
            truth: None,
            unasked: false,
            ahead: None,
        }
    }

    pub(super) fn views(&self) -> Vec<&'a View> {
        let mut views = vec![self.view, self.workload];
        views.extend(self.truth.map(Truth::view));
        views
    }

    /// Everything that keeps the cluster from having arrived.
    pub(super) fn blockers(&self) -> Vec<Blocker> {
        let mut found = finished::blockers(self.goal, self.view, self.workload);
        found.extend(self.truth.into_iter().flat_map(Truth::blockers));
        found
    }
}

impl Run<'_> {
    fn operated(&self) -> bool {
        self.plan.stack.spec.delivery == Delivery::Operator
    }

    /// Makes the last of `releases` available beside the others.
    pub(super) async fn provide(
        &self,
        management: &Management,
        releases: &[&Release],
    ) -> Result<(), Trouble> {
        let Some(release) = releases.last() else {
            return Ok(());
        };
        let deadline = self.plan.stack.spec.timeouts.release.get();
        let (client, namespace) = (&management.client, management.namespace.as_str());
        if self.operated() {
            let provider = self.plan.stack.spec.provider_template.as_ref();
            let watched = delivery::operator_kinds(namespace, provider);
            let view = View::start("management", client, &watched);
            let looks = Providing {
                context: self.context,
                view: &view,
                namespace,
                release,
                fetches: self.fetches(),
                seen: Mutex::default(),
            };
            let operator = delivery::Operator::new(self.context, deadline, provider);
            return Ok(operator
                .provide(client, namespace, releases, &view, &looks)
                .await?);
        }
        let class = delivery::class(release, namespace).map_err(rendering)?;
        let direct = Direct::new(self.context, deadline, None);
        Ok(direct.provide(client, namespace, &class).await?)
    }

    /// Whether the operator fetches releases itself.
    fn fetches(&self) -> bool {
        let operator = self.plan.stack.spec.operator.as_ref();
        operator.is_some_and(|operator| operator.releases == OperatorReleases::Remote)
    }

    fn goal(
        &self,
        management: &Management,
        release: &Release,
        addons: &[delivery::AddonObjects],
    ) -> Goal {
        let stages = addons
            .iter()
            .filter(|one| one.stage.action == Action::Apply);
        let workloads = stages.flat_map(|one| {
            let named = |place| (one.stage.name.clone(), place);
            finished::workloads(&one.objects).into_iter().map(named)
        });
        Goal {
            namespace: management.namespace.clone(),
            cluster: self.plan.cluster.clone(),
            class: release.class_name.clone(),
            version: release.kubernetes_version.to_string(),
            control_plane: self.plan.stack.spec.cluster.control_plane.replicas.into(),
            workers: self.plan.workers(),
            workloads: workloads.collect(),
            from: None,
            operator: self.operated(),
            fetches: self.fetches(),
        }
    }

    /// Renders a release's addons with the management cluster's objects as they are now.
    pub(super) async fn prepare(
        &self,
        management: &Management,
        release: &Release,
        hook: Hook,
    ) -> Result<Prepared, Trouble> {
        let left = self.phases.left();
        let inputs = clusters::inputs(self.context, management, &self.plan.cluster, left).await?;
        let addons = if self.operated() {
            delivery::expected(release, hook, &inputs)
        } else {
            delivery::addons(release, hook, &inputs)
        };
        let addons = addons.map_err(rendering)?;
        let goal = self.goal(management, release, &addons);
        Ok(Prepared { addons, goal })
    }

    /// A Cluster of a release, up to where its API server answers and its addons are known.
    pub(super) async fn begin(
        &self,
        release: &Release,
        management: &Management,
        view: &View,
    ) -> Result<Workload, Trouble> {
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
        let client = clusters::connect(
            self.context,
            self.engine,
            management,
            &self.plan.cluster,
            self.phases.left(),
        )
        .await?;
        self.record("workload", &client);
        let workload = clusters::watch_workload(&client);
        let bare = self.goal(management, release, &[]);
        let seen = Seen::of(&bare, view, &workload);
        self.arrive("API server answers", seen, |blockers| {
            blockers
                .retain(|blocker| blocker.condition == "cannot be watched on the workload cluster");
        })
        .await?;
        let hook = Hook::AfterControlPlaneInitialized;
        let Prepared { addons, goal } = self.prepare(management, release, hook).await?;
        Ok(Workload {
            client,
            view: workload,
            goal,
            addons,
            truth: None,
        })
    }

    /// Waits until both clusters are seen, as it may be a while since anybody looked.
    pub(super) async fn sees(&self, view: &View, workload: &Workload) -> Result<(), Trouble> {
        let what = format!("{}: seen", workload.goal.cluster);
        let (left, views) = (self.phases.left(), [view, &workload.view]);
        let unseen = Unseen {
            context: self.context,
            goal: &workload.goal,
            management: view,
            workload: &workload.view,
            engine: self.engine,
            seen: Mutex::default(),
        };
        let blind = || views.into_iter().flat_map(blind).collect();
        wait(self.context, &what, left, &views, Some(&unseen), || {
            Progress::unless(blind())
        })
        .await?;
        Ok(())
    }

    /// Brings a Cluster that has begun to where everything of its release is there.
    pub(super) async fn settle(
        &self,
        release: &Release,
        view: &View,
        workload: &mut Workload,
    ) -> Result<Done<()>, Trouble> {
        let (client, addons) = (&workload.client, &workload.addons);
        let mut seen = Seen::of(&workload.goal, view, &workload.view);
        if !self.operated() {
            let causes = self.causes(seen);
            Direct::new(self.context, self.phases.left(), Some(&causes))
                .addons(client, addons, &[])
                .await?;
        }
        self.nodes("nodes Ready", seen).await?;
        self.arrive("all settled", seen, |_| {}).await?;
        let truth = self.truth(client, release, addons, &[], true).await?;
        seen.truth = truth.as_ref();
        self.arrive("addons as rendered", seen, |_| {}).await?;
        if release.tag == self.plan.pair.from.tag {
            self.versions("before", release, addons, &workload.view);
        }
        workload.truth = truth;
        Ok(((), Some(workload.summary())))
    }

    /// Addons, then the one patch, then everything that is not yet at the release. Returns what the release dropped.
    /// Where it is the upgrade, it is `judged` by what it began with.
    pub(super) async fn move_to(
        &self,
        release: &Release,
        management: &Management,
        view: &View,
        workload: &mut Workload,
        judged: Option<Judged<'_>>,
    ) -> Result<Done<Vec<Value>>, Trouble> {
        let mut prepared = self
            .prepare(management, release, Hook::BeforeClusterUpgrade)
            .await?;
        let held = self.operated() && release.addons.is_staged();
        prepared.goal.from = held.then(|| workload.goal.version.clone());
        let (client, before) = (&workload.client, &workload.addons);
        let uncalled = self.plan.stack.spec.upgrade.hooks == Hooks::Uncalled;
        let mut seen = Seen {
            unasked: judged.is_some() && uncalled,
            ahead: judged.and_then(|judged| judged.ahead),
            ..Seen::of(&prepared.goal, view, &workload.view)
        };
        let rendered = &prepared.addons;
        let on_its_way = self.truth(client, release, rendered, before, false).await?;
        if !self.operated() {
            let causes = self.causes(seen);
            Direct::new(self.context, self.phases.left(), Some(&causes))
                .addons(client, &prepared.addons, before)
                .await?;
        }
        topology::upgrade(
            &management.client,
            &self.plan.stack.spec,
            &management.namespace,
            &self.plan.cluster,
            &release.class_name,
            &prepared.goal.version,
        )
        .await?;
        seen.truth = on_its_way.as_ref();
        if self.operated() {
            // For as long the hook before the upgrade keeps the nodes where they are.
            let asked = Instant::now();
            if let Some(Judged { machines, .. }) = judged {
                let causes = self.causes(seen);
                self.disturb(Moment::Addons, machines, &prepared.goal, view, &causes)
                    .await?;
            }
            self.arrive("addons applied by the operator", seen, |blockers| {
                blockers.retain(|blocker| blocker.object.kind == "ClusterAddon");
            })
            .await?;
            let seconds = asked.elapsed().as_secs();
            self.context
                .property("addons.applied-after", format!("{seconds} s"));
        }
        if let Some(Judged { machines, .. }) = judged {
            let causes = self.causes(seen);
            self.disturb(Moment::Machines, machines, &prepared.goal, view, &causes)
                .await?;
        }
        self.nodes("nodes upgraded", seen).await?;
        self.arrive("all settled", seen, |_| {}).await?;
        // Whatever kinds the release brings are served by now.
        let truth = self.truth(client, release, rendered, before, true).await?;
        seen.truth = truth.as_ref();
        self.arrive("addons as rendered", seen, |_| {}).await?;
        // What is not judged is the way to N.
        let when = if judged.is_some() { "after" } else { "before" };
        self.versions(when, release, rendered, &workload.view);
        let dropped = delivery::dropped(
            delivery::applied(before),
            delivery::applied(&prepared.addons),
        );
        workload.goal = prepared.goal;
        workload.addons = prepared.addons;
        workload.truth = truth;
        Ok((dropped, Some(workload.summary())))
    }

    /// Watches the addons that a release renders, where another than stackgate brings them.
    pub(super) async fn truth(
        &self,
        client: &Client,
        release: &Release,
        addons: &[delivery::AddonObjects],
        before: &[delivery::AddonObjects],
        complete: bool,
    ) -> Result<Option<Truth>, Trouble> {
        if !self.operated() {
            return Ok(None);
        }
        let all = |addons| delivery::applied(addons).cloned().collect::<Vec<Value>>();
        let (rendered, before) = (all(addons), all(before));
        let dropped = delivery::dropped(&before, &rendered);
        let expected = Expected {
            tag: &release.tag.to_string(),
            rendered: &rendered,
            dropped: &dropped,
            before: &before,
        };
        let left = self.phases.left();
        let deadline = if complete { left } else { left.min(KINDS) };
        let truth = Truth::watch(self.context, client, expected, complete, deadline).await?;
        Ok(Some(truth))
    }

    /// Waits until the nodes are there, Ready, at the goal's version: what people mean by "upgraded".
    async fn nodes(&self, what: &str, seen: Seen<'_>) -> Result<(), Trouble> {
        self.arrive(what, seen, |blockers| {
            blockers.retain(|blocker| {
                let kind = blocker.object.kind.as_str();
                matches!(kind, "Node" | "Machine" | "ClusterAddon")
                    || blocker.condition.contains("nodes for")
                    || blocker.condition.contains("Machines, ")
            });
            // What nodes wait for: without addons none is Ready, or moves on.
            blockers.sort_by_key(|blocker| blocker.object.kind != "ClusterAddon");
        })
        .await
    }

    /// What looks closer at whatever keeps the cluster from arriving.
    fn causes<'c>(&'c self, seen: Seen<'c>) -> Causes<'c> {
        Causes {
            context: self.context,
            goal: seen.goal,
            management: seen.view,
            workload: Some(seen.workload),
            truth: seen.truth,
            unasked: seen.unasked,
            ahead: seen.ahead,
            applied: Mutex::default(),
            engine: self.engine,
            seen: Mutex::default(),
            had: &self.had,
        }
    }

    pub(super) async fn arrive(
        &self,
        what: &str,
        seen: Seen<'_>,
        only: impl Fn(&mut Vec<Blocker>),
    ) -> Result<(), Trouble> {
        let causes = self.causes(seen);
        if !self.operated() {
            // By now all of them are.
            let applied = causes.applied.lock();
            let mut applied = applied.unwrap_or_else(std::sync::PoisonError::into_inner);
            applied.extend(seen.goal.workloads.iter().map(|(_, place)| place.clone()));
        }
        let what = format!("{}: {what}", seen.goal.cluster);
        let left = self.phases.left();
        wait(
            self.context,
            &what,
            left,
            &seen.views(),
            Some(&causes),
            || {
                if let Some(ahead) = seen.ahead {
                    ahead.look(self.context, seen.goal, seen.view, seen.workload);
                }
                let mut blockers = seen.blockers();
                only(&mut blockers);
                Progress::unless(blockers)
            },
        )
        .await?;
        // What has come back was away all the same.
        match seen.ahead.and_then(Ahead::proven) {
            Some(finding) => Err(WaitError::Cause(Box::new(finding)).into()),
            None => Ok(()),
        }
    }
}

fn rendering(error: ReleaseError) -> Trouble {
    Trouble::stack(error.to_string())
}
