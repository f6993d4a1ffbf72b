//! Images that Docker has and a node has not: brought over in one stream, while the node boots.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use serde_json::Value;

use super::docker::{self, Output};

/// How long to wait before a node's containerd is asked again.
const RETRY: Duration = Duration::from_millis(250);

/// The images that the Pods of workloads among the objects run.
pub(super) fn of_objects(objects: &[Value]) -> BTreeSet<String> {
    objects
        .iter()
        .filter_map(|object| object.pointer("/spec/template/spec"))
        .flat_map(|pod| [&pod["initContainers"], &pod["containers"]])
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|container| container["image"].as_str())
        .map(str::to_owned)
        .collect()
}

/// An image's name as containerd writes it: with registry and tag.
pub(super) fn canonical(image: &str) -> String {
    let (registry, path) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", image),
    };
    let library = if registry == "docker.io" && !path.contains('/') {
        "library/"
    } else {
        ""
    };
    let tagged = path.contains('@') || path.rsplit('/').next().unwrap_or(path).contains(':');
    let tag = if tagged { "" } else { ":latest" };
    format!("{registry}/{library}{path}{tag}")
}

/// Brings images into a node that has just been started, as soon as its containerd answers. Leaves
/// out what the node has already, and what Docker has not: the node pulls these itself.
/// Returns the names of those brought over.
pub(super) async fn load(
    docker: &Docker,
    node: &str,
    images: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut local = Vec::new();
    for image in images {
        if docker::absent(docker.inspect_image(image).await)
            .with_context(|| format!("failed to look for image {image}"))?
            .is_some()
        {
            local.push(image.as_str());
        }
    }
    if local.is_empty() {
        return Ok(Vec::new());
    }
    let present = present(docker, node).await?;
    let missing: Vec<&str> = local
        .into_iter()
        .filter(|image| !present.contains(&canonical(image)))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let import = [
        "ctr",
        "--namespace=k8s.io",
        "images",
        "import",
        "--all-platforms",
        "--digests",
        "-",
    ];
    docker::exec_with(docker, node, &import, docker.export_images(&missing))
        .await?
        .success(&format!("load {} into {node}", missing.join(", ")))?;
    Ok(missing.into_iter().map(str::to_owned).collect())
}

/// What a node's containerd holds. The caller bounds the wait for it to answer.
async fn present(docker: &Docker, node: &str) -> Result<BTreeSet<String>> {
    let list = ["ctr", "--namespace=k8s.io", "images", "ls", "-q"];
    loop {
        // Until the node has booted, the command fails, or the container does not take one.
        if let Ok(Output {
            code: 0, stdout, ..
        }) = docker::exec(docker, node, &list).await
        {
            return Ok(stdout.lines().map(|line| line.trim().to_owned()).collect());
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_written_as_containerd_writes_them() {
        for (given, expected) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("kindest/haproxy:v1", "docker.io/kindest/haproxy:v1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("localhost/a", "localhost/a:latest"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("host:5000/a/b:1", "host:5000/a/b:1"),
            ("quay.io/a@sha256:00", "quay.io/a@sha256:00"),
        ] {
            assert_eq!(canonical(given), expected);
        }
    }

    #[test]
    fn images_of_all_containers_of_workloads_are_found() {
        let pod = json!({
            "initContainers": [{"image": "a:1"}],
            "containers": [{"image": "b:1"}, {"image": "a:1"}, {}],
        });
        let objects = [
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}),
            json!({"kind": "Secret"}),
        ];
        let found: Vec<String> = of_objects(&objects).into_iter().collect();
        assert_eq!(found, ["a:1", "b:1"]);
    }
}
