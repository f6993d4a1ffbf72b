//! What only the machines themselves can tell: journals, what containers wrote, how they are, what they
//! use.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::TryStreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use super::docker::{self, Node};
use crate::record::{ContainerUse, Redactor};

/// How many lines of each journal and of what a container wrote are kept.
const LINES: usize = 3000;
/// The journals that are kept.
const UNITS: [&str; 2] = ["kubelet", "containerd"];

/// Saves journals and states of nodes into a folder, one folder per node. What one node does not give
/// is told in its place, and the others are saved nevertheless.
pub(super) async fn collect(
    docker: &Docker,
    nodes: &[Node],
    folder: &Path,
    redactor: &Redactor,
) -> Result<()> {
    let saved = nodes.iter().map(|node| async move {
        let target = folder.join(&node.name);
        std::fs::create_dir_all(&target)
            .with_context(|| format!("failed to create {}", target.display()))?;
        let (state, written, used) = futures::join!(
            docker::inspect(docker, &node.name),
            docker::logs(docker, &node.name, LINES),
            usage(docker, node)
        );
        let mut state = match state {
            Ok(found) => found.map_or(Value::Null, |found| summary(&found)),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        if let (Some((memory, cpu)), true) = (used, state.is_object()) {
            state["used"] = json!({"memoryMiB": memory, "cpuSeconds": cpu});
        }
        let save = |name: &str, text: &str| save(&target, name, &redactor.text(text));
        save("state.json", &serde_json::to_string_pretty(&state)?)?;
        save("container.log", &text(written))?;
        // Only a machine has a journal, and a container that has ended takes no command.
        let machine = node.part.is_none();
        if machine && node.running && !node.name.ends_with("-lb") {
            for unit in UNITS {
                let journal = journal(docker, &node.name, unit, LINES).await;
                save(&format!("{unit}.log"), &text(journal))?;
            }
        }
        anyhow::Ok(())
    });
    join_all(saved).await.into_iter().collect()
}

/// Writes a file for the user alone: nobody knows what a node has written to its journal.
fn save(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))
}

fn text(lines: Result<Vec<String>>) -> String {
    match lines {
        Ok(lines) => lines.join("\n") + "\n",
        Err(error) => format!("{error:#}\n"),
    }
}

/// The last lines of a unit's journal on a node.
pub(super) async fn journal(
    docker: &Docker,
    node: &str,
    unit: &str,
    lines: usize,
) -> Result<Vec<String>> {
    let lines = lines.to_string();
    let command = [
        "journalctl",
        "--unit",
        unit,
        "--lines",
        &lines,
        "--no-pager",
        "--output",
        "short-iso",
    ];
    let output = docker::exec(docker, node, &command).await?;
    Ok(docker::clean_lines(&output.success(&format!(
        "read the journal of {unit} on {node}"
    ))?))
}

/// How a container is. Its environment and its mounts stay out: they may hold secrets.
fn summary(container: &ContainerInspectResponse) -> Value {
    let networks = container
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref())
        .map(|networks| {
            networks
                .iter()
                .map(|(name, end)| (name.clone(), json!(end.ip_address)))
                .collect::<serde_json::Map<_, _>>()
        });
    json!({
        "name": container.name.as_deref().map(|name| name.trim_start_matches('/')),
        "created": container.created,
        "image": container.config.as_ref().and_then(|config| config.image.as_ref()),
        "imageId": container.image,
        "state": container.state,
        "restartCount": container.restart_count,
        "networks": networks,
    })
}

/// How each of these is, and what it uses.
pub(super) async fn uses(docker: &Docker, nodes: Vec<Node>) -> Vec<(String, ContainerUse)> {
    let each = nodes.into_iter().map(|node| async move {
        let used = match node.running {
            true => usage(docker, &node).await,
            false => None,
        };
        let is = ContainerUse {
            running: node.running,
            memory_mib: used.map(|(memory, _)| memory),
            cpu_seconds: used.map(|(_, time)| time),
        };
        (node.name, is)
    });
    join_all(each).await
}

/// What a node has used until now: memory in MiB and processor time in seconds.
pub(super) async fn usage(docker: &Docker, node: &Node) -> Option<(u64, f64)> {
    let options = StatsOptionsBuilder::new()
        .stream(false)
        .one_shot(true)
        .build();
    let mut stats = std::pin::pin!(docker.stats(&node.id, Some(options)));
    measured(&stats.try_next().await.ok()??)
}

fn measured(stats: &ContainerStatsResponse) -> Option<(u64, f64)> {
    let memory = stats.memory_stats.as_ref()?;
    // As `docker stats` does: what the kernel would give back at once does not count; its name
    // differs between cgroup versions.
    let cache = memory.stats.as_ref().and_then(|stats| {
        stats
            .get("total_inactive_file")
            .or_else(|| stats.get("inactive_file"))
    });
    let used = memory
        .usage?
        .saturating_sub(cache.copied().unwrap_or_default());
    let time = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    Some((used >> 20, time as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_holds_no_environment() {
        let container: ContainerInspectResponse = serde_json::from_value(json!({
            "Name": "/demo-0",
            "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true},
            "Config": {"Image": "kindest/node:v1.35.0", "Env": ["TOKEN=SECRET"]},
            "Mounts": [{"Type": "bind", "Source": "/SECRET"}],
        }))
        .unwrap();
        let summary = summary(&container);
        assert_eq!(summary["name"], "demo-0");
        assert_eq!(summary["image"], "kindest/node:v1.35.0");
        assert_eq!(summary["state"]["ExitCode"], 137);
        assert!(!summary.to_string().contains("SECRET"), "{summary}");
    }

    #[test]
    fn what_is_saved_is_for_the_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "kubelet.log", "first, and longer").unwrap();
        save(folder.path(), "kubelet.log", "second").unwrap();
        let path = folder.path().join("kubelet.log");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn memory_is_told_without_what_can_be_given_back() {
        let stats = |cache: &str| -> ContainerStatsResponse {
            serde_json::from_value(json!({
                "memory_stats": {"usage": 300 << 20, "stats": {cache: 100 << 20}},
                "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000_u64}},
            }))
            .unwrap()
        };
        assert_eq!(measured(&stats("total_inactive_file")), Some((200, 2.5)));
        assert_eq!(measured(&stats("inactive_file")), Some((200, 2.5)));
        assert_eq!(measured(&ContainerStatsResponse::default()), None);
    }
}
