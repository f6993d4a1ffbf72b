//! Processes as `/proc` shows them: whether a run's own is alive, and which of its children outlived it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::names::RUN_VARIABLE;
use crate::record::RunId;

/// A process, told from later ones with the same number by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Process {
    /// Its number.
    pub(super) pid: i32,
    /// Clock ticks from boot to its start.
    pub(super) started: u64,
}

impl Process {
    /// This process.
    pub(super) fn current() -> Result<Self> {
        let pid =
            i32::try_from(std::process::id()).context("failed to read the process's number")?;
        Self::find(pid).context("failed to find this process in /proc")
    }

    fn find(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started) = parse_stat(&stat)?;
        // What has ended and was not waited for is not alive.
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }
}

/// The state and the start time in a line of `/proc/PID/stat`. The program's name may hold anything,
/// parentheses and blanks too, so what follows is counted from the last parenthesis (proc(5)).
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the start time field 22.
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The run whose variable is in a process's environment block.
fn run_in(environment: &[u8]) -> Option<RunId> {
    environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .find(|(name, _)| *name == RUN_VARIABLE)
        .and_then(|(_, value)| value.parse().ok())
}

/// Every process but this one that was started for a run, with that run.
pub(super) fn of_runs() -> Vec<(RunId, Process)> {
    in_folder(Path::new("/proc"))
}

fn in_folder(proc: &Path) -> Vec<(RunId, Process)> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            // Other users' processes cannot be read, and are not ours.
            let run = run_in(&std::fs::read(entry.path().join("environ")).ok()?)?;
            (pid != own).then_some((run, Process::find(pid)?))
        })
        .collect()
}

/// Ends processes: politely, and after two seconds for good. Returns when they are gone.
pub(super) async fn end(processes: &[Process]) {
    for (signal, patience) in [(Signal::SIGTERM, 20), (Signal::SIGKILL, 20)] {
        for process in processes.iter().filter(|process| process.is_alive()) {
            // It may have ended in between; then there is nothing to end.
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
        for _ in 0..patience {
            if !processes.iter().any(|process| process.is_alive()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 19 20";
        for name in ["kind", "a b", "a) S 1 (b", ")))"] {
            assert_eq!(
                parse_stat(&format!("17 ({name}) {rest}")),
                Some(('S', 4242)),
                "{name}"
            );
        }
        for broken in ["", "17", "17 (kind", "17 (kind) S 1", "17 (kind)"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_run_is_read_from_an_environment_block_and_from_nothing_else() {
        let run = |block: &[u8]| run_in(block).map(|run| run.to_string());
        assert_eq!(
            run(b"PATH=/bin\0STACKGATE_RUN=7f3a09bc\0HOME=/\0").as_deref(),
            Some("7f3a09bc")
        );
        assert_eq!(run(b"STACKGATE_RUN=7f3a09bc").as_deref(), Some("7f3a09bc"));
        for other in [
            &b"XSTACKGATE_RUN=7f3a09bc\0"[..],
            b"STACKGATE_RUN=\0",
            b"STACKGATE_RUN=../etc\0",
            b"A=STACKGATE_RUN=7f3a09bc\0",
            b"",
            b"\xff\xfe\0",
        ] {
            assert_eq!(run(other), None);
        }
    }

    #[test]
    fn this_process_is_alive_and_one_with_its_number_that_started_earlier_is_not() {
        let current = Process::current().unwrap();
        assert!(current.is_alive());
        let earlier = Process {
            started: current.started - 1,
            ..current
        };
        assert!(!earlier.is_alive());
    }

    #[tokio::test]
    async fn a_child_of_a_run_is_found_by_its_environment_and_ended() {
        let run: RunId = "0a0b0c0d".parse().unwrap();
        let mut child = tokio::process::Command::new("sleep")
            .arg("600")
            .env(RUN_VARIABLE, run.as_str())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let found = |pid| {
            of_runs()
                .into_iter()
                .filter(|(of, process)| *of == run && process.pid == pid)
                .map(|(_, process)| process)
                .collect::<Vec<_>>()
        };
        let mut processes = found(pid);
        // The environment is there once the child has started its program.
        while processes.is_empty() {
            tokio::task::yield_now().await;
            processes = found(pid);
        }
        end(&processes).await;
        assert!(!processes[0].is_alive());
        assert!(!child.wait().await.unwrap().success());
    }
}
