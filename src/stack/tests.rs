//! Stacks that load, stacks that do not, and arbitrary input.

mod wrong_fields;

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
    let (config, image) = stack.made_by_kind().unwrap();
    assert!(config.ends_with("kind-configs/management.yaml"));
    assert_eq!(image.as_str(), "kindest/node:v1.35.0");
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
        ["health", "upgrade"]
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

#[test]
fn a_template_of_a_provider_is_one_issue_7() {
    let template = "  providerTemplate:
    apiVersion: infrastructure.clusterstack.x-k8s.io/v1alpha1
    kind: OpenStackClusterStackReleaseTemplate
    metadata: {name: cspotemplate}
    spec: {template: {spec: {}}}
  delivery: direct";
    let given = |old: &str, new: &str| {
        let text = DEMO.replace("  delivery: direct", &template.replace(old, new));
        load(&text).map(|stack| stack.spec.provider_template.unwrap())
    };
    let read = given("", "").unwrap();
    assert_eq!(read.provided(), "OpenStackClusterStackRelease");
    assert_eq!(read.object("n")["metadata"]["namespace"], "n");
    assert_eq!(read.reference()["name"], "cspotemplate");
    for (old, new, wrong) in [
        (
            "ReleaseTemplate",
            "Release",
            "expected a kind that ends in Template",
        ),
        ("/v1alpha1", "", "expected group and version, such as"),
        (
            "{template: {spec: {}}}",
            "{}",
            "there is no mapping spec.template",
        ),
    ] {
        let error = given(old, new).unwrap_err();
        assert!(
            error.contains("stack.yaml:") && error.contains(wrong),
            "{error}"
        );
    }
}

#[test]
fn a_template_of_a_provider_names_the_kind_of_its_objects_once_issue_7() {
    for field in ["apiVersion: other.example.org/v1", "kind: Other"] {
        let template = format!(
            "  providerTemplate:
    apiVersion: infrastructure.clusterstack.x-k8s.io/v1alpha1
    kind: OpenStackClusterStackReleaseTemplate
    metadata: {{name: cspotemplate}}
    spec:
      template:
        {field}
        spec: {{}}
  delivery: direct"
        );
        let text = DEMO.replace("  delivery: direct", &template);
        let line = text.lines().position(|line| line.trim() == field).unwrap() + 1;
        let error = load(&text).unwrap_err();
        let name = field.split(':').next().unwrap();
        for words in [
            format!("stack.yaml:{line}:"),
            format!("spec.template has `{name}` of its own"),
            "expected none: the provider's objects are of the template's apiVersion".to_owned(),
        ] {
            assert!(error.contains(&words), "{words}: {error}");
        }
    }
}

#[test]
fn what_kind_alone_needs_is_missed_by_kind_alone_issue_7() {
    let field = |name: &str| {
        DEMO.lines()
            .find(|line| line.trim().starts_with(name))
            .unwrap()
    };
    let (config, image) = (field("kindConfig:"), field("nodeImage:"));
    let without = |line: &str| load(&DEMO.replacen(&format!("{line}\n"), "", 1)).unwrap();
    for (line, missing, there) in [
        (config, "kindConfig", "nodeImage"),
        (image, "nodeImage", "kindConfig"),
    ] {
        let error = without(line).made_by_kind().unwrap_err().to_string();
        let place = format!("stack.yaml:{}:", line_of("  management:\n    ") + 1);
        assert!(error.contains(&place), "{place} {error}");
        assert!(error.contains(&format!("an entry `{missing}: ")), "{error}");
        assert!(!error.contains(&format!("`{there}`")), "{error}");
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
        .replace("suites: [health, upgrade]", "suites: []");
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
    assert!(stack.check_suites(&["health", "upgrade"]).is_ok());
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
