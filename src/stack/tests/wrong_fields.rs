//! Each field of `stack.yaml` wrong once.

use super::{DEMO, line_of, load};

/// A text of the demo stack, what replaces it, and what the message says; the message must name
/// the line of the text.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "stackgate/v1alpha1",
        "stackgate/v1",
        "`apiVersion`: unknown variant `stackgate/v1`, expected",
    ),
    (
        "StackUnderTest",
        "Stack",
        "`kind`: unknown variant `Stack`, expected",
    ),
    (
        "name: docker-demo",
        "name: Docker_Demo",
        "`metadata.name`: `Docker_Demo` is not a name, expected at most 63",
    ),
    (
        "name: docker-demo",
        "name: a-name-that-is-rather-long-for-a-cluster",
        "no room for the names of Machines",
    ),
    (
        "name: docker-demo",
        "title: docker-demo",
        "unknown field `title`, expected one of name",
    ),
    (
        "directory: releases",
        "directory: other",
        "there is no folder",
    ),
    (
        "directory: releases",
        "directory: [releases]",
        "`spec.releases.directory`: expected text",
    ),
    (
        "from: docker-demo-1-34-v1",
        "from: docker-demo-1-34",
        "`docker-demo-1-34` is not the tag of a release, expected",
    ),
    (
        "from: docker-demo-1-34-v1",
        "from:",
        "`spec.releases.from`: there is no value, expected text",
    ),
    (
        "to: docker-demo-1-35-v1",
        "to: docker-demo-1-34-v1",
        "both releases are `docker-demo-1-34-v1`",
    ),
    (
        "from: docker-demo-1-34-v1",
        "start: {release: docker-demo-1-34-v1}\n    from: docker-demo-1-34-v1",
        "the cluster would be moved from `docker-demo-1-34-v1` to itself",
    ),
    (
        "from: docker-demo-1-34-v1",
        "from: docker-demo-1-34-v1\n    start: {release: docker-other-1-34-v1}",
        "`docker-demo-1-34-v1` is of another cluster stack than `docker-other-1-34-v1`",
    ),
    (
        "accepted: []",
        "upgrade: {machines: some}",
        "`spec.upgrade.machines`: unknown variant `some`, expected",
    ),
    (
        "accepted: []",
        "upgrade: {disturbance: rain}",
        "`spec.upgrade.disturbance`: unknown variant `rain`, expected",
    ),
    (
        "to: docker-demo-1-35-v1",
        "to: docker-demo-1-36-v1",
        "Kubernetes cannot go from 1.34 to 1.36",
    ),
    (
        "to: docker-demo-1-35-v1",
        "to: docker-demo-1-33-v1",
        "Kubernetes cannot go from 1.34 to 1.33",
    ),
    (
        "to: docker-demo-1-35-v1",
        "to: docker-other-1-35-v1",
        "is of another cluster stack",
    ),
    (
        "to: docker-demo-1-35-v1",
        "to: docker-my-demo-1-35-v1",
        "is not the tag of a release",
    ),
    (
        "delivery: direct",
        "delivery: ftp",
        "unknown variant `ftp`, expected",
    ),
    (
        "apiVersion: cluster.x-k8s.io/v1beta2",
        "apiVersion: v1",
        "unknown variant `v1`, expected",
    ),
    (
        "pods: [10.244.0.0/16]",
        "pods: [10.244.0.0]",
        "`10.244.0.0` is not a network, expected CIDR notation",
    ),
    (
        "pods: [10.244.0.0/16]",
        "pods: []",
        "there is no network for pods",
    ),
    (
        "pods: [10.244.0.0/16]",
        "pods: [10.244.0.0/25]",
        "network 10.244.0.0/25 is too small for pods",
    ),
    (
        "pods: [10.244.0.0/16]",
        "pods: [10.244.0.0/16, 10.1.0.0/16]",
        "more than one network of a family for pods",
    ),
    (
        "services: [10.96.0.0/16]",
        "services: [10.244.8.0/24]",
        "services network 10.244.8.0/24 overlaps pods network 10.244.0.0/16",
    ),
    (
        "services: [10.96.0.0/16]",
        "services: 10.96.0.0/16",
        "`spec.cluster.network.services`: expected a list",
    ),
    (
        "serviceDomain: cluster.local",
        "serviceDomain: Cluster!",
        "`Cluster!` is not a domain",
    ),
    (
        "replicas: 1",
        "replicas: 2",
        "a control plane of 2 Machines",
    ),
    (
        "replicas: 1",
        "replicas: 0",
        "a control plane of 0 Machines",
    ),
    (
        "replicas: 1",
        "replicas: -1",
        "`spec.cluster.controlPlane.replicas`: expected a whole number",
    ),
    (
        "replicas: 1",
        "replicas: one",
        "`spec.cluster.controlPlane.replicas`: expected a whole number",
    ),
    (
        "- class: default-worker",
        "- class: ''",
        "the class is empty",
    ),
    ("name: md-0", "name: md_0", "`md_0` is not a name"),
    (
        "name: md-0",
        "name: md-0\n      size: 3",
        "`spec.cluster.workers.0`: unknown field `size`, expected",
    ),
    (
        "variables: {}",
        "variables: []",
        "`spec.cluster.variables`: expected a mapping",
    ),
    (
        "v1.34.3: kindest",
        "v1.34: kindest",
        "`v1.34` is not a version, expected the form v1.34.3",
    ),
    (
        "v1.34.3: kindest/node:v1.34.3",
        "v1.34.3: kindest/node",
        "is not an image with a tag, expected name:tag",
    ),
    (
        "v1.34.3: kindest/node:v1.34.3",
        "v1.34.3: kindest/node:latest",
        "is not a fixed image, expected a tag other than latest",
    ),
    (
        "kindConfig: management.yaml",
        "kindConfig: other.yaml",
        "there is no file `other.yaml`",
    ),
    (
        "kindConfig: management.yaml",
        "kindConfig: ../kind-configs/management.yaml",
        "there is no file `../kind-configs/management.yaml`",
    ),
    (
        "nodeImage: kindest/node:v1.35.0",
        "nodeImage: kindest/node",
        "is not an image with a tag",
    ),
    (
        "clusterApi: v1.12.5",
        "clusterApi: latest",
        "`latest` is not a version",
    ),
    (
        "clusterApi: v1.12.5",
        "clusterApi: v1.10.10",
        "Cluster API v1.10.10 does not serve cluster.x-k8s.io/v1beta2",
    ),
    (
        "infrastructure: docker",
        "infrastructure: vsphere",
        "unknown variant `vsphere`, expected one of docker, openstack",
    ),
    (
        "- kindest/haproxy:v20230606-42a2262b",
        "- kindest/haproxy",
        "is not an image with a tag",
    ),
    (
        "suites: [health, upgrade]",
        "suites: []",
        "there is no suite",
    ),
    (
        "suites: [health, upgrade]",
        "suites: [health, health]",
        "suite `health` is listed twice",
    ),
    (
        "suites: [health, upgrade]",
        "suites: [Health]",
        "`Health` is not a name",
    ),
    (
        "management: 5m",
        "management: 5",
        "`5` is not a duration, expected one such as 90s",
    ),
    (
        "release: 2m",
        "release: 0s",
        "`0s` is not a usable duration",
    ),
    (
        "create: 10m",
        "create: ten minutes",
        "`ten minutes` is not a duration",
    ),
    (
        "check: 5m",
        "check: 48h",
        "`48h` is not a usable duration, expected more than 0s and at most 24h",
    ),
    ("upgrade: 20m", "upgrade: -20m", "`-20m` is not a duration"),
    ("stable: 15s", "stable: ''", "`` is not a duration"),
    (
        "teardown: 3m",
        "tear-down: 3m",
        "`spec.timeouts`: unknown field `tear-down`, expected",
    ),
    (
        "accepted: []",
        "accepted: [{check: a}]",
        "`spec.accepted.0`: missing field `reason`",
    ),
    (
        "accepted: []",
        "accepted: [{check: a, reason: ' '}]",
        "the reason is empty",
    ),
    (
        "accepted: []",
        "accepted: [{check: '', reason: b}]",
        "the check is empty",
    ),
    (
        "accepted: []",
        "accepted: [{check: a, reason: b}, {check: a, reason: c}]",
        "check `a` is accepted twice",
    ),
    (
        "accepted: []",
        "accepted: [{check: a, reason: b, expires: tomorrow}]",
        "`spec.accepted.0.expires`: `tomorrow` is not a day, expected the form YYYY-MM-DD",
    ),
    ("spec:\n", "spec: {\n", "stack.yaml:"),
    (
        "kind: StackUnderTest",
        "kind: StackUnderTest\nkind: StackUnderTest",
        "duplicate",
    ),
];

#[test]
fn each_wrong_field_is_named_with_its_line() {
    for (from, to, expected) in WRONG {
        let error = load(&DEMO.replacen(from, to, 1)).expect_err(to);
        assert!(error.contains(expected), "{to}:\n{error}");
        let first = error.lines().nth(1).unwrap_or_default();
        assert!(
            first.starts_with("stacks-under-test/demo/stack.yaml:"),
            "{to}:\n{error}"
        );
        let line: usize = first
            .split(':')
            .nth(1)
            .and_then(|line| line.parse().ok())
            .unwrap_or(0);
        let near = line_of(from)..=line_of(from) + to.matches('\n').count();
        let syntax = *expected == "stack.yaml:";
        assert!(
            syntax || near.contains(&line),
            "{to}: line {near:?} expected\n{error}"
        );
        assert!(
            error.contains(&format!("\n{line} |")),
            "{to}: no snippet\n{error}"
        );
    }
}
