//! Facts about the environment, for the reports.

use std::collections::BTreeSet;
use std::process::Stdio;

use bollard::Docker;
use futures::future::join_all;
use tokio::process::Command;

use super::docker::Node;
use super::{KindOptions, ManagementMode, OperatorOptions, cleanup, docker, host, nodes};

/// Everything that can be told now; what cannot is left out. What nodes use is told as of now.
pub(super) async fn properties(docker: &Docker, options: &KindOptions) -> Vec<(String, String)> {
    let mut facts = vec![
        ("provider".to_owned(), "docker".to_owned()),
        (
            "cluster-api.version".to_owned(),
            options.components_version.clone(),
        ),
    ];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push((name.to_owned(), value));
        }
    };
    let mode = match &options.management {
        ManagementMode::Fresh | ManagementMode::Keep(_) => "kind",
        ManagementMode::Light => "light",
        ManagementMode::Reuse(_) => "reuse",
    };
    add("management", Some(mode.to_owned()));
    if options.management != ManagementMode::Light {
        add("kind.version", kind_version(options).await);
    }
    if let Ok(version) = docker.version().await {
        add("docker.version", version.version);
        add("docker.api", version.api_version);
    }
    if let Ok(info) = docker.info().await {
        add("docker.storage", info.driver);
        add(
            "host.cgroup",
            info.cgroup_version.map(|version| version.to_string()),
        );
        add("host.kernel", info.kernel_version);
        add("host.os", info.operating_system);
        add("host.architecture", info.architecture);
        add("host.cpus", info.ncpu.map(|count| count.to_string()));
        add(
            "host.memory-mib",
            info.mem_total.map(|bytes| (bytes >> 20).to_string()),
        );
    }
    for limit in ["max_user_instances", "max_user_watches"] {
        let value = host::limit(limit).map(|value| value.to_string());
        add(&format!("host.inotify.{}", limit.replace('_', "-")), value);
    }
    for image in options.operator.iter().flat_map(OperatorOptions::images) {
        add(
            "operator.image",
            digest(docker, &image)
                .await
                .map(|digest| format!("{image} ({digest})")),
        );
    }
    let images: BTreeSet<&String> = options.images.iter().chain([&options.node_image]).collect();
    for image in images {
        add(&format!("image.{image}"), digest(docker, image).await);
    }
    let claims = cleanup::claims(&options.run, true);
    let nodes = cleanup::owned(docker, &options.run, &claims).await;
    let used = nodes.unwrap_or_default();
    let used = join_all(
        used.iter()
            .filter(|node| node.running)
            .map(|node| usage(docker, node)),
    );
    for (node, memory, time) in used.await.into_iter().flatten() {
        add(
            &format!("usage.{node}.memory-mib"),
            Some(memory.to_string()),
        );
        add(
            &format!("usage.{node}.cpu-seconds"),
            Some(format!("{time:.1}")),
        );
    }
    facts
}

async fn usage(docker: &Docker, node: &Node) -> Option<(String, u64, f64)> {
    let (memory, time) = nodes::usage(docker, node).await?;
    Some((node.name.clone(), memory, time))
}

/// The second word of `kind version`, e.g. `v0.33.0` of `kind v0.33.0 go1.26.0 linux/amd64`.
async fn kind_version(options: &KindOptions) -> Option<String> {
    let output = Command::new(options.config.kind_program())
        .arg("version")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_ascii_whitespace().nth(1).map(str::to_owned)
}

/// The digest under which a registry knows an image, else its id on this machine.
async fn digest(docker: &Docker, image: &str) -> Option<String> {
    let found = docker::absent(docker.inspect_image(image).await).ok()??;
    let digest = found.repo_digests.unwrap_or_default().into_iter().next();
    digest.or(found.id)
}
