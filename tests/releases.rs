//! The releases that ship, and their failing variants: packed, opened and rendered; no cluster.

#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use serde_json::{Value, json};
use stackgate::source;
use stackgate::stack::chart::Rendered;
use stackgate::stack::{Hook, Pair, Release, Stack};
use variant::{FAILING, N, N1, Variant, failing, stacks_dir};

/// The management cluster's objects that the addons' values are made from.
fn context(control_planes: u8) -> Value {
    json!({
        "Cluster": {
            "metadata": {"name": "demo", "namespace": "default"},
            "spec": {"clusterNetwork": {"pods": {"cidrBlocks": ["10.244.0.0/16", "fd00::/56"]}}},
        },
        "ControlPlane": {"spec": {"replicas": control_planes}},
        "InfraCluster": {"spec": {}},
    })
}

fn demo() -> Pair {
    Stack::load("docker-demo", &stacks_dir())
        .unwrap()
        .open_releases()
        .unwrap()
}

/// All objects of a release's addons by `Kind/name`.
fn addons(release: &Release) -> Vec<(String, Value)> {
    let stages = release.addons.stages(Hook::BeforeClusterUpgrade);
    let rendered = stages
        .iter()
        .flat_map(|stage| release.render_addon(stage, &context(1)).unwrap());
    rendered
        .map(|rendered| (id(&rendered.object), rendered.object))
        .collect()
}

fn id(object: &Value) -> String {
    format!(
        "{}/{}",
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap()
    )
}

fn objects_of<'a>(rendered: &'a [Rendered], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let objects = rendered.iter().map(|rendered| &rendered.object);
    objects.filter(move |object| object["kind"] == kind)
}

fn find<'a>(objects: &'a [(String, Value)], id: &str) -> &'a Value {
    objects
        .iter()
        .find(|(other, _)| other == id)
        .map(|(_, object)| object)
        .unwrap_or(&Value::Null)
}

#[test]
fn the_archives_are_those_of_the_sources() {
    let docker = [N, N1].map(|tag| ("docker-demo", format!("sources/{tag}"), tag));
    let tags = ["openstack-demo-1-34-v1", "openstack-demo-1-35-v1"];
    let openstack = tags.map(|tag| ("openstack-demo", "sources".to_owned(), tag));
    for (stack, sources, tag) in docker.into_iter().chain(openstack) {
        let folder = stacks_dir().join(stack);
        let release = folder.join("releases/cluster-stacks").join(tag);
        let packed = source::build(&folder.join(sources), &tag.parse().unwrap()).unwrap();
        if std::env::var_os("UPDATE_RELEASES").is_some() {
            let _ = std::fs::remove_dir_all(&release);
            std::fs::create_dir_all(&release).unwrap();
            for (name, content) in &packed {
                std::fs::write(release.join(name), content).unwrap();
            }
        }
        let mut names: Vec<String> = std::fs::read_dir(&release)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert!(names.iter().eq(packed.keys()), "{tag} has {names:?}");
        for (name, content) in &packed {
            assert!(
                std::fs::read(release.join(name)).unwrap() == *content,
                "{tag}/{name} is not that of its sources: run `UPDATE_RELEASES=1 cargo test --test releases`"
            );
        }
    }
}

#[test]
fn each_class_has_templates_of_its_own() {
    let pair = demo();
    for release in [&pair.from, &pair.to] {
        let rendered = release.render_class("clusters").unwrap();
        let mut ids: Vec<String> = rendered
            .iter()
            .map(|rendered| id(&rendered.object))
            .collect();
        ids.sort();
        let class = &release.class_name;
        assert_eq!(
            ids,
            [
                format!("ClusterClass/{class}"),
                format!("DockerClusterTemplate/{class}-cluster"),
                format!("DockerMachineTemplate/{class}-control-plane"),
                format!("DockerMachineTemplate/{class}-default-worker"),
                format!("KubeadmConfigTemplate/{class}-default-worker"),
                format!("KubeadmControlPlaneTemplate/{class}-control-plane"),
            ]
        );
        // Whatever the class refers to is there.
        let class = rendered
            .iter()
            .find(|rendered| rendered.object["kind"] == "ClusterClass")
            .unwrap();
        let mut references = Vec::new();
        collect_references(&class.object["spec"], &mut references);
        assert_eq!(references.len(), 5);
        assert!(
            references.iter().all(|reference| ids.contains(reference)),
            "{references:?}"
        );
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "templateRef" {
                    references.push(format!(
                        "{}/{}",
                        field["kind"].as_str().unwrap(),
                        field["name"].as_str().unwrap()
                    ));
                }
                collect_references(field, references);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, references)),
        _ => {}
    }
}

#[test]
fn the_class_carries_what_nodes_need() {
    let pair = demo();
    for (release, image, dns) in [
        (&pair.from, "kindest/node:v1.34.3", json!(null)),
        (&pair.to, "kindest/node:v1.35.0", json!("v1.13.1")),
    ] {
        let rendered = release.render_class("clusters").unwrap();
        let of = |kind| objects_of(&rendered, kind);
        assert!(
            of("DockerMachineTemplate")
                .all(|object| object["spec"]["template"]["spec"]["customImage"] == image)
        );
        let control_plane = of("KubeadmControlPlaneTemplate").next().unwrap();
        let kubeadm = &control_plane["spec"]["template"]["spec"]["kubeadmConfigSpec"];
        assert_eq!(kubeadm["clusterConfiguration"]["dns"]["imageTag"], dns);
        let flags = json!([
            {"name": "eviction-hard", "value": "nodefs.available<0%,nodefs.inodesFree<0%,imagefs.available<0%"},
            {"name": "fail-cgroupv1", "value": "false"},
        ]);
        let worker = of("KubeadmConfigTemplate").next().unwrap();
        for registration in [
            &kubeadm["initConfiguration"]["nodeRegistration"],
            &kubeadm["joinConfiguration"]["nodeRegistration"],
            &worker["spec"]["template"]["spec"]["joinConfiguration"]["nodeRegistration"],
        ] {
            assert_eq!(registration["kubeletExtraArgs"], flags);
        }
    }
}

#[test]
fn the_addons_change_as_the_readme_says() {
    let pair = demo();
    let (from, to) = (addons(&pair.from), addons(&pair.to));
    let image = |objects: &[(String, Value)], id: &str| {
        find(objects, id)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(
        image(&from, "DaemonSet/kindnet"),
        "kindest/kindnetd:v20250512-df8de77b"
    );
    assert_eq!(
        image(&to, "DaemonSet/kindnet"),
        "kindest/kindnetd:v20251212-v0.29.0-alpha-105-g20ccfc88"
    );
    assert_eq!(
        image(&from, "Deployment/metrics-server"),
        "registry.k8s.io/metrics-server/metrics-server:v0.8.0"
    );
    assert_eq!(
        image(&to, "Deployment/metrics-server"),
        "registry.k8s.io/metrics-server/metrics-server:v0.8.1"
    );
    let only = |here: &[(String, Value)], there: &[(String, Value)]| -> Vec<String> {
        here.iter()
            .map(|(id, _)| id.clone())
            .filter(|id| find(there, id).is_null())
            .collect()
    };
    assert_eq!(only(&from, &to), ["ConfigMap/metrics-server-nanny"]);
    assert_eq!(only(&to, &from), ["StorageClass/standard-retain"]);
}

#[test]
fn values_come_from_the_cluster() {
    let release = demo().to;
    let stages = release.addons.stages(Hook::AfterControlPlaneInitialized);
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["cni", "storage", "metrics-server"]);
    let cni = release.render_addon(&stages[0], &context(3)).unwrap();
    let daemon_set = cni
        .iter()
        .find(|rendered| rendered.object["kind"] == "DaemonSet")
        .unwrap();
    let container = &daemon_set.object["spec"]["template"]["spec"]["containers"][0];
    let subnet = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == "POD_SUBNET")
        .unwrap();
    assert_eq!(subnet["value"], "10.244.0.0/16,fd00::/56");
    let metrics = release.render_addon(&stages[2], &context(3)).unwrap();
    let deployment = metrics
        .iter()
        .find(|rendered| rendered.object["kind"] == "Deployment")
        .unwrap();
    assert_eq!(deployment.object["spec"]["replicas"], 2);
    let error = release
        .render_addon(&stages[0], &json!({"Cluster": {}}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("addon `cni`") && error.contains("daemonset.yaml"),
        "{error}"
    );
    assert!(error.ends_with("podSubnet must be given"), "{error}");
}

#[test]
fn values_that_are_none_are_refused() {
    for (text, expected) in [
        (
            "- a\n",
            "overwrite.yaml (rendered):1:1: the values are no mapping",
        ),
        (
            "values: |\n  - a\n",
            "overwrite.yaml (rendered, key values):1:1: the values are no mapping",
        ),
        ("a: [\n", "overwrite.yaml (rendered):"),
        ("{{ .Cluster.metadata.name\n", "overwrite.yaml:1:"),
        ("{{ fail \"no such network\" }}\n", "no such network"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let variant = Variant::from("docker-demo");
        let folder = variant
            .edit(N1, "cluster-addon/cni/overwrite.yaml", |_| text.to_owned())
            .write(dir.path());
        let stack = Stack::load(folder.to_str().unwrap(), &stacks_dir()).unwrap();
        let release = stack.open_releases().unwrap().to;
        let stage = &release.addons.stages(Hook::BeforeClusterUpgrade)[0];
        let error = release
            .render_addon(stage, &context(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn every_image_of_the_addons_is_in_the_stack_file() {
    let stack = Stack::load("docker-demo", &stacks_dir()).unwrap();
    let pair = stack.open_releases().unwrap();
    let listed: Vec<&str> = stack
        .spec
        .images
        .iter()
        .map(|image| image.as_str())
        .collect();
    for (_, object) in addons(&pair.from).iter().chain(&addons(&pair.to)) {
        for container in object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let image = container["image"].as_str().unwrap();
            assert!(listed.contains(&image), "{image}");
        }
    }
}

#[test]
fn each_failing_variant_is_a_valid_stack_that_differs() {
    let demo = demo();
    let everything = |pair: &Pair| {
        let mut objects = addons(&pair.from);
        objects.extend(addons(&pair.to));
        for release in [&pair.from, &pair.to] {
            let rendered = release.render_class("clusters").unwrap();
            objects.extend(
                rendered
                    .into_iter()
                    .map(|rendered| (id(&rendered.object), rendered.object)),
            );
        }
        objects
    };
    let unchanged = everything(&demo);
    for name in FAILING {
        let dir = tempfile::tempdir().unwrap();
        let folder = failing(name).write(dir.path());
        let stack = Stack::load(folder.to_str().unwrap(), &stacks_dir()).unwrap();
        let changed = everything(&stack.open_releases().unwrap());
        let different: Vec<&String> = changed
            .iter()
            .filter(|object| !unchanged.contains(object))
            .map(|(id, _)| id)
            .collect();
        let expected: &[&str] = match name {
            "addon-image" => &["Deployment/metrics-server"],
            "kubelet-flag" => &[
                "KubeadmControlPlaneTemplate/docker-demo-1-35-v1-control-plane",
                "KubeadmConfigTemplate/docker-demo-1-35-v1-default-worker",
            ],
            "coredns" => &["KubeadmControlPlaneTemplate/docker-demo-1-35-v1-control-plane"],
            _ => &["Deployment/pinned", "PodDisruptionBudget/pinned"],
        };
        assert!(
            expected
                .iter()
                .all(|id| different.iter().any(|other| other == id)),
            "{name}: {different:?}"
        );
        assert!(
            different.iter().all(|id| expected.contains(&id.as_str())),
            "{name}: {different:?}"
        );
    }
}

/// A stack whose file or sources are changed so that it and the releases no longer fit.
#[test]
fn a_stack_that_does_not_fit_its_releases_is_refused() {
    let class = "cluster-class/templates/cluster-class.yaml";
    let requires = |text: &str| {
        text.replace("  - name: certSANs\n    required: false", "  - name: region\n    required: true\n    schema:\n      openAPIV3Schema:\n        type: string\n  - name: certSANs\n    required: false")
    };
    let cases: [(Variant, &[&str]); 9] = [
        (
            Variant::from("docker-demo")
                .edit_stack(|text| text.replace("class: default-worker", "class: other")),
            &[
                "stack.yaml:22:14: ClusterClass `docker-demo-1-34-v1` has no class `other`",
                "`docker-demo-1-35-v1` has no class `other`",
                "expected one of default-worker",
            ],
        ),
        (
            Variant::from("docker-demo")
                .edit_stack(|text| text.replace("variables: {}", "variables: {zone: a}")),
            &[
                "stack.yaml:25:23: ClusterClass `docker-demo-1-34-v1` has no variable `zone`",
                "expected one of certSANs",
            ],
        ),
        (
            Variant::from("docker-demo").edit_stack(|text| {
                text.replace("variables: {}", "variables: {certSANs: localhost}")
            }),
            &["variable `certSANs` has another type", "expected array"],
        ),
        (
            Variant::from("docker-demo").edit(N1, class, requires),
            &[
                "ClusterClass `docker-demo-1-35-v1` requires variable `region`",
                "expected an entry `region: VALUE`",
            ],
        ),
        (
            Variant::from("docker-demo")
                .edit_stack(|text| text.replace("    v1.35.0: kindest/node:v1.35.0\n", "")),
            &[
                "stack.yaml:27:5: there is no node image for v1.35.0 of release `docker-demo-1-35-v1`",
            ],
        ),
        (
            Variant::from("docker-demo")
                .edit_stack(|text| text.replace("docker-demo-1-35-v1", "docker-demo-1-35-v2")),
            &[
                "invalid release `docker-demo-1-35-v2`",
                "there is no such folder (beside it: docker-demo-1-34-v1, docker-demo-1-35-v1)",
            ],
        ),
        (
            Variant::from("docker-demo").edit(N, class, |text| {
                text.replace(
                    "  name: {{ include \"class.name\" . }}\nspec",
                    "  name: other\nspec",
                )
            }),
            &[
                "the class chart renders ClusterClass other",
                "expected exactly one, named `docker-demo-1-34-v1`",
            ],
        ),
        (
            Variant::from("docker-demo").edit(N1, "cluster-class/Chart.yaml", |text| {
                text.replace("version: v1", "version: v2")
            }),
            &[
                "docker-demo-1-35-cluster-class-v1.tgz: the version of the chart, `v2`, contradicts the release's name",
            ],
        ),
        (
            Variant::from("docker-demo")
                .edit(N1, class, |text| format!("{text}{{{{ fail \"no\" }}}}\n")),
            &[
                "failed to render the class chart of release `docker-demo-1-35-v1`",
                "cluster-class.yaml",
            ],
        ),
    ];
    for (index, (variant, expected)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let folder = variant.write(dir.path());
        let stack = Stack::load(folder.to_str().unwrap(), &stacks_dir()).unwrap();
        let error = stack.open_releases().unwrap_err().to_string();
        for text in expected {
            assert!(error.contains(text), "case {index}, {text}:\n{error}");
        }
    }
}
