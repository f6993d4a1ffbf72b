//! Real failures, each of which must close the gate with its cause named.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;

use crate::gate::Gate;
use crate::machine::docker;
use crate::recorded;
use crate::variant::failing;

/// What the management cluster is made of, as `--management` takes it.
type Management = &'static str;

/// N+1 names an addon image that does not exist.
pub fn addon_image(management: Management) -> Result<(), Failed> {
    let ended = Gate::variant(failing("addon-image"))
        .with(&["--management", management])
        .run()?;
    ended.closed_by("image-not-available", &["v0.8.1-missing", "metrics-server"])
}

/// A recorded failure, run again from its bundle alone.
pub fn recorded() -> Result<(), Failed> {
    let then = recorded::summary()?;
    let ended = Gate::again(recorded::BUNDLE)
        .with(&["--management", "light"])
        .run()?;
    ended.closed_by("image-not-available", &[recorded::IMAGE])?;
    let (then, now) = (recorded::failing(&then), recorded::failing(&ended.summary));
    ended.expect(
        then == now && !now.is_empty(),
        &format!("{then:?} to fail; it was {now:?}"),
    )
}

/// N+1's class sets a kubelet flag that does not exist.
pub fn kubelet_flag(management: Management) -> Result<(), Failed> {
    let ended = Gate::variant(failing("kubelet-flag"))
        .with(&["--management", management])
        .run()?;
    ended.closed_by("kubelet-unknown-flag", &["no-such-flag"])
}

/// N+1's class does not move CoreDNS, whose old image is not on the new nodes: DNS is dead while
/// every Machine is Ready and the Cluster is Available.
pub fn coredns(management: Management) -> Result<(), Failed> {
    let ended = Gate::variant(failing("coredns"))
        .with(&["--management", management])
        .run()?;
    ended.closed_by("coredns-image-missing", &["coredns", "dns.imageTag"])
}

/// A PodDisruptionBudget never lets a pod of a worker be evicted.
pub fn blocked_drain(management: Management) -> Result<(), Failed> {
    let ended = Gate::variant(failing("blocked-drain"))
        .with(&["--management", management])
        .run()?;
    ended.closed_by(
        "drain-blocked-by-budget",
        &["PodDisruptionBudget kube-system/pinned"],
    )
}

/// The kubelet of the new worker is stopped as soon as it runs.
pub fn stopped_kubelet(management: Management) -> Result<(), Failed> {
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| stop_kubelet_of_the_second_worker(&done));
        let ended = Gate::demo().with(&["--management", management]).run();
        done.store(true, Ordering::Relaxed);
        ended
    })?;
    ended.closed_by("kubelet-not-running", &["kubelet"])
}

fn stop_kubelet_of_the_second_worker(done: &AtomicBool) {
    let mut seen = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        let names = docker(&[
            "ps",
            "--filter",
            "name=docker-demo-",
            "--format",
            "{{.Names}}",
        ]);
        let workers = names
            .unwrap_or_default()
            .into_iter()
            .filter(|name| name.contains("-md-0-"));
        seen.extend(workers.clone());
        // The first worker is of N; the second is the upgrade's.
        for worker in workers.filter(|_| seen.len() > 1) {
            let is_new = seen.iter().any(|other| *other != worker)
                && docker(&["exec", &worker, "kubelet", "--version"])
                    .is_some_and(|lines| lines.iter().any(|line| line.contains("v1.35.0")));
            let active =
                is_new && docker(&["exec", &worker, "systemctl", "is-active", "kubelet"]).is_some();
            if active {
                let stopped = Command::new("docker")
                    .args(["exec", &worker, "systemctl", "stop", "kubelet"])
                    .status();
                eprintln!("stopped the kubelet of {worker}: {stopped:?}");
                return;
            }
        }
        pause();
    }
}

/// Docker's program cannot be waited on for a container that is not there yet.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own thread, beside the run"
)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(300));
}
