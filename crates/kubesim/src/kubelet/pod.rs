//! One pod on its node: how it comes on from one moment to the next.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::container::{Container, Kind, State, plus};
use super::program::stays;
use super::volume;
use crate::cluster::Cluster;
use crate::event::{News, record};
use crate::object::{int, is_deleting, list, text, truth, uid};
use crate::random::Random;

const NETWORK: &str = "network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";

/// What runs of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodRun {
    pub uid: String,
    pub node: String,
    pub started: Timestamp,
    /// Empty until it has a sandbox.
    pub address: String,
    pub host_address: String,
    /// Init containers first.
    pub containers: Vec<Container>,
    sandbox: Sandbox,
    /// Until when it has stopped.
    pub stops: Option<Timestamp>,
    /// All its containers have been stopped.
    pub stopped: bool,
    pub deadline_exceeded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sandbox {
    /// Network or volumes are not there; tried again then.
    Wanting {
        retry: Timestamp,
        pause: i64,
    },
    /// It is made.
    Coming {
        at: Timestamp,
    },
    Ready,
}

/// What a pod comes on with.
pub(super) struct At<'a> {
    pub cluster: &'a Cluster,
    pub pod: &'a Value,
    pub now: Timestamp,
    pub random: &'a mut Random,
}

impl At<'_> {
    pub(super) fn tell(&self, warning: bool, reason: &str, message: &str, part: &str) {
        let news = News {
            warning,
            reason,
            message,
            part,
            component: "kubelet",
            host: text(self.pod, "/spec/nodeName"),
        };
        record(self.cluster, self.pod, &news);
    }
}

impl PodRun {
    pub fn new(pod: &Value, host_address: &str, now: Timestamp) -> Self {
        let inits = list(pod, "/spec/initContainers")
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let kind = if stays(pod, spec, true) {
                    Kind::Sidecar
                } else {
                    Kind::Init
                };
                Container::new(spec, kind, index)
            });
        let mains = list(pod, "/spec/containers").iter().enumerate();
        let mains = mains.map(|(index, spec)| Container::new(spec, Kind::Main, index));
        Self {
            uid: uid(pod).to_owned(),
            node: text(pod, "/spec/nodeName").to_owned(),
            started: now,
            address: String::new(),
            host_address: host_address.to_owned(),
            containers: inits.chain(mains).collect(),
            sandbox: Sandbox::Wanting {
                retry: now,
                pause: 1,
            },
            stops: None,
            stopped: false,
            deadline_exceeded: false,
        }
    }

    pub fn has_sandbox(&self) -> bool {
        self.sandbox == Sandbox::Ready && !self.stopped
    }

    /// Whether every init container has done its part.
    pub fn is_initialised(&self, now: Timestamp) -> bool {
        self.containers
            .iter()
            .all(|container| container.lets_pass(now) || self.is_over())
    }

    /// `Succeeded` or `Failed`, once nothing of it will run again; else none.
    pub fn outcome(&self, pod: &Value) -> Option<&'static str> {
        if self.deadline_exceeded {
            return Some("Failed");
        }
        let policy = text(pod, "/spec/restartPolicy");
        let ended = |container: &Container| match &container.state {
            State::Ended(ended) => Some(ended.code),
            _ => None,
        };
        let broken = self.containers.iter().any(|container| {
            container.kind == Kind::Init
                && policy == "Never"
                && ended(container).is_some_and(|code| code != 0)
        });
        if broken {
            return Some("Failed");
        }
        if matches!(policy, "" | "Always") && !self.stopped {
            return None;
        }
        let mains = self
            .containers
            .iter()
            .filter(|container| container.kind == Kind::Main);
        let codes: Option<Vec<i32>> = mains.map(ended).collect();
        let codes = codes?;
        if codes.iter().all(|code| *code == 0) {
            Some("Succeeded")
        } else {
            (policy == "Never" || self.stopped).then_some("Failed")
        }
    }

    fn is_over(&self) -> bool {
        self.stopped
    }

    /// Brings the pod to what it is now; when it will change next.
    pub(super) fn advance(&mut self, at: &mut At<'_>) -> Option<Timestamp> {
        if is_deleting(at.pod) {
            return self.stop(at);
        }
        if let Some(seconds) = int(at.pod, "/spec/activeDeadlineSeconds")
            && !self.deadline_exceeded
        {
            let deadline = plus(
                self.started,
                Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            );
            if deadline <= at.now {
                self.deadline_exceeded = true;
                at.tell(
                    false,
                    "DeadlineExceeded",
                    "Pod was active on the node longer than the specified deadline",
                    "",
                );
                self.end_all(at.now);
            }
        }
        if self.stopped {
            return None;
        }
        if let Some(due) = self.make_sandbox(at) {
            return Some(due);
        }
        loop {
            let mut moved = false;
            self.print(at);
            for index in 0..self.containers.len() {
                let turn = self.containers[..index]
                    .iter()
                    .all(|before| before.lets_pass(at.now));
                if turn {
                    moved |= self.step(index, at);
                }
            }
            if !moved {
                break;
            }
        }
        if self.outcome(at.pod).is_some() {
            self.end_all(at.now);
            return None;
        }
        let deadline = int(at.pod, "/spec/activeDeadlineSeconds");
        let deadline = deadline.map(|seconds| {
            plus(
                self.started,
                Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            )
        });
        self.containers
            .iter()
            .filter_map(|container| container.due(at.now))
            .chain(deadline)
            .min()
    }

    /// Network, volumes, sandbox. Some time to look again when that is still to come.
    fn make_sandbox(&mut self, at: &mut At<'_>) -> Option<Timestamp> {
        match self.sandbox {
            Sandbox::Ready => None,
            Sandbox::Coming { at: time } if time > at.now => Some(time),
            Sandbox::Coming { .. } => {
                self.address = if truth(at.pod, "/spec/hostNetwork") {
                    self.host_address.clone()
                } else {
                    at.cluster
                        .machines()
                        .pod_address(&self.node)
                        .unwrap_or_default()
                };
                self.sandbox = Sandbox::Ready;
                None
            }
            Sandbox::Wanting { retry, .. } if retry > at.now => Some(retry),
            Sandbox::Wanting { pause, .. } => {
                let machines = at.cluster.machines();
                let network =
                    truth(at.pod, "/spec/hostNetwork") || machines.has_network(&self.node);
                let wanting = if network {
                    volume::missing(at.cluster, at.pod)
                } else {
                    Some(NETWORK.to_owned())
                };
                if let Some(message) = wanting {
                    let reason = if network {
                        "FailedMount"
                    } else {
                        "NetworkNotReady"
                    };
                    at.tell(true, reason, &message, "");
                    let retry = plus(
                        at.now,
                        Duration::from_secs(u64::try_from(pause).unwrap_or(1)),
                    );
                    let longest = if network { 120 } else { 2 };
                    self.sandbox = Sandbox::Wanting {
                        retry,
                        pause: (pause * 2).min(longest),
                    };
                    return Some(retry);
                }
                let time = plus(
                    at.now,
                    at.random
                        .between(Duration::from_millis(150), Duration::from_millis(600)),
                );
                self.sandbox = Sandbox::Coming { at: time };
                Some(time)
            }
        }
    }

    /// Stops what runs, within the pod's grace period.
    fn stop(&mut self, at: &mut At<'_>) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        let grace = int(at.pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(30);
        let running: Vec<&Container> = self
            .containers
            .iter()
            .filter(|container| container.run.is_some())
            .collect();
        if self.stops.is_none() {
            for container in &running {
                let message = format!("Stopping container {}", container.name);
                at.tell(false, "Killing", &message, &container.part());
            }
        }
        let slowest = running
            .iter()
            .filter_map(|container| {
                let stops = container.run.as_ref()?.stops_after;
                Some(stops + before_stop(container.spec(at.pod)))
            })
            .max();
        let takes = slowest
            .unwrap_or_default()
            .min(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        let until = plus(at.now, takes);
        let until = self.stops.map_or(until, |earlier| earlier.min(until));
        self.stops = Some(until);
        if until > at.now {
            return Some(until);
        }
        self.end_all(at.now);
        None
    }

    fn end_all(&mut self, now: Timestamp) {
        for index in 0..self.containers.len() {
            if let State::Running { since, .. } = self.containers[index].state {
                let slow = self.containers[index]
                    .run
                    .as_ref()
                    .is_some_and(|run| run.stops_after > Duration::from_secs(30));
                let (code, reason) = if slow {
                    (137, "Error")
                } else {
                    (0, "Completed")
                };
                self.end(index, since, now, code, reason, "");
            }
        }
        self.stopped = true;
    }
}

/// How long a container's hook sleeps before it is stopped; other hooks take no time.
fn before_stop(container: &Value) -> Duration {
    let hook = &container["lifecycle"]["preStop"];
    let told = match list(hook, "/exec/command") {
        [sleep, seconds] if sleep == "sleep" => seconds.as_str().and_then(|told| told.parse().ok()),
        _ => int(hook, "/sleep/seconds").and_then(|told| u64::try_from(told).ok()),
    };
    Duration::from_secs(told.unwrap_or_default())
}

/// Whether a pod mounts the folder that CNI configurations are in.
pub(super) fn mounts_cni(pod: &Value) -> bool {
    let volumes = list(pod, "/spec/volumes").iter();
    let mut paths = volumes.map(|volume| text(volume, "/hostPath/path").trim_end_matches('/'));
    paths.any(|path| path == "/etc/cni/net.d" || path == "/etc/cni")
}

impl PodRun {
    /// Whether one of its containers answers at a port now.
    pub fn listens(&self, port: u16, now: Timestamp) -> bool {
        self.containers
            .iter()
            .any(|container| match (&container.state, &container.run) {
                (State::Running { since, .. }, Some(run)) => {
                    run.listens.at(port)
                        && run
                            .ready_after
                            .is_some_and(|after| plus(*since, after) <= now)
                }
                _ => false,
            })
    }
}
