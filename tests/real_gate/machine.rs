//! What a run could leave behind on the machine.

use std::collections::BTreeSet;

pub use crate::testbed::docker;

/// Everything of Docker's, of the file system's and of the process table's that a run could leave
/// behind. Two of these, taken before and after, have to be equal.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Traces {
    containers: BTreeSet<String>,
    pub networks: BTreeSet<String>,
    volumes: BTreeSet<String>,
    files: BTreeSet<String>,
    processes: BTreeSet<String>,
}

/// Takes stock.
pub fn traces() -> Traces {
    let listed = |arguments: &[&str]| docker(arguments).unwrap_or_default().into_iter().collect();
    Traces {
        containers: listed(&["ps", "--all", "--format", "{{.Names}}"]),
        networks: listed(&["network", "ls", "--format", "{{.Name}}"]),
        volumes: listed(&["volume", "ls", "--format", "{{.Name}}"]),
        files: private_files(),
        processes: marked_processes(),
    }
}

fn private_files() -> BTreeSet<String> {
    std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("stackgate-"))
        .collect()
}

/// Processes that carry a run's id in their environment.
fn marked_processes() -> BTreeSet<String> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable.starts_with(b"STACKGATE_RUN="))
            })
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
