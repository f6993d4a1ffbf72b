//! The machine under the containers: memory, disk, and the kernel's limits for watching files.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::engine::Problem;

/// Memory that has to be free, in MiB: a management node takes 1.1 GiB, a workload cluster of two nodes
/// 0.6 GiB, and twice that during an upgrade.
const MEMORY_MIB: u64 = 4096;
/// Disk that has to be free under Docker's root, in MiB: a node writes about 1.5 GiB.
const DISK_MIB: u64 = 10 * 1024;
/// Inotify instances that a management node takes, as counted on one with all providers.
const MANAGEMENT_INSTANCES: u64 = 32;
/// Inotify instances that the smallest workload cluster takes while its control plane is replaced: 28 for
/// each control-plane node, 14 for the worker, as counted.
const WORKLOAD_INSTANCES: u64 = 70;
/// Inotify watches per user below which even a single node's kubelet fails (the kernel's old default).
const WATCHES: u64 = 8192;

/// What the machine lacks for a run that makes its management cluster, or does not.
pub(super) fn problems(makes_management: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(free) = available_mib(&memory).filter(|free| *free < MEMORY_MIB) {
        problems.push(Problem {
            what: format!("{free} MiB of memory are available, expected at least {MEMORY_MIB}"),
            remedy: "end what needs much memory, or take a larger machine".to_owned(),
        });
    }
    if let Some(limit) = limit("max_user_instances") {
        let free = limit.saturating_sub(used_instances());
        let management = if makes_management {
            MANAGEMENT_INSTANCES
        } else {
            0
        };
        let needed = WORKLOAD_INSTANCES + management;
        if free < needed {
            problems.push(Problem {
                what: format!("{free} of {limit} inotify instances are free, expected at least {needed}: nodes fail with 'too many open files'"),
                remedy: "sudo sysctl fs.inotify.max_user_instances=512".to_owned(),
            });
        }
    }
    if let Some(limit) = limit("max_user_watches").filter(|limit| *limit < WATCHES) {
        problems.push(Problem {
            what: format!("{limit} inotify watches are allowed, expected at least {WATCHES}"),
            remedy: "sudo sysctl fs.inotify.max_user_watches=524288".to_owned(),
        });
    }
    problems
}

/// Too little disk under Docker's root; nothing where that is not on this machine.
pub(super) fn disk_problem(root: &Path) -> Option<Problem> {
    let disk = statvfs(root).ok()?;
    let free = disk.blocks_available() * disk.fragment_size() / (1 << 20);
    (free < DISK_MIB).then(|| Problem {
        what: format!(
            "{free} MiB are free under {}, expected at least {DISK_MIB}",
            root.display()
        ),
        remedy: "remove what Docker does not need: docker system prune".to_owned(),
    })
}

/// A limit of inotify's, by its name under `fs.inotify`.
pub(super) fn limit(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
    text.trim().parse().ok()
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// Inotify instances in use by root's processes, as far as they can be seen: the limit is per user, and
/// root in a node is root on the machine.
fn used_instances() -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter(|process| {
        let name = process.file_name();
        let numbered = name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        numbered && process.metadata().is_ok_and(|process| process.uid() == 0)
    });
    let files = numbered
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flatten()
        .flatten();
    let instances = files.filter(|file| {
        std::fs::read_link(file.path())
            .is_ok_and(|target| target == Path::new("anon_inode:inotify"))
    });
    instances.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_and_not_what_is_merely_free() {
        let text =
            "MemTotal:       24589412 kB\nMemFree:          100 kB\nMemAvailable:   23068672 kB\n";
        assert_eq!(available_mib(text), Some(22528));
        assert_eq!(available_mib("MemFree: 1 kB\n"), None);
        assert_eq!(available_mib(""), None);
    }

    #[test]
    fn a_path_that_is_not_here_is_no_problem() {
        assert_eq!(disk_problem(Path::new("/nowhere/docker")), None);
    }
}
