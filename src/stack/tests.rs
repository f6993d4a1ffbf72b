//! Each field of `stack.yaml` wrong once, and arbitrary input.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const DEMO: &str = include_str!("../../stacks-under-test/docker-demo/stack.yaml");

/// Loads `text` as the stack file of a folder that has all else.
fn load(text: &str) -> Result<Stack, String> {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("stacks-under-test/demo");
    std::fs::create_dir_all(folder.join("releases/cluster-stacks")).unwrap();
    std::fs::create_dir_all(dir.path().join("kind-configs")).unwrap();
    std::fs::write(dir.path().join("kind-configs/management.yaml"), "").unwrap();
    std::fs::write(folder.join(STACK_FILE), text).unwrap();
    let stack = Stack::load("demo", &dir.path().join("stacks-under-test"));
    stack.map_err(|error| {
        error
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "")
    })
}

/// The line of the first occurrence of `needle` in the demo stack.
fn line_of(needle: &str) -> usize {
    let at = DEMO.find(needle).unwrap_or_else(|| panic!("{needle}"));
    DEMO[..at].matches('\n').count() + 1
}

#[test]
fn the_demo_stack_loads() {
    let stack = load(DEMO).unwrap();
    assert_eq!(&*stack.name, "docker-demo");
    assert_eq!(stack.spec.releases.to.class_name(), "docker-demo-1-35-v1");
    assert_eq!(stack.spec.timeouts, Timeouts::default());
    assert!(stack.kind_config.ends_with("kind-configs/management.yaml"));
    assert!(
        stack
            .releases_dir()
            .ends_with("demo/releases/cluster-stacks")
    );
}

#[test]
fn what_has_a_default_may_be_left_out() {
    let short = "\
apiVersion: stackgate/v1alpha1
kind: StackUnderTest
metadata: {name: demo}
spec:
  releases: {from: docker-demo-1-34-v1, to: docker-demo-1-35-v1}
  cluster: {}
  nodeImages: {v1.34.3: 'kindest/node:v1.34.3'}
  management:
    kindConfig: management.yaml
    nodeImage: kindest/node:v1.35.0
    components: {clusterApi: v1.12.5, infrastructure: docker}
";
    let stack = load(short).unwrap();
    let spec = &stack.spec;
    assert_eq!(
        spec.suites.iter().map(|suite| &**suite).collect::<Vec<_>>(),
        ["health"]
    );
    assert_eq!(spec.delivery, Delivery::Direct);
    assert_eq!(
        spec.cluster.api_version.as_str(),
        "cluster.x-k8s.io/v1beta2"
    );
    assert_eq!(spec.cluster.control_plane.replicas, 1);
    let network = &spec.cluster.network;
    assert_eq!(network.pods[0].to_string(), "10.244.0.0/16");
    assert_eq!(network.services[0].to_string(), "10.96.0.0/16");
    assert_eq!(&*network.service_domain, "cluster.local");
}

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
        "delivery: operator",
        "delivery `operator` is not available in this version",
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
        "infrastructure: openstack",
        "unknown variant `openstack`, expected one of docker",
    ),
    (
        "- kindest/haproxy:v20230606-42a2262b",
        "- kindest/haproxy",
        "is not an image with a tag",
    ),
    ("suites: [health]", "suites: []", "there is no suite"),
    (
        "suites: [health]",
        "suites: [health, health]",
        "suite `health` is listed twice",
    ),
    (
        "suites: [health]",
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

#[test]
fn each_missing_field_is_named() {
    for (field, expected) in [
        (
            "apiVersion: stackgate/v1alpha1\n",
            "missing field `apiVersion`",
        ),
        ("kind: StackUnderTest\n", "missing field `kind`"),
        ("    from: docker-demo-1-34-v1\n", "missing field `from`"),
        ("    to: docker-demo-1-35-v1\n", "missing field `to`"),
        (
            "    kindConfig: management.yaml\n",
            "missing field `kindConfig`",
        ),
        (
            "    nodeImage: kindest/node:v1.35.0\n",
            "missing field `nodeImage`",
        ),
        (
            "      infrastructure: docker\n",
            "missing field `infrastructure`",
        ),
        (
            "    - class: default-worker\n      name: md-0\n",
            "missing field",
        ),
    ] {
        let error = load(&DEMO.replacen(
            field,
            if field.contains("md-0") {
                "    - name: md-0\n"
            } else {
                ""
            },
            1,
        ))
        .expect_err(field);
        assert!(error.contains(expected), "{field}:\n{error}");
    }
}

#[test]
fn all_problems_of_meaning_are_told_at_once() {
    let text = DEMO
        .replace("replicas: 1\n    workers", "replicas: 2\n    workers")
        .replace("suites: [health]", "suites: []");
    let error = load(&text).unwrap_err();
    assert!(
        error.contains("a control plane of 2 Machines") && error.contains("there is no suite"),
        "{error}"
    );
}

#[test]
fn two_workers_of_one_name_are_refused() {
    let twice = "name: md-0\n      replicas: 1\n    - class: default-worker\n      name: md-0";
    let error = load(&DEMO.replacen("name: md-0", twice, 1)).unwrap_err();
    assert!(error.contains("two workers are named `md-0`"), "{error}");
    assert!(
        error.contains(&format!("stack.yaml:{}:13: ", line_of("name: md-0") + 3)),
        "{error}"
    );
}

#[test]
fn unknown_suites_are_refused_by_those_who_know_them() {
    let stack = load(DEMO).unwrap();
    assert!(stack.check_suites(&["health", "scs"]).is_ok());
    let error = stack
        .check_suites(&["scs", "other"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown suite `health`"), "{error}");
    assert!(error.contains("expected one of scs, other"), "{error}");
}

#[test]
fn a_stack_is_found_by_name_folder_or_file() {
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
    let folder = stacks.join("docker-demo");
    for name in [
        PathBuf::from("docker-demo"),
        folder.clone(),
        folder.join(STACK_FILE),
    ] {
        assert!(
            Stack::load(&name.to_string_lossy(), &stacks).is_ok(),
            "{}",
            name.display()
        );
    }
    assert!(stack_names(&stacks).contains(&"docker-demo".to_owned()));
    for name in ["", "docker-dem", "/nowhere", "..", "a\0b"] {
        let error = Stack::load(name, &stacks).unwrap_err().to_string();
        assert!(
            error.contains("expected one of ") && error.contains("docker-demo"),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(STACK_FILE);
    std::fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    let error = Stack::load(&file.to_string_lossy(), dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot be read"), "{error}");
    std::fs::write(&file, vec![b' '; 5 << 20]).unwrap();
    let error = Stack::load(&file.to_string_lossy(), dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("is 5242880 bytes long"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any text gives a stack or a message, never a panic.
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = load(&text);
    }

    /// The demo stack with a piece cut out and another put in.
    #[test]
    fn a_damaged_stack_never_panics(at in 0..DEMO.len(), length in 0..80usize, put in "[ -~\\n]{0,12}") {
        let end = (at + length).min(DEMO.len());
        let _ = load(&format!("{}{put}{}", &DEMO[..at], &DEMO[end..]));
    }

    /// The values read back what they write.
    #[test]
    fn values_read_back_what_they_write(text in "[a-z0-9v./:-]{0,24}") {
        macro_rules! same {
            ($($type:ty),+) => {$(
                if let Ok(value) = text.parse::<$type>() {
                    prop_assert_eq!(value.to_string().parse::<$type>().ok(), Some(value));
                }
            )+};
        }
        same!(Cidr, Day, ImageReference, Label, ReleaseTag, ReleaseVersion, Subdomain, Timeout, Version);
    }
}
