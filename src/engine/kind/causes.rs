//! Causes that waiting does not mend, seen on the machines themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerState;
use futures::future::join_all;
use jiff::Timestamp;
use kube::api::DynamicObject;
use kube::{Api, Client};
use tokio::time::Instant;

use super::{docker, nodes};
use crate::cluster::{Context, Kind, Object};
use crate::engine::journal::{self, finding};
use crate::record::Finding;

/// How many lines of a journal are read for it.
const JOURNAL: usize = 60;
/// After how long a kubelet that was stopped is not just being restarted, by what systemd says.
const STOPPED: Duration = Duration::from_secs(20);
/// For how long a kubelet has to crash before that is a cause.
const CRASHING: Duration = Duration::from_secs(45);
/// For how long kubeadm has to fail before that is a cause.
const FAILING: Duration = Duration::from_secs(60);
/// How long a registry may take to say whether it has an image.
const REGISTRY: Duration = Duration::from_secs(10);
/// CAPD's side of a Machine, in the version that all its releases so far serve.
const DOCKER_MACHINE: Kind = Kind::new(
    "infrastructure.cluster.x-k8s.io",
    "v1beta1",
    "DockerMachine",
    "dockermachines",
);

/// What a container's exit code is when the kernel or Docker killed it (128 + SIGKILL).
const KILLED: i64 = 137;
/// What registries answer when there is no such image, or none for this user; not every version of
/// Docker makes a 404 of it.
pub(super) const NO_IMAGE: [&str; 5] = [
    "manifest unknown",
    "name unknown",
    "repository does not exist",
    "pull access denied",
    "requested access to the resource is denied",
];

/// The management cluster and the run.
pub(super) type Session = (Client, Context);

/// Looks at machines, and remembers since when something was seen.
#[derive(Default)]
pub(super) struct Causes {
    since: Mutex<BTreeMap<String, Instant>>,
    hints: Mutex<Hints>,
}

/// What may explain a wait, and is not beyond doubt the stack's fault.
#[derive(Default)]
struct Hints {
    told: BTreeSet<String>,
    news: Vec<String>,
}

/// What a machine shows.
#[derive(Debug, PartialEq)]
enum Seen {
    /// A cause that waiting does not mend.
    Cause(Finding),
    /// Something for the reader; the wait goes on.
    Hint(String),
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

/// The DockerMachine of a Machine.
async fn infrastructure_of(management: Option<&Session>, machine: &Object) -> Option<Object> {
    let (namespace, resource) = (machine.namespace(), DOCKER_MACHINE.resource());
    let api: Api<DynamicObject> = Api::namespaced_with(management?.0.clone(), namespace, &resource);
    let found = api
        .get(machine.str("/spec/infrastructureRef/name"))
        .await
        .ok()?;
    Some(Object::new("management", serde_json::to_value(found).ok()?))
}

impl Causes {
    /// The first cause beyond doubt among the machines. `management` is the management cluster, where
    /// it can be asked.
    pub(super) async fn find(
        &self,
        docker: &Docker,
        management: Option<&Session>,
        machines: &[Arc<Object>],
    ) -> Option<Finding> {
        let looks = machines
            .iter()
            // What is on its way out is meant to end.
            .filter(|machine| !machine.is_deleting())
            .map(|machine| self.look(docker, management, machine));
        // What cannot be looked at now can be next time.
        join_all(looks)
            .await
            .into_iter()
            .find_map(|look| look.ok().flatten())
    }

    /// What was seen since the last call that may explain the wait and yet is no cause; each is told
    /// once.
    pub(super) fn news(&self) -> Vec<String> {
        std::mem::take(&mut super::lock(&self.hints).news)
    }

    fn hint(&self, hint: String) {
        let mut hints = super::lock(&self.hints);
        if hints.told.insert(hint.clone()) {
            hints.news.push(hint);
        }
    }

    fn judged(&self, seen: Option<Seen>) -> Option<Finding> {
        match seen? {
            Seen::Cause(finding) => Some(finding),
            Seen::Hint(hint) => {
                self.hint(hint);
                None
            }
        }
    }

    async fn look(
        &self,
        docker: &Docker,
        management: Option<&Session>,
        machine: &Object,
    ) -> Result<Option<Finding>> {
        let name = container_of(machine);
        let Some(container) = docker::inspect(docker, &name).await? else {
            let infrastructure = infrastructure_of(management, machine).await;
            let seen = missing_image(docker, machine, infrastructure.as_ref()).await?;
            return Ok(self.judged(seen));
        };
        let state = container.state.unwrap_or_default();
        if let Some(message) = ended(&name, &state) {
            if was_killed(&state) {
                self.hint(format!(
                    "{message}, which the stack need not have caused: see whether the machine has memory left"
                ));
                return Ok(None);
            }
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
        let shown = docker::exec(docker, &name, &show).await?;
        let unit = Unit::parse(&shown.success("ask for the kubelet")?);
        // The journal is long; it is read only when something is wrong.
        if unit.is_active() {
            self.forget(&name);
        } else {
            let uptime = docker::exec(docker, &name, &["cat", "/proc/uptime"]).await?;
            let uptime = uptime.success("read the uptime")?;
            let journal = nodes::journal(docker, &name, "kubelet", JOURNAL).await?;
            if let Some(found) = self.kubelet(machine, &name, &unit, &uptime, journal) {
                return Ok(Some(found));
            }
        }
        if machine.at("/status/nodeRef").is_some() {
            return Ok(None);
        }
        let infrastructure = infrastructure_of(management, machine).await;
        let failing = infrastructure
            .zip(management)
            .is_some_and(|(found, (_, context))| {
                // Who gives everything more time gives it to kubeadm, too: on a crowded machine it succeeds later.
                bootstrap_failing(&found, context.now())
                    .is_some_and(|failing| failing >= context.scaled(FAILING))
            });
        if !failing {
            return Ok(None);
        }
        let journal = nodes::journal(docker, &name, "kubelet", JOURNAL).await?;
        let message = format!("kubeadm fails on {name} again and again, and no node comes of it");
        Ok(Some(finding("kubeadm-failed", message, machine, journal)))
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
        if let Some(found) = journal::unknown_flag(machine, name, &journal) {
            return Some(found);
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

/// A machine without a container, whose node image is neither here nor to be had. CAPD tells so in its
/// log alone, which holds secrets; its DockerMachine names the image.
async fn missing_image(
    docker: &Docker,
    machine: &Object,
    infrastructure: Option<&Object>,
) -> Result<Option<Seen>> {
    let image = infrastructure.map_or("", |found| found.str("/spec/customImage"));
    let bootstrapped = machine.at("/spec/bootstrap/dataSecretName").is_some();
    if image.is_empty()
        || !bootstrapped
        || docker::absent(docker.inspect_image(image).await)?.is_some()
    {
        return Ok(None);
    }
    // Docker may be pulling it, so what counts is what the registry says.
    let asked = tokio::time::timeout(REGISTRY, docker.inspect_registry_image(image, None)).await;
    Ok(match asked {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(refused(machine, image, &error)),
        Err(_) => {
            let why = format!(
                "its registry does not answer within {} s",
                REGISTRY.as_secs()
            );
            Some(Seen::Hint(unknown_image(machine, image, &why)))
        }
    })
}

/// What a registry's refusal means. Only the answer that there is no such image is the stack's fault;
/// a rate limit or a network that is down is not.
fn refused(machine: &Object, image: &str, error: &Error) -> Seen {
    let why = error.to_string();
    let told = why.to_lowercase();
    let absent = matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    );
    if !absent && !NO_IMAGE.iter().any(|answer| told.contains(answer)) {
        let why = docker::clean_lines(&why).join(" ");
        return Seen::Hint(unknown_image(machine, image, &why));
    }
    let name = machine.name();
    let message =
        format!("node image {image} of Machine {name} is neither on this machine nor to be had");
    let lines = docker::clean_lines(&why);
    Seen::Cause(finding("image-not-found", message, machine, lines))
}

fn unknown_image(machine: &Object, image: &str, why: &str) -> String {
    format!(
        "Machine {} has no container: node image {image} is not on this machine, and whether it is to be had is not known: {why}",
        machine.name()
    )
}

/// Whether a container was killed from outside, as the kernel does for want of memory.
fn was_killed(state: &ContainerState) -> bool {
    state.oom_killed == Some(true) || state.exit_code == Some(KILLED)
}

/// Why a machine's container does not run any more.
fn ended(name: &str, state: &ContainerState) -> Option<String> {
    let end = docker::end_of(state)?;
    Some(format!("the container of machine {name} {end}"))
}

/// For how long CAPD says that kubeadm failed; it tries again, in vain as a rule.
fn bootstrap_failing(infrastructure: &Object, now: Timestamp) -> Option<Duration> {
    let condition = infrastructure.condition("BootstrapExecSucceeded")?;
    let failed = condition.status == "False" && condition.reason == "BootstrapFailed";
    let since = condition.since.filter(|_| failed)?;
    Some(now.duration_since(since).unsigned_abs())
}

/// The kubelet's own words when kubeadm has not been there yet.
fn is_unconfigured(line: &str) -> bool {
    line.contains("/var/lib/kubelet/config.yaml") && line.contains("no such file or directory")
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
    fn a_machine_killed_from_outside_is_told_from_one_that_ended_itself() {
        for (code, oom, killed) in [
            (137, true, true),
            (137, false, true),
            (255, true, true),
            (1, false, false),
            (130, false, false),
        ] {
            let state = ContainerState {
                exit_code: Some(code),
                oom_killed: Some(oom),
                ..ContainerState::default()
            };
            assert_eq!(was_killed(&state), killed, "{code} {oom}");
        }
    }

    #[test]
    fn only_a_registry_that_has_no_such_image_is_a_cause() {
        let seen = |status_code, message: &str| {
            let message = message.to_owned();
            let error = Error::DockerResponseServerError {
                status_code,
                message,
            };
            refused(&machine(json!([])), "demo/node:v1", &error)
        };
        for (status, message) in [
            (404, "not found"),
            (500, "manifest unknown: manifest unknown"),
            (
                403,
                "pull access denied for demo/node, repository does not exist or may require 'docker login'",
            ),
            (
                401,
                "errors: denied: requested access to the resource is denied",
            ),
        ] {
            let Seen::Cause(found) = seen(status, message) else {
                panic!("{message} is no cause")
            };
            assert_eq!(found.cause, "image-not-found");
            assert!(found.evidence[0].contains(message), "{found:?}");
        }
        for (status, message) in [
            (
                429,
                "toomanyrequests: You have reached your pull rate limit",
            ),
            (
                500,
                "dial tcp: lookup registry.example on 192.0.2.1:53: no such host",
            ),
            (
                500,
                "net/http: request canceled while waiting for connection",
            ),
            (503, "service unavailable"),
        ] {
            let Seen::Hint(hint) = seen(status, message) else {
                panic!("{message} is a cause")
            };
            assert!(hint.contains("demo/node:v1"), "{hint}");
            assert!(hint.contains(message), "{hint}");
        }
    }

    #[test]
    fn a_hint_is_told_once() {
        let causes = Causes::default();
        for _ in 0..2 {
            assert_eq!(causes.judged(Some(Seen::Hint("slow".to_owned()))), None);
        }
        assert_eq!(causes.news(), ["slow"]);
        assert_eq!(causes.judged(Some(Seen::Hint("slow".to_owned()))), None);
        assert_eq!(causes.news(), Vec::<String>::new());
    }

    #[test]
    fn a_failing_bootstrap_is_told_from_one_under_way() {
        let now: Timestamp = "2026-01-01T10:01:30Z".parse().unwrap();
        let failing = |reason: &str| {
            bootstrap_failing(
                &machine(json!([{
                    "type": "BootstrapExecSucceeded", "status": "False", "reason": reason,
                    "severity": "Warning", "message": "Repeating bootstrap",
                    "lastTransitionTime": "2026-01-01T10:00:00Z",
                }])),
                now,
            )
        };
        assert_eq!(failing("BootstrapFailed"), Some(Duration::from_secs(90)));
        assert_eq!(failing("Bootstrapping"), None);
        assert_eq!(bootstrap_failing(&machine(json!([])), now), None);
    }

    #[test]
    fn a_container_is_named_as_capd_names_it() {
        assert_eq!(container_of(&machine(json!([]))), "demo-7f3a09bc-md-0-x7");
        let mut other = machine(json!([]));
        other.json["metadata"]["name"] = json!("worker-0");
        assert_eq!(container_of(&other), "demo-7f3a09bc-worker-0");
    }
}
