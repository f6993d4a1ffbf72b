//! Python's `kubernetes` package, as it is, against a served cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Client, Test, find, holds};
use libtest_mimic::Failed;

const TESTS: &[Test] = &[("python_s_client_writes_reads_and_watches", life_of_a_map)];

pub fn client() -> Client {
    Client {
        name: "python3 with the package kubernetes",
        program: python(),
        tests: TESTS,
    }
}

/// A Python that has the package: the one that is named, or the machine's.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let python = named.or_else(|| find("python3"))?;
    let imported = Command::new(&python)
        .args(["-c", "import kubernetes"])
        .output();
    imported
        .is_ok_and(|output| output.status.success())
        .then_some(python)
}

const SCRIPT: &str = r#"
from kubernetes import client, config, watch
config.load_kube_config()
core = client.CoreV1Api()
meta = client.V1ObjectMeta(name="a", labels={"app": "x"})
core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=meta, data={"k": "v"}))
maps = core.list_namespaced_config_map("default", label_selector="app=x", limit=1)
print("listed", [m.metadata.name for m in maps.items])
core.patch_namespaced_config_map("a", "default", {"data": {"k": "w"}})
print("read", core.read_namespaced_config_map("a", "default").data)
read = core.read_namespaced_config_map("a", "default")
read.data["k"] = "x"
print("replaced", core.replace_namespaced_config_map("a", "default", read).data)
for event in watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=1):
    print("watched", event["type"], event["object"].metadata.name)
print("version", client.VersionApi().get_code().git_version)
try:
    core.read_namespaced_config_map("b", "default")
except client.exceptions.ApiException as error:
    print("refused", error.status, error.reason)
core.delete_namespaced_config_map("a", "default")
schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
    "crew": {"type": "integer"}, "seats": {"type": "integer", "default": 4}}}}}
names = client.V1CustomResourceDefinitionNames(plural="boats", kind="Boat")
version = client.V1CustomResourceDefinitionVersion(name="v1", served=True, storage=True,
    schema=client.V1CustomResourceValidation(open_apiv3_schema=schema))
client.ApiextensionsV1Api().create_custom_resource_definition(client.V1CustomResourceDefinition(
    metadata=client.V1ObjectMeta(name="boats.example.org"),
    spec=client.V1CustomResourceDefinitionSpec(group="example.org", scope="Namespaced", names=names, versions=[version])))
custom = client.CustomObjectsApi()
boat = {"apiVersion": "example.org/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": {"crew": 2}}
print("boat", custom.create_namespaced_custom_object("example.org", "v1", "default", "boats", boat)["spec"])
boat["spec"]["crew"] = "many"
boat["metadata"]["name"] = "c"
try:
    custom.create_namespaced_custom_object("example.org", "v1", "default", "boats", boat)
except client.exceptions.ApiException as error:
    print("judged", error.status)
container = client.V1Container(name="c", image="i")
template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"a": "b"}), spec=client.V1PodSpec(containers=[container]))
apps = client.AppsV1Api()
apps.create_namespaced_deployment("default", client.V1Deployment(metadata=client.V1ObjectMeta(name="d"),
    spec=client.V1DeploymentSpec(replicas=1, selector=client.V1LabelSelector(match_labels={"a": "b"}), template=template)))
apps.patch_namespaced_deployment_scale("d", "default", {"spec": {"replicas": 3}})
print("scaled", apps.read_namespaced_deployment_scale("d", "default").spec.replicas)
print("left", len(core.list_config_map_for_all_namespaces().items))
"#;

fn life_of_a_map(python: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let told = bench.run(python, &["-"], SCRIPT)?;
    holds(
        &told,
        &[
            "listed ['a']",
            "read {'k': 'w'}",
            "replaced {'k': 'x'}",
            "watched ADDED a",
            "version v1.35.0",
            "refused 404 Not Found",
            "boat {'crew': 2, 'seats': 4}",
            "judged 422",
            "scaled 3",
            "left 0",
        ],
    )
}
