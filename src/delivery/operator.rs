//! Delivery `operator`: the Cluster Stack Operator is told which releases there are to be, and does the
//! rest. Stackgate waits, and reads what the operator says of it.

use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};

use super::direct::DeliveryError;
use super::told::{provided, untrue};
use crate::cluster::{
    Applier, Apply, Context, Investigate, Kind, Object, Progress, View, kinds, wait,
};
use crate::record::{Blocker, ObjectRef};
use crate::stack::{OPERATOR_NAMESPACE, ProviderTemplate, Release};

/// The releases of one ClusterStack share provider, name and minor of Kubernetes.
const API: &str = "clusterstack.x-k8s.io/v1alpha1";

/// What has to be watched to know how the operator is getting on, in a run's namespace, with the objects of a provider
/// of node images.
#[must_use]
pub fn operator_kinds<'n>(
    namespace: &'n str,
    provider: Option<&ProviderTemplate>,
) -> Vec<(Kind, &'n str)> {
    let provided = provider.and_then(|one| provided(&one.api_version, one.provided()));
    let kinds = [
        (kinds::CLUSTER_STACK, namespace),
        (kinds::CLUSTER_STACK_RELEASE, namespace),
        (kinds::CLUSTER_CLASS, namespace),
        (kinds::CLUSTER_ADDON, namespace),
        (kinds::POD, OPERATOR_NAMESPACE),
    ];
    let provided = provided.map(|kind| (kind, namespace));
    kinds.into_iter().chain(provided).collect()
}

/// The name of a Cluster's ClusterAddon.
#[must_use]
pub fn addon_name(cluster: &str) -> String {
    format!("cluster-addon-{cluster}")
}

/// Has releases provided by the operator.
pub struct Operator<'a> {
    context: &'a Context,
    deadline: Duration,
    provider: Option<&'a ProviderTemplate>,
}

impl<'a> Operator<'a> {
    /// A delivery whose every step has to be through within `deadline` (scaled by the context), with node images of a
    /// provider if one is given.
    #[must_use]
    pub const fn new(
        context: &'a Context,
        deadline: Duration,
        provider: Option<&'a ProviderTemplate>,
    ) -> Self {
        Self {
            context,
            deadline,
            provider,
        }
    }

    /// Makes the last of `releases` available beside the others: lists it in the ClusterStack of its
    /// minor of Kubernetes with those that belong there, and waits until the operator says that it is
    /// ready, its ClusterClass is there, and Cluster API has reconciled that. `view` watches
    /// [`operator_kinds`].
    ///
    /// # Errors
    /// When the ClusterStack is refused or the release is not ready in time.
    pub async fn provide(
        &self,
        management: &Client,
        namespace: &str,
        releases: &[&Release],
        view: &View,
        investigator: &dyn Investigate,
    ) -> Result<(), DeliveryError> {
        let Some(release) = releases.last() else {
            return Ok(());
        };
        let stack = cluster_stack(release, releases, namespace, self.provider);
        let template = self.provider.map(|provider| provider.object(namespace));
        let options = Apply {
            deadline: self.deadline,
            namespace: Some(namespace),
            labels: &[("stackgate/run", self.context.run.as_str())],
            source: "stack.yaml",
        };
        let applier = Applier::new("management", management.clone());
        // The operator makes the provider's objects of the template as soon as it sees the ClusterStack.
        for object in template.into_iter().chain([stack]) {
            applier.apply(self.context, &[object], options).await?;
        }
        let what = format!("ClusterStackRelease {} ready", release.tag);
        let looks = Some(investigator);
        wait(self.context, &what, self.deadline, &[view], looks, || {
            let mut blockers = unready(view, namespace, release);
            let untrue = untrue(view, namespace, &release.class_name);
            blockers.extend(untrue.into_iter().map(|one| one.blocker));
            Progress::unless(blockers)
        })
        .await?;
        Ok(())
    }
}

/// The ClusterStack of a release, which lists those of `releases` that belong to it.
fn cluster_stack(
    release: &Release,
    releases: &[&Release],
    namespace: &str,
    provider: Option<&ProviderTemplate>,
) -> Value {
    let tag = &release.tag;
    let together = releases.iter().filter(|one| one.tag.stem() == tag.stem());
    let mut versions: Vec<String> = together.map(|one| one.tag.version.dotted()).collect();
    versions.dedup();
    let stable = versions.iter().all(|version| !version.contains('-'));
    let mut object = json!({
        "apiVersion": API,
        "kind": "ClusterStack",
        "metadata": {"name": tag.stem(), "namespace": namespace},
        "spec": {
            "provider": tag.provider,
            "name": tag.stack,
            "kubernetesVersion": format!("{}.{}", tag.major, tag.minor),
            "channel": if stable { "stable" } else { "custom" },
            "autoSubscribe": false,
            "noProvider": provider.is_none(),
            "versions": versions,
        },
    });
    if let Some(provider) = provider {
        object["spec"]["providerRef"] = provider.reference();
    }
    object
}

/// What keeps a release from being there for Clusters.
fn unready(view: &View, namespace: &str, release: &Release) -> Vec<Blocker> {
    let tag = release.tag.to_string();
    let Some(live) = view.get(&kinds::CLUSTER_STACK_RELEASE, namespace, &tag) else {
        let stack = view.get(&kinds::CLUSTER_STACK, namespace, &release.tag.stem());
        let mut blockers: Vec<Blocker> = stack.iter().flat_map(|stack| unmet(stack)).collect();
        blockers.push(absent("ClusterStackRelease", namespace, &tag));
        return blockers;
    };
    let mut blockers = unmet(&live);
    if !live.bool("/status/ready") {
        blockers.push(live.blocker("status.ready is not true"));
    }
    let wanted = release.kubernetes_version.to_string();
    let told = live.str("/status/kubernetesVersion");
    if !told.is_empty() && told != wanted {
        let said = format!("/status/kubernetesVersion is {told}, not {wanted}");
        blockers.push(live.blocker(said));
    }
    match view.get(&kinds::CLUSTER_CLASS, namespace, &release.class_name) {
        None => blockers.push(absent("ClusterClass", namespace, &release.class_name)),
        Some(class) if !class.is_observed() => {
            blockers.push(class.blocker("latest spec not yet seen by its controller"));
        }
        Some(class) => blockers.extend(class.unless_true("VariablesReady")),
    }
    blockers
}

fn absent(kind: &str, namespace: &str, name: &str) -> Blocker {
    Blocker::new(
        ObjectRef::new("management", kind, namespace, name),
        "missing",
    )
}

/// The conditions of an object of the operator's that are False; the one that sums up the others comes
/// last.
#[must_use]
pub fn unmet(object: &Object) -> Vec<Blocker> {
    let conditions = object.array("/status/conditions").iter();
    let failed = conditions.filter(|condition| condition["status"] == "False");
    let mut kinds: Vec<&str> = failed
        .filter_map(|condition| condition["type"].as_str())
        .collect();
    kinds.sort_by_key(|kind| *kind == "Ready");
    let blockers = kinds
        .into_iter()
        .filter_map(|kind| object.unless_true(kind));
    blockers.collect()
}

/// What a Cluster's ClusterAddon does not yet say of its having arrived at a class. That it says all of
/// this is still a claim.
#[must_use]
pub fn unclaimed(view: &View, namespace: &str, cluster: &str, class: &str) -> Vec<Blocker> {
    let name = addon_name(cluster);
    let Some(addon) = view.get(&kinds::CLUSTER_ADDON, namespace, &name) else {
        return vec![absent("ClusterAddon", namespace, &name)];
    };
    let mut blockers = unmet(&addon);
    let said = |what: String| addon.blocker(what);
    for stage in addon.array("/status/stages") {
        let text = |field: &str| stage[field].as_str().unwrap_or_default().to_owned();
        // Those that are done say nothing of what is waited for.
        if text("phase") != "done" {
            blockers.push(said(format!("stage {} is {}", text("name"), text("phase"))));
        }
    }
    let hook = addon.str("/spec/hook");
    if !hook.is_empty() {
        blockers.push(said(format!("/spec/hook is still {hook}")));
    }
    if blockers
        .iter()
        .all(|one| !one.condition.starts_with("HelmChartApplied"))
    {
        blockers.extend(addon.unless_true("HelmChartApplied"));
    }
    let at = addon.str("/spec/clusterStack");
    if at != class {
        let at = if at.is_empty() { "not set" } else { at };
        blockers.push(said(format!("/spec/clusterStack is {at}, not {class}")));
    }
    if blockers.is_empty() && !addon.array("/status/stages").is_empty() {
        blockers.push(said("status.stages is not empty".to_owned()));
    }
    if !addon.bool("/status/ready") {
        blockers.push(said("status.ready is not true".to_owned()));
    }
    blockers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(addon: Value) -> View {
        View::holding("management", &[(kinds::CLUSTER_ADDON, addon)])
    }

    fn addon() -> Value {
        json!({
            "kind": "ClusterAddon",
            "metadata": {"name": "cluster-addon-c", "namespace": "n"},
            "spec": {"clusterStack": "docker-demo-1-35-v1", "version": "v1", "hook": ""},
            "status": {"ready": true, "stages": [], "conditions": [
                {"type": "HelmChartApplied", "status": "True"}, {"type": "Ready", "status": "True"}]},
        })
    }

    fn told(addon: Value) -> Vec<String> {
        let blockers = unclaimed(&view(addon), "n", "c", "docker-demo-1-35-v1");
        blockers.into_iter().map(|one| one.condition).collect()
    }

    #[test]
    fn every_part_of_the_claim_has_to_be_there() {
        assert!(told(addon()).is_empty());
        for (pointer, value, said) in [
            (
                "/spec/clusterStack",
                json!("docker-demo-1-34-v1"),
                "/spec/clusterStack is docker-demo-1-34-v1, not docker-demo-1-35-v1",
            ),
            (
                "/spec/clusterStack",
                json!(""),
                "/spec/clusterStack is not set, not docker-demo-1-35-v1",
            ),
            (
                "/spec/hook",
                json!("BeforeClusterUpgrade"),
                "/spec/hook is still BeforeClusterUpgrade",
            ),
            ("/status/ready", json!(false), "status.ready is not true"),
            (
                "/status/conditions/0/status",
                json!("False"),
                "HelmChartApplied False",
            ),
            (
                "/status/conditions/0/type",
                json!("Other"),
                "HelmChartApplied not reported",
            ),
            (
                "/status/stages",
                json!([{"name": "cni", "phase": "Pending"}]),
                "stage cni is Pending",
            ),
            ("/status/conditions/1/status", json!("False"), "Ready False"),
        ] {
            let mut changed = addon();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert_eq!(told(changed), [said], "{pointer}");
        }
        let none = View::holding("management", &[]);
        assert_eq!(unclaimed(&none, "n", "c", "x")[0].condition, "missing");
    }
}
