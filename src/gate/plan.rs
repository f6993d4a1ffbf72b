//! What a run is asked to do, complete and valid before anything is created.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::pause::Pauses;
use super::topology;
use crate::delivery::{self, Inputs};
use crate::record::{Finding, RunId};
use crate::stack::{Delivery, Disturbance, Hook, Pair, Release, ReleaseError, Stack};
use crate::suite::Suite;

/// Whether what a run created stays after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It never stays.
    #[default]
    Never,
    /// It stays unless the gate is open.
    OnFailure,
    /// It always stays.
    Always,
}

/// What a run is asked to do.
pub struct Plan {
    /// The stack under test.
    pub stack: Stack,
    /// Release N and N+1, opened.
    pub pair: Pair,
    /// The suites whose checks are asked before and after.
    pub suites: Vec<Suite>,
    /// Whether what was created stays.
    pub keep: Keep,
    /// The Cluster's name.
    pub cluster: String,
    /// What is known to be wrong before anything is created: the gate closes on it in its preflight.
    pub known: Vec<Finding>,
    /// Where it stands still, for somebody to look.
    pub pauses: Pauses,
}

impl Plan {
    /// A plan whose charts are known to render.
    ///
    /// # Errors
    /// When a chart of one of the releases does not render: with the file and line of the template.
    pub fn new(
        stack: Stack,
        pair: Pair,
        suites: Vec<Suite>,
        keep: Keep,
        run: &RunId,
    ) -> Result<Self> {
        let cluster = format!("{}-{run}", stack.name);
        let plan = Self {
            stack,
            pair,
            suites,
            keep,
            cluster,
            known: Vec::new(),
            pauses: Pauses::default(),
        };
        let spec = &plan.stack.spec;
        if let Some(disturbance) = spec.upgrade.disturbance {
            anyhow::ensure!(
                disturbance == Disturbance::WorkerUnready || spec.delivery == Delivery::Operator,
                "spec.upgrade.disturbance {} is about the Cluster Stack Operator, and delivery {} does without it",
                disturbance.name(),
                spec.delivery.name(),
            );
        }
        let applies = |release: &Release, hook| !release.addons.stages(hook).is_empty();
        anyhow::ensure!(
            applies(&plan.pair.to, Hook::BeforeClusterUpgrade)
                || !applies(&plan.pair.from, Hook::AfterControlPlaneInitialized),
            "release {} has no stages for {}, so an upgrade to it would remove every addon of {}; \
             list the addons that stay in its clusteraddon.yaml",
            plan.pair.to.tag,
            Hook::BeforeClusterUpgrade.as_str(),
            plan.pair.from.tag,
        );
        for (release, hook) in plan.rendered() {
            plan.render(release, hook, run)
                .with_context(|| format!("failed to render release {}", release.tag))?;
        }
        Ok(plan)
    }

    /// What is rendered in the run.
    fn rendered(&self) -> impl Iterator<Item = (&Release, Hook)> {
        let first = Hook::AfterControlPlaneInitialized;
        self.pair
            .releases()
            .enumerate()
            .map(move |(position, release)| {
                let hook = if position == 0 {
                    first
                } else {
                    Hook::BeforeClusterUpgrade
                };
                (release, hook)
            })
    }

    /// A release's objects. The Cluster does not exist yet: its values are tried with the one that will be
    /// created.
    fn render(
        &self,
        release: &Release,
        hook: Hook,
        run: &RunId,
    ) -> Result<Vec<Value>, ReleaseError> {
        let namespace = namespace(run);
        let inputs = self.expected_inputs(&namespace, run);
        let mut objects = delivery::class(release, &namespace)?.objects;
        let addons = delivery::addons(release, hook, &inputs)?;
        objects.extend(addons.into_iter().flat_map(|addon| addon.objects));
        Ok(objects)
    }

    /// The Secrets that the releases bring.
    pub fn secrets<'a>(&'a self, run: &'a RunId) -> impl Iterator<Item = Value> + 'a {
        let objects = self
            .rendered()
            .flat_map(|(release, hook)| self.render(release, hook, run).unwrap_or_default());
        objects.filter(|object| object["kind"] == "Secret")
    }

    /// The Cluster as it is created from a release.
    pub(super) fn cluster_object(&self, release: &Release, namespace: &str, run: &RunId) -> Value {
        topology::cluster(
            &self.stack.spec,
            namespace,
            &self.cluster,
            &release.class_name,
            &release.kubernetes_version.to_string(),
            run.as_str(),
        )
    }

    fn expected_inputs(&self, namespace: &str, run: &RunId) -> Inputs {
        let cluster = self.cluster_object(self.pair.first(), namespace, run);
        expected_inputs(cluster)
    }

    /// How many worker Machines the topology asks for.
    pub(super) fn workers(&self) -> i64 {
        self.stack
            .spec
            .cluster
            .workers
            .iter()
            .map(|worker| i64::from(worker.replicas))
            .sum()
    }
}

/// What addon values are templated with as long as there is only a Cluster to be created: its control
/// plane and its infrastructure by name.
fn expected_inputs(cluster: Value) -> Inputs {
    let (name, namespace) = (
        &cluster["metadata"]["name"],
        &cluster["metadata"]["namespace"],
    );
    let part = |kind: &str, spec: Value| json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec});
    let replicas = &cluster["spec"]["topology"]["controlPlane"]["replicas"];
    Inputs {
        control_plane: part("KubeadmControlPlane", json!({"replicas": replicas})),
        infrastructure: part("InfrastructureCluster", json!({})),
        cluster,
    }
}

/// What the addon values of a stack's releases are templated with, as far as it is known without a
/// cluster: those of the Cluster that a run would create from release N.
#[must_use]
pub fn inputs_of(stack: &Stack, release: &Release) -> Inputs {
    expected_inputs(topology::cluster(
        &stack.spec,
        "default",
        &stack.name.to_string(),
        &release.class_name,
        &release.kubernetes_version.to_string(),
        "",
    ))
}

/// The run's own namespace on the management cluster.
#[must_use]
pub fn namespace(run: &RunId) -> String {
    format!("stackgate-{run}")
}
