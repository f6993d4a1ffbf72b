//! What the real tests see of the machine: the testbed, and Docker through its own program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Why real tests cannot run here, in one line.
pub fn missing() -> Option<String> {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/check");
    let checked = Command::new(check)
        .output()
        .map_err(|error| error.to_string());
    match checked {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let line = String::from_utf8_lossy(&said)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            return Some(format!(
                "the testbed is not built ({line}); build it with testbed/up"
            ));
        }
        Err(error) => return Some(format!("testbed/check does not start: {error}")),
    }
    let answers = docker(&["version", "--format", "{{.Server.Version}}"]).is_some();
    (!answers).then(|| "Docker does not answer; start it with testbed/up".to_owned())
}

/// The lines that `docker` prints, or nothing when it fails.
pub fn docker(arguments: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("docker").args(arguments).output().ok()?;
    output.status.success().then(|| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    })
}

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
