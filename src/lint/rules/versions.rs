//! Versions: of Kubernetes from N to N+1, of the releases, and of what has to keep pace with Kubernetes.

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{by_identity, reference, text};
use super::super::rule::{OPERATOR, rules};
use super::super::subject::{Item, Side, Subject};
use super::images::images;
use crate::stack::{Hook, Image, Version, network};

const SKEW: &str = "https://kubernetes.io/releases/version-skew-policy/";

rules! {
    KUBERNETES_STEP = "kubernetes-step", Must, Anyone, SKEW, [],
        "Kubernetes stays or moves up by one minor version, within one provider and stack",
        "kubeadm, Cluster API and the operator's webhook refuse to skip a minor version or to go back, and to change the stack",
        "release the minor versions in between";
    RELEASE_NOT_NEWER = "release-not-newer", Should, Operator, OPERATOR, [],
        "N+1 counts as newer than N where both are of one minor version",
        "the operator compares the number, then the patch as text, and does not compare channels: alpha.10 comes before alpha.9",
        "raise the number of the version";
    CHANNEL_UNSTABLE = "channel-unstable", May, Operator, OPERATOR, [],
        "the releases are of the stable channel",
        "of other channels the operator compares dot against dash, and tries to delete releases in use; its webhook refuses that, for ever",
        "try such releases, and do not publish them";
    ADDON_VERSION_KEPT = "addon-version-kept", Must, Operator, OPERATOR, ["CS#202"],
        "addons that change have another version in metadata.yaml",
        "where the addons' version stays, and with it Kubernetes (or there are no stages), the operator applies nothing",
        "raise versions.components.clusterAddon, and the name of the archive with it";
    ADDONS_LEFT_BEHIND = "addons-left-behind", Should, Operator, "CS#202", ["CS#202"],
        "addons that change are applied stage by stage",
        "without stages the operator passes over objects that it has recorded as synced, by namespace and name: they may stay at N, without a word",
        "make stages: clusteraddon.yaml and one chart for each addon";
    CHART_REFUSES_OLD = "chart-refuses-old-kubernetes", Should, Anyone, "https://helm.sh/docs/topics/charts/#the-kubeversion-field", [],
        "the addons of N+1 may run on the Kubernetes of N",
        "addons are applied before the control plane is replaced, so N+1's run on the old Kubernetes for a while",
        "take a version of the chart that supports both minor versions";
    COMPONENT_SKEW = "component-skew", Should, Anyone, SKEW, [],
        "components that follow Kubernetes are neither newer than it nor more than their skew older",
        "Kubernetes supports its components, cloud controllers and the cluster autoscaler within a few minor versions only",
        "move the component together with Kubernetes";
    CILIUM_STEP = "cilium-step", Should, Anyone, network::STEPS, ["CS#213"],
        "Cilium moves up by one minor version at most",
        network::NO_STEPS,
        network::REMEDY;
    COREDNS_KEPT = "coredns-kept", Should, Anyone, "https://cluster-api.sigs.k8s.io/tasks/upgrading-clusters", [],
        "CoreDNS moves with the minor version of Kubernetes",
        "KubeadmControlPlane moves CoreDNS only where dns.imageTag says so: the old version stays, whose image new nodes do not have",
        "set clusterConfiguration.dns.imageTag to the CoreDNS of the new kubeadm";
    CLUSTER_API_VERSION = "cluster-api-version", Must, Anyone, "https://cluster-api.sigs.k8s.io/reference/versions (CSO#254)", ["CSO#254"],
        "the class's objects are of an API version that the management cluster's Cluster API serves",
        "Cluster API serves v1beta2 from 1.11 on, and plans to serve v1beta1 no longer from 1.16 on",
        "write the class in the API version that both Cluster API and the operator know";
}

/// Cluster API that begins to serve v1beta2, and the one that is planned to serve v1beta1 no more.
const V1BETA2_SINCE: (u16, u16) = (1, 11);
const V1BETA1_UNTIL: (u16, u16) = (1, 16);

/// Components with how many minor versions they may be older than Kubernetes.
const COMPONENTS: &[(&str, u64)] = &[
    ("kube-apiserver", 0),
    ("kube-controller-manager", 1),
    ("kube-scheduler", 1),
    ("kube-proxy", 3),
    ("cloud-controller-manager", 1),
    ("cluster-autoscaler", 1),
];

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from.release, subject.to.release);
    let (old, new) = (from.kubernetes_version, to.kubernetes_version);
    if old.major != new.major || new.minor > old.minor + 1 {
        let message = format!("Kubernetes cannot go from {old} to {new} in one step");
        let problem = subject.to.metadata_problem(message);
        let expected = format!(
            "v{}.{} or v{}.{}",
            old.major,
            old.minor,
            old.major,
            old.minor + 1
        );
        found.add(&KUBERNETES_STEP, &to.tag, None, problem.expected(expected));
    }
    for (what, before, after) in [
        ("provider", &from.tag.provider, &to.tag.provider),
        ("stack", &from.tag.stack, &to.tag.stack),
    ] {
        if before != after {
            let message = format!("the {what} cannot change from {before} to {after}");
            let problem = subject.to.metadata_problem(message);
            found.add(&KUBERNETES_STEP, &to.tag, None, problem);
        }
    }
    let same_line = from.tag.stem() == to.tag.stem() && from.tag != to.tag;
    if same_line
        && !from
            .cluster_stack_version
            .precedes(&to.cluster_stack_version)
    {
        let message = format!(
            "{} does not count as newer than {}",
            to.cluster_stack_version, from.cluster_stack_version
        );
        let problem = subject.to.metadata_problem(message);
        found.add(&RELEASE_NOT_NEWER, &to.tag, None, problem);
    }
    for side in [subject.from, subject.to] {
        if !side.release.cluster_stack_version.is_stable() {
            let message = format!(
                "{} is no stable version",
                side.release.cluster_stack_version
            );
            let problem = side.metadata_problem(message);
            found.add(&CHANNEL_UNSTABLE, &side.release.tag, None, problem);
        }
    }
    let kubernetes = old.to_string();
    for (_, chart) in subject.to.applied(Hook::BeforeClusterUpgrade) {
        let addon = to.addons.chart(chart);
        let range = addon.and_then(|addon| addon.chart.refuses_kubernetes(&kubernetes));
        if let Some(range) = range {
            let file = format!("{}:{chart}/Chart.yaml", to.addon_file().display());
            let message = format!("the chart demands Kubernetes {range}, which {old} is not");
            let problem = crate::stack::Problem::new(file.as_ref(), message);
            found.add(&CHART_REFUSES_OLD, &to.tag, None, problem);
        }
    }
}

pub(super) fn check_objects(subject: &Subject<'_>, found: &mut Found) {
    addons_that_stay(subject, found);
    components(subject, found);
    cilium(subject, found);
    coredns(subject, found);
    cluster_api(subject, found);
}

fn addons_that_stay(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from.release, subject.to.release);
    let Some(changed) = first_change(subject) else {
        return;
    };
    let staged = from.addons.is_staged() && to.addons.is_staged();
    let hooked = staged && from.kubernetes_version != to.kubernetes_version;
    let object = Some(reference(&changed.object));
    if from.addon_version == to.addon_version && !hooked {
        let message = format!(
            "the addons differ from those of {}, and their version is {} in both",
            from.tag, to.addon_version
        );
        let problem = subject.to.metadata_problem(message);
        found.add(&ADDON_VERSION_KEPT, &to.tag, object, problem);
    } else if !to.addons.is_staged() {
        let problem = subject
            .to
            .problem(changed, &["metadata", "name"], "this object changes");
        found.add(&ADDONS_LEFT_BEHIND, &to.tag, object, problem);
    }
}

/// An object of N+1 that N has otherwise.
fn first_change<'a>(subject: &Subject<'a>) -> Option<&'a Item> {
    let before = by_identity(subject.from.addons());
    let after = by_identity(subject.to.addons());
    let mut changed = after.into_iter().filter(|(id, new)| {
        let old = before.get(id);
        old.is_none_or(|old| old.object != new.object)
    });
    changed.next().map(|(_, item)| item)
}

fn components(subject: &Subject<'_>, found: &mut Found) {
    let side = subject.to;
    let kubernetes = u64::from(side.release.kubernetes_version.minor);
    for item in side.addons() {
        for image in images(&item.object) {
            let Some((name, skew)) = component(&image) else {
                continue;
            };
            // Components of other numbering than Kubernetes' are none of these.
            let Some((1, minor)) = image.minor() else {
                continue;
            };
            if minor > kubernetes || minor + skew < kubernetes {
                let oldest = kubernetes.saturating_sub(skew);
                let message = format!(
                    "{name} v1.{minor} does not go with Kubernetes {}",
                    side.release.kubernetes_version
                );
                let problem = side
                    .problem(item, &["containers", "image"], message)
                    .expected(format!("v1.{oldest} to v1.{kubernetes}"));
                let object = Some(reference(&item.object));
                found.add(&COMPONENT_SKEW, &side.release.tag, object, problem);
            }
        }
    }
}

fn component(image: &Image<'_>) -> Option<(&'static str, u64)> {
    let is = |name: &str| image.name == name || image.name.ends_with(&format!("-{name}"));
    COMPONENTS.iter().copied().find(|(name, _)| is(name))
}

fn cilium(subject: &Subject<'_>, found: &mut Found) {
    let agent = |side: &Side<'_>| {
        let mut all = side.addons().flat_map(|item| {
            let minors = images(&item.object).into_iter();
            minors
                .filter_map(|image| network::cilium(image.whole))
                .map(move |minor| (item.clone(), minor))
        });
        all.next()
    };
    let (Some((_, old)), Some((item, new))) = (agent(subject.from), agent(subject.to)) else {
        return;
    };
    if network::skips(old, new) {
        let message = format!(
            "Cilium goes from {}.{} to {}.{}",
            old.0, old.1, new.0, new.1
        );
        let problem = subject.to.problem(&item, &["containers", "image"], message);
        let object = Some(reference(&item.object));
        found.add(&CILIUM_STEP, &subject.to.release.tag, object, problem);
    }
}

fn coredns(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    if from.release.kubernetes_version.minor == to.release.kubernetes_version.minor {
        return;
    }
    let plane = |side: &Side<'_>| {
        let mut class = side.class.iter();
        class
            .find(|item| text(&item.object, "/kind") == "KubeadmControlPlaneTemplate")
            .cloned()
    };
    let Some(new) = plane(to) else { return };
    let tag = |object: &Value| {
        let at = "/spec/template/spec/kubeadmConfigSpec/clusterConfiguration/dns/imageTag";
        text(object, at).to_owned()
    };
    let after = tag(&new.object);
    let before = plane(from).map(|plane| tag(&plane.object));
    if after.is_empty() || before.as_ref() == Some(&after) {
        let what = if after.is_empty() {
            "dns.imageTag is not set".to_owned()
        } else {
            format!("dns.imageTag is {after} in both releases")
        };
        let kubernetes = to.release.kubernetes_version;
        let message =
            format!("{what}, so CoreDNS does not move to that of Kubernetes {kubernetes}");
        let problem = to.problem(&new, &["clusterConfiguration", "dns", "imageTag"], message);
        let object = Some(reference(&new.object));
        found.add(&COREDNS_KEPT, &to.release.tag, object, problem);
    }
}

fn cluster_api(subject: &Subject<'_>, found: &mut Found) {
    let installed: Version = subject.stack.spec.management.components.cluster_api;
    let number = (installed.major, installed.minor);
    for side in [subject.from, subject.to] {
        let Some(class) = side.cluster_class() else {
            continue;
        };
        let version = text(&class.object, "/apiVersion");
        let served = match version.rsplit_once('/') {
            Some((_, "v1beta2")) => number >= V1BETA2_SINCE,
            Some((_, "v1beta1")) => number < V1BETA1_UNTIL,
            _ => continue,
        };
        if !served {
            let message = format!("Cluster API {installed} does not serve {version}");
            let problem = side.problem(class, &["apiVersion"], message);
            let object = Some(reference(&class.object));
            found.add(&CLUSTER_API_VERSION, &side.release.tag, object, problem);
        }
    }
}
