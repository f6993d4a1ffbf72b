//! Causes that waiting does not mend, seen on the machines themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bollard::Docker;
use bollard::models::ContainerState;
use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{docker, nodes};
use crate::cluster::Object;
use crate::record::{Blocker, Finding};

/// How many lines a finding shows.
const EVIDENCE: usize = 8;
/// How many lines of a journal are read for it.
const JOURNAL: usize = 60;
/// After how long a kubelet that was stopped is not just being restarted, by what systemd says.
const STOPPED: Duration = Duration::from_secs(20);
/// For how long a kubelet has to crash before that is a cause.
const CRASHING: Duration = Duration::from_secs(45);
/// How long a Machine may be without its container's being looked at as missing an image.
const YOUNG: Duration = Duration::from_secs(15);

/// Looks at machines, and remembers since when something was seen.
#[derive(Default)]
pub(super) struct Causes {
    since: Mutex<BTreeMap<String, Instant>>,
}

/// The container of a Machine (`MachineContainerName` in CAPD).
fn container_of(machine: &Object) -> String {
    let (cluster, name) = (machine.str("/spec/clusterName"), machine.name());
    if name.starts_with(cluster) {
        name.to_owned()
    } else {
        format!("{cluster}-{name}")
    }
}

impl Causes {
    /// The first cause beyond doubt among the machines.
    pub(super) async fn find(
        &self,
        docker: &Docker,
        blockers: &[Blocker],
        machines: &[Arc<Object>],
    ) -> Option<Finding> {
        let looks = machines
            .iter()
            // What is on its way out is meant to end.
            .filter(|machine| !machine.is_deleting())
            .map(|machine| self.look(docker, blockers, machine));
        // What cannot be looked at now can be next time.
        join_all(looks).await.into_iter().find_map(Result::ok)?
    }

    async fn look(
        &self,
        docker: &Docker,
        blockers: &[Blocker],
        machine: &Object,
    ) -> Result<Option<Finding>> {
        let name = container_of(machine);
        let Some(container) = docker::inspect(docker, &name).await? else {
            return missing_image(docker, blockers, machine).await;
        };
        let state = container.state.unwrap_or_default();
        if let Some(message) = ended(&name, &state) {
            let lines = docker::logs(docker, &name, JOURNAL).await?;
            return Ok(Some(finding(
                "machine-container-exited",
                message,
                machine,
                lines,
            )));
        }
        if state.running != Some(true) {
            return Ok(None);
        }
        let show = [
            "systemctl",
            "show",
            "kubelet",
            "--property",
            "ActiveState,SubState,InactiveEnterTimestampMonotonic",
        ];
        let shown = docker::exec(docker, &name, &show)
            .await?
            .success("ask for the kubelet")?;
        let unit = Unit::parse(&shown);
        // The journal is long; it is read only when something is wrong.
        if unit.is_active() {
            self.forget(&name);
        } else {
            let uptime = ["cat", "/proc/uptime"];
            let uptime = docker::exec(docker, &name, &uptime)
                .await?
                .success("read the uptime")?;
            let journal = nodes::journal(docker, &name, "kubelet", JOURNAL).await?;
            if let Some(found) = self.kubelet(machine, &name, &unit, &uptime, journal) {
                return Ok(Some(found));
            }
        }
        self.bootstrap(docker, machine, &name).await
    }

    /// What a kubelet that is not active means.
    fn kubelet(
        &self,
        machine: &Object,
        name: &str,
        unit: &Unit,
        uptime: &str,
        journal: Vec<String>,
    ) -> Option<Finding> {
        if let Some(line) = journal.iter().rev().find_map(|line| unknown_flag(line)) {
            let message = format!("the kubelet of {name} does not start: {line}");
            return Some(finding("kubelet-unknown-flag", message, machine, journal));
        }
        // Before kubeadm has written its configuration, a kubelet cannot start, and is expected to fail.
        if journal
            .iter()
            .rev()
            .take(3)
            .any(|line| is_unconfigured(line))
        {
            return None;
        }
        if unit.is_stopped() {
            let stopped = unit.inactive_for(uptime)?;
            if stopped < STOPPED {
                return None;
            }
            let message = format!(
                "the kubelet of {name} is {} for {} s, and nothing restarts it",
                unit.active,
                stopped.as_secs()
            );
            return Some(finding("kubelet-not-running", message, machine, journal));
        }
        let crashing = self.since(name);
        (crashing >= CRASHING).then(|| {
            let message = format!("the kubelet of {name} crashes again and again");
            finding("kubelet-not-running", message, machine, journal)
        })
    }

    /// kubeadm failed in the machine's bootstrap, as CAPD's condition on it says.
    async fn bootstrap(
        &self,
        docker: &Docker,
        machine: &Object,
        name: &str,
    ) -> Result<Option<Finding>> {
        if !bootstrap_failed(machine) {
            return Ok(None);
        }
        let journal = nodes::journal(docker, name, "kubelet", JOURNAL).await?;
        let message =
            format!("kubeadm failed on {name}: Cluster API's bootstrap of it did not succeed");
        Ok(Some(finding("kubeadm-failed", message, machine, journal)))
    }

    fn since(&self, name: &str) -> Duration {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since
            .entry(name.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    fn forget(&self, name: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.remove(name);
    }
}

/// A machine without a container, whose node image cannot be had. CAPD tells it in the conditions of
/// the Machine's infrastructure, or nowhere but in its log; Docker is asked for the image itself.
async fn missing_image(
    docker: &Docker,
    blockers: &[Blocker],
    machine: &Object,
) -> Result<Option<Finding>> {
    let created: Option<Timestamp> = machine.str("/metadata/creationTimestamp").parse().ok();
    let age = created.map(|created| Timestamp::now().duration_since(created).unsigned_abs());
    if age.is_some_and(|age| age < YOUNG) {
        return Ok(None);
    }
    let conditions = ["/status/conditions", "/status/v1beta2/conditions"]
        .into_iter()
        .flat_map(|pointer| machine.array(pointer))
        .filter_map(|condition| condition["message"].as_str())
        .map(str::to_owned);
    let told: Vec<String> = conditions
        .chain(blockers.iter().map(|blocker| blocker.message.clone()))
        .collect();
    for message in &told {
        let Some(image) = image_in(message) else {
            continue;
        };
        if docker::absent(docker.inspect_image(image).await)?.is_none() {
            let text = format!(
                "node image {image} of Machine {} cannot be had",
                machine.name()
            );
            return Ok(Some(finding("image-not-found", text, machine, told)));
        }
    }
    Ok(None)
}

/// The image that CAPD says it cannot pull (`error pulling container image NAME: …`).
fn image_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("error pulling container image ")?;
    let image = rest.split_whitespace().next()?;
    Some(image.trim_end_matches(':'))
}

/// Why a machine's container does not run any more.
fn ended(name: &str, state: &ContainerState) -> Option<String> {
    let over = matches!(state.status?.to_string().as_str(), "exited" | "dead");
    if !over || state.restarting == Some(true) {
        return None;
    }
    let code = state.exit_code.unwrap_or_default();
    let killed = if state.oom_killed == Some(true) {
        ", killed for want of memory"
    } else {
        ""
    };
    Some(format!(
        "the container of machine {name} has ended with exit code {code}{killed}"
    ))
}

/// Whether CAPD gave up a try of the machine's bootstrap.
fn bootstrap_failed(machine: &Object) -> bool {
    ["InfrastructureReady", "BootstrapExecSucceeded"]
        .into_iter()
        .filter_map(|kind| machine.condition(kind))
        .any(|condition| {
            condition.status == "False"
                && (condition.reason == "BootstrapFailed"
                    || condition
                        .message
                        .contains("Failed to exec DockerMachine bootstrap")
                    || condition.message.contains("bootstrap-success.complete"))
        })
}

/// The kubelet's own words on a flag that it does not know.
fn unknown_flag(line: &str) -> Option<&str> {
    let at = line
        .find("unknown flag: ")
        .or_else(|| line.find("unknown shorthand flag: "))?;
    Some(line[at..].trim_end_matches(['"', '\'']))
}

/// The kubelet's own words when kubeadm has not been there yet.
fn is_unconfigured(line: &str) -> bool {
    line.contains("/var/lib/kubelet/config.yaml") && line.contains("no such file or directory")
}

fn finding(cause: &str, message: String, machine: &Object, lines: Vec<String>) -> Finding {
    let evidence = lines[lines.len().saturating_sub(EVIDENCE)..].to_vec();
    Finding {
        cause: cause.to_owned(),
        message,
        object: machine.reference(),
        evidence,
    }
}

/// A unit as `systemctl show` tells it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    active: String,
    sub: String,
    /// Microseconds from boot to when it last became inactive; 0 if it never did.
    inactive_since: u64,
}

impl Unit {
    fn parse(shown: &str) -> Self {
        let value = |name: &str| {
            shown
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default()
        };
        Self {
            active: value("ActiveState").to_owned(),
            sub: value("SubState").to_owned(),
            inactive_since: value("InactiveEnterTimestampMonotonic")
                .parse()
                .unwrap_or_default(),
        }
    }

    fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Whether systemd leaves it at that. A unit that crashes is `activating (auto-restart)`.
    fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// For how long it is inactive; none when it never was anything else.
    fn inactive_for(&self, uptime: &str) -> Option<Duration> {
        let seconds: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        let now = Duration::try_from_secs_f64(seconds).ok()?;
        (self.inactive_since > 0)
            .then(|| now.saturating_sub(Duration::from_micros(self.inactive_since)))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerStateStatusEnum;
    use serde_json::json;

    use super::*;

    fn machine(conditions: serde_json::Value) -> Object {
        Object::new(
            "management",
            json!({
                "kind": "Machine",
                "metadata": {"name": "demo-7f3a09bc-md-0-x7", "namespace": "stackgate-7f3a09bc"},
                "spec": {"clusterName": "demo-7f3a09bc"},
                "status": {"conditions": conditions},
            }),
        )
    }

    fn unit(active: &str, sub: &str, since: u64) -> Unit {
        Unit::parse(&format!(
            "ActiveState={active}\nSubState={sub}\nInactiveEnterTimestampMonotonic={since}\n"
        ))
    }

    fn judge(unit: &Unit, journal: &[&str]) -> Option<Finding> {
        let journal = journal.iter().map(|line| (*line).to_owned()).collect();
        Causes::default().kubelet(&machine(json!([])), "demo-0", unit, "1000.0 1.0\n", journal)
    }

    const UNKNOWN: &str = "2026-01-01T10:00:00+0000 demo-0 kubelet[312]: E0101 10:00:00.1 run.go:72] \"command failed\" err=\"failed to parse kubelet flag: unknown flag: --no-such-flag\"";
    const UNCONFIGURED: &str = "2026-01-01T10:00:00+0000 demo-0 kubelet[9]: failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: open /var/lib/kubelet/config.yaml: no such file or directory";

    #[test]
    fn a_flag_that_the_kubelet_does_not_know_is_named() {
        let found = judge(
            &unit("activating", "auto-restart", 900),
            &["a", UNKNOWN, "b"],
        )
        .unwrap();
        assert_eq!(found.cause, "kubelet-unknown-flag");
        assert_eq!(
            found.message,
            "the kubelet of demo-0 does not start: unknown flag: --no-such-flag"
        );
        assert_eq!(found.evidence, ["a", UNKNOWN, "b"]);
        assert_eq!(found.object.name, "demo-7f3a09bc-md-0-x7");
    }

    #[test]
    fn a_kubelet_that_kubeadm_has_not_configured_yet_is_no_cause() {
        let young = unit("activating", "auto-restart", 900_000_000);
        assert_eq!(judge(&young, &[UNCONFIGURED]), None);
        let failed = unit("failed", "failed", 900_000_000);
        assert_eq!(judge(&failed, &[UNCONFIGURED]), None);
    }

    #[test]
    fn a_kubelet_that_was_stopped_is_a_cause_once_a_restart_is_not_under_way() {
        let seconds = |s: u64| s * 1_000_000;
        let found = judge(
            &unit("inactive", "dead", seconds(970)),
            &["Stopped kubelet"],
        )
        .unwrap();
        assert_eq!(found.cause, "kubelet-not-running");
        assert_eq!(
            found.message,
            "the kubelet of demo-0 is inactive for 30 s, and nothing restarts it"
        );
        assert_eq!(judge(&unit("inactive", "dead", seconds(990)), &[]), None);
        assert_eq!(judge(&unit("inactive", "dead", 0), &[]), None);
        assert_eq!(
            judge(&unit("activating", "auto-restart", seconds(1)), &[]),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_kubelet_that_keeps_crashing_is_a_cause_after_a_while() {
        let causes = Causes::default();
        let crashing = unit("activating", "auto-restart", 1);
        let look = || {
            causes.kubelet(
                &machine(json!([])),
                "demo-0",
                &crashing,
                "9 9",
                vec!["panic".into()],
            )
        };
        assert_eq!(look(), None);
        tokio::time::advance(CRASHING).await;
        assert_eq!(look().unwrap().cause, "kubelet-not-running");
        causes.forget("demo-0");
        assert_eq!(look(), None);
    }

    #[test]
    fn a_container_that_has_ended_tells_how() {
        let state = |status, restarting| ContainerState {
            status: Some(status),
            restarting: Some(restarting),
            exit_code: Some(137),
            oom_killed: Some(true),
            ..ContainerState::default()
        };
        let message = ended("demo-0", &state(ContainerStateStatusEnum::EXITED, false)).unwrap();
        assert!(
            message.contains("exit code 137, killed for want of memory"),
            "{message}"
        );
        assert_eq!(
            ended("demo-0", &state(ContainerStateStatusEnum::EXITED, true)),
            None
        );
        assert_eq!(
            ended("demo-0", &state(ContainerStateStatusEnum::RUNNING, false)),
            None
        );
        assert_eq!(ended("demo-0", &ContainerState::default()), None);
    }

    #[test]
    fn a_failed_bootstrap_and_a_missing_image_are_read_from_conditions() {
        let failed = machine(json!([{
            "type": "InfrastructureReady", "status": "False", "reason": "NotReady",
            "message": "* BootstrapExecSucceeded: Failed to exec DockerMachine bootstrap",
        }]));
        assert!(bootstrap_failed(&failed));
        let early = machine(json!([{
            "type": "InfrastructureReady", "status": "False", "reason": "NotReady", "message": "",
        }]));
        assert!(!bootstrap_failed(&early));
        let message = "failed to create worker DockerMachine: error pulling container image kindest/node:v9: failure pulling container image: no such host";
        assert_eq!(image_in(message), Some("kindest/node:v9"));
        assert_eq!(image_in("error pulling nothing"), None);
    }

    #[test]
    fn a_container_is_named_as_capd_names_it() {
        assert_eq!(container_of(&machine(json!([]))), "demo-7f3a09bc-md-0-x7");
        let mut other = machine(json!([]));
        other.json["metadata"]["name"] = json!("worker-0");
        assert_eq!(container_of(&other), "demo-7f3a09bc-worker-0");
    }
}
