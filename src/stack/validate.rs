//! What must hold between the fields of `stack.yaml`, beyond the form of each.

use std::collections::BTreeSet;
use std::path::Path;

use super::operator::ProviderTemplate;
use super::probes::Probes;
use super::problem::Problems;
use super::spec::{
    Accepted, ClusterApiVersion, ClusterSpec, Machines, Network, Releases, StackFile,
};
use super::values::{Cidr, ReleaseTag, Version};
use super::yaml::Source;

/// Clusters are named `<name>-<suffix>`; the suffix with its dash is this long.
pub const CLUSTER_SUFFIX: usize = 10;
/// Cluster API appends `-<5>-<5>` and more to a MachineDeployment's name for its Machines, whose
/// names become host names of at most 63 characters.
const MACHINE_SUFFIX: usize = 18;
const NAME_LIMIT: usize = 63;
/// First Cluster API that serves cluster.x-k8s.io/v1beta2.
const V1BETA2_SINCE: Version = Version {
    major: 1,
    minor: 11,
    patch: 0,
};

/// Everything wrong with a file whose fields each have the right form.
pub(super) fn check(source: &Source, file: &StackFile, folder: &Path) -> Problems {
    let mut findings = Findings {
        source,
        problems: Problems::default(),
    };
    let spec = &file.spec;
    findings.names(file);
    let kept = spec.upgrade.machines == Machines::Kept;
    findings.releases(&spec.releases, kept, folder);
    findings.network(&spec.cluster.network);
    findings.topology(&spec.cluster);
    if spec.node_images.is_empty() {
        findings.add(
            &["spec", "nodeImages"],
            "there are no node images",
            "one for the Kubernetes version of each release",
        );
    }
    let cluster_api = spec.management.components.cluster_api;
    if spec.cluster.api_version == ClusterApiVersion::V1Beta2 && cluster_api < V1BETA2_SINCE {
        findings.add(
            &["spec", "management", "components", "clusterApi"],
            format!("Cluster API {cluster_api} does not serve cluster.x-k8s.io/v1beta2, which spec.cluster.apiVersion asks for"),
            format!("{V1BETA2_SINCE} or later"),
        );
    }
    let template = spec.provider_template.as_ref();
    if let Some((way, wrong, expected)) = template.and_then(ProviderTemplate::problem) {
        let way = [&["spec", "providerTemplate"], way].concat();
        findings.add(&way, wrong, expected);
    }
    findings.suites(file);
    findings.accepted(&spec.accepted);
    findings.probes(&spec.probes);
    findings.problems
}

struct Findings<'a> {
    source: &'a Source,
    problems: Problems,
}

impl Findings<'_> {
    fn add(&mut self, path: &[&str], message: impl Into<String>, expected: impl Into<String>) {
        self.problems
            .push(self.source.problem(path, message).expected(expected));
    }

    fn names(&mut self, file: &StackFile) {
        let name = &file.metadata.name;
        let longest = file
            .spec
            .cluster
            .workers
            .iter()
            .map(|worker| worker.name.len() + 1)
            .max();
        let limit =
            NAME_LIMIT.saturating_sub(CLUSTER_SUFFIX + longest.unwrap_or(0) + MACHINE_SUFFIX);
        if name.len() > limit {
            self.add(
                &["metadata", "name"],
                format!(
                    "the name has {} characters, which leaves no room for the names of Machines",
                    name.len()
                ),
                format!("at most {limit} characters with these workers"),
            );
        }
    }

    fn releases(&mut self, releases: &Releases, kept: bool, folder: &Path) {
        let (from, to) = (&releases.from, &releases.to);
        let directory = folder.join(&releases.directory);
        // Those of another source are put elsewhere, when there is one.
        if releases.source.is_none() && !directory.join("cluster-stacks").is_dir() {
            self.add(
                &["spec", "releases", "directory"],
                format!(
                    "there is no folder {}",
                    directory.join("cluster-stacks").display()
                ),
                "a folder, relative to this file, that holds cluster-stacks/<tag>/",
            );
        }
        if from == to && !kept {
            // An upgrade to the same release shows only that nothing happens.
            self.add(
                &["spec", "releases", "to"],
                format!("both releases are `{from}`"),
                "another release to upgrade to, or spec.upgrade.machines: kept",
            );
        }
        self.step("to", from, to);
        if let Some(start) = &releases.start {
            if &start.release == from {
                self.add(
                    &["spec", "releases", "start", "release"],
                    format!("the cluster would be moved from `{from}` to itself"),
                    "another release than `from`",
                );
            }
            if releases.source.is_some() {
                self.add(
                    &["spec", "releases", "start"],
                    "only two releases are fetched or built from a source",
                    "no `source`, and all three in the releases' directory",
                );
            }
            self.step("from", &start.release, from);
        }
    }

    /// Whether a cluster can be moved from a release to that of a field.
    fn step(&mut self, field: &str, from: &ReleaseTag, to: &ReleaseTag) {
        let at = ["spec", "releases", field];
        if (&from.provider, &from.stack) != (&to.provider, &to.stack) {
            self.add(
                &at,
                format!("`{to}` is of another cluster stack than `{from}`"),
                format!("a release of {}-{}", from.provider, from.stack),
            );
        }
        if to.major != from.major
            || !(from.minor..=from.minor.saturating_add(1)).contains(&to.minor)
        {
            self.add(
                &at,
                format!(
                    "Kubernetes cannot go from {}.{} to {}.{}",
                    from.major, from.minor, to.major, to.minor
                ),
                "the same minor version or the next one",
            );
        }
    }

    fn network(&mut self, network: &Network) {
        self.family("pods", &network.pods, 24, 64);
        self.family("services", &network.services, 30, 124);
        let of = |kind: &'static str, networks: &[Cidr]| -> Vec<(&'static str, usize, Cidr)> {
            networks
                .iter()
                .enumerate()
                .map(|(index, cidr)| (kind, index, *cidr))
                .collect()
        };
        let mut all = of("pods", &network.pods);
        all.extend(of("services", &network.services));
        for (position, (kind, index, cidr)) in all.iter().enumerate() {
            if let Some((other, _, overlapping)) = all[..position]
                .iter()
                .find(|(.., earlier)| earlier.overlaps(*cidr))
            {
                self.add(
                    &["spec", "cluster", "network", kind, &index.to_string()],
                    format!("{kind} network {cidr} overlaps {other} network {overlapping}"),
                    "networks that share no address",
                );
            }
        }
    }

    /// One network, or one per address family, each large enough.
    fn family(&mut self, kind: &str, networks: &[Cidr], longest_v4: u8, longest_v6: u8) {
        let at = ["spec", "cluster", "network", kind];
        if networks.is_empty() {
            self.add(
                &at,
                format!("there is no network for {kind}"),
                "at least one",
            );
        }
        if networks.iter().filter(|cidr| cidr.is_ipv6()).count() > 1
            || networks.iter().filter(|cidr| !cidr.is_ipv6()).count() > 1
        {
            self.add(
                &at,
                format!("more than one network of a family for {kind}"),
                "one network, or one IPv4 and one IPv6 network",
            );
        }
        for (index, cidr) in networks.iter().enumerate() {
            let longest = if cidr.is_ipv6() {
                longest_v6
            } else {
                longest_v4
            };
            if cidr.prefix() > longest {
                self.add(
                    &["spec", "cluster", "network", kind, &index.to_string()],
                    format!("network {cidr} is too small for {kind}"),
                    format!("a prefix of at most /{longest}"),
                );
            }
        }
    }

    fn topology(&mut self, cluster: &ClusterSpec) {
        let replicas = cluster.control_plane.replicas;
        if replicas.is_multiple_of(2) {
            self.add(
                &["spec", "cluster", "controlPlane", "replicas"],
                format!("a control plane of {replicas} Machines"),
                "an odd number, so that etcd keeps a majority when one Machine is replaced",
            );
        }
        let mut seen = BTreeSet::new();
        for (index, worker) in cluster.workers.iter().enumerate() {
            let index = index.to_string();
            let at = |field| ["spec", "cluster", "workers", index.as_str(), field];
            if !seen.insert(&worker.name) {
                self.add(
                    &at("name"),
                    format!("two workers are named `{}`", worker.name),
                    "names that differ",
                );
            }
            if worker.class.is_empty() {
                self.add(
                    &at("class"),
                    "the class is empty",
                    "a MachineDeployment class of the ClusterClass",
                );
            }
        }
    }

    fn suites(&mut self, file: &StackFile) {
        let suites = &file.spec.suites;
        if suites.is_empty() {
            self.add(
                &["spec", "suites"],
                "there is no suite, so nothing would be judged",
                "at least one, such as health",
            );
        }
        let mut seen = BTreeSet::new();
        for (index, suite) in suites.iter().enumerate() {
            if !seen.insert(suite) {
                self.add(
                    &["spec", "suites", &index.to_string()],
                    format!("suite `{suite}` is listed twice"),
                    "each suite once",
                );
            }
        }
    }

    fn probes(&mut self, probes: &Probes) {
        for (name, limits) in probes.named() {
            let share = limits.share_lost.unwrap_or_default();
            if !(0.0..=100.0).contains(&share) {
                self.add(
                    &["spec", "probes", name, "shareLost"],
                    format!("{share} is no share in percent"),
                    "a number from 0 to 100",
                );
            }
            if limits
                .skip
                .as_ref()
                .is_some_and(|why| why.trim().is_empty())
            {
                self.add(
                    &["spec", "probes", name, "skip"],
                    "the reason is empty",
                    "why this is not measured",
                );
            }
        }
    }

    fn accepted(&mut self, accepted: &[Accepted]) {
        let at = ["spec", "accepted"];
        super::accepted::find(self.source, &at, accepted, &mut self.problems);
    }
}
