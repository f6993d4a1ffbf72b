//! One pod on its node: how it comes on from one moment to the next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::container::{Container, Ended, Kind, State, life, plus, said};
use super::image::Images;
use super::program::{Start, stays};
use super::volume;
use crate::cluster::Cluster;
use crate::event::{News, record};
use crate::fault::Fault;
use crate::object::{int, is_deleting, list, name, namespace, text, truth, uid};
use crate::random::Random;

/// Longest back-off of pulls and restarts.
const MAX_BACK_OFF: i64 = 300;
/// So long a container has to run until its failures are forgotten.
const STEADY: SignedDuration = SignedDuration::from_mins(10);
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
    fn tell(&self, warning: bool, reason: &str, message: &str, part: &str) {
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

    /// Hands what containers have said until now to the cluster's logs.
    fn print(&mut self, at: &At<'_>) {
        for container in &mut self.containers {
            let (State::Running { since, .. }, Some(run)) = (&container.state, &container.run)
            else {
                continue;
            };
            let logs = at.cluster.logs();
            while let Some((after, line)) = run.logs.get(container.printed) {
                let time = plus(*since, *after);
                if time > at.now {
                    break;
                }
                logs.append(namespace(at.pod), name(at.pod), &container.name, time, line);
                container.printed += 1;
            }
        }
    }

    /// One change of one container, if one is due.
    fn step(&mut self, index: usize, at: &mut At<'_>) -> bool {
        let now = at.now;
        match self.containers[index].state.clone() {
            State::Waiting => self.fetch(index, at),
            State::Pulling { until, since } if until <= now => self.pulled(index, since, at),
            State::NoImage { retry, .. } if retry <= now => self.fetch(index, at),
            State::Creating { until } if until <= now => self.start(index, at),
            State::Running { since, life } => {
                if let Some((time, probe)) = life.killed.filter(|(time, _)| *time <= now) {
                    let container = &self.containers[index];
                    let message = format!(
                        "Container {} failed {probe} probe, will be restarted",
                        container.name
                    );
                    let (part, failing) = (
                        container.part(),
                        format!("{} probe failed: connection refused", capital(probe)),
                    );
                    at.tell(true, "Unhealthy", &failing, &part);
                    at.tell(false, "Killing", &message, &part);
                    self.end(index, since, time.max(since), 137, "Error", "");
                    return true;
                }
                if let Some(time) = life.ends.filter(|time| *time <= now) {
                    let run = self.containers[index].run.clone();
                    let end = run.and_then(|run| run.end);
                    let (code, message) =
                        end.map_or((0, String::new()), |end| (end.code, end.message));
                    let reason = if code == 0 { "Completed" } else { "Error" };
                    self.say_last(index, at.pod, code, message, since, time, reason);
                    return true;
                }
                if let Some(time) = life.unhealthy.filter(|time| *time <= now) {
                    let part = self.containers[index].part();
                    at.tell(
                        true,
                        "Unhealthy",
                        "Readiness probe failed: connection refused",
                        &part,
                    );
                    let next = time.saturating_add(life.period).unwrap_or(Timestamp::MAX);
                    let next =
                        Some(next).filter(|next| life.ready.is_none_or(|ready| *next < ready));
                    self.containers[index].state = State::Running {
                        since,
                        life: super::container::Life {
                            unhealthy: next,
                            ..life
                        },
                    };
                    return true;
                }
                false
            }
            State::Ended(ended) => self.restart(index, ended, at),
            State::BackOff { until, .. } if until <= now => {
                self.containers[index].restarts += 1;
                self.fetch(index, at)
            }
            _ => false,
        }
    }

    /// Looks for the image, and begins to pull it when need be.
    fn fetch(&mut self, index: usize, at: &mut At<'_>) -> bool {
        let container = &mut self.containers[index];
        let policy = match text(container.spec(at.pod), "/imagePullPolicy") {
            "" if container.image.ends_with(":latest")
                || !super::image::full(&container.image).contains(&container.image) =>
            {
                "Always"
            }
            "" => "IfNotPresent",
            told => told,
        };
        let machines = at.cluster.machines();
        let there = machines.has_image(&self.node, &container.image);
        let part = container.part();
        if there && policy != "Always" {
            let message = format!(
                "Container image \"{}\" already present on machine and can be accessed by the pod",
                container.image
            );
            at.tell(false, "Pulled", &message, &part);
            container.state = State::Creating {
                until: plus(at.now, creation(at.random)),
            };
            return true;
        }
        if policy == "Never" {
            let message = format!(
                "Container image \"{}\" is not present with pull policy of Never",
                container.image
            );
            at.tell(true, "ErrImageNeverPull", &message, &part);
            at.tell(true, "Failed", "Error: ErrImageNeverPull", &part);
            let retry = plus(at.now, Duration::from_secs(15));
            container.state = State::NoImage {
                message,
                told_until: at.now,
                retry,
                never: true,
            };
            return false;
        }
        at.tell(
            false,
            "Pulling",
            &format!("Pulling image \"{}\"", container.image),
            &part,
        );
        let until = machines.pull(&self.node, &container.image, at.now, there, at.random);
        container.state = State::Pulling {
            until,
            since: at.now,
        };
        true
    }

    fn pulled(&mut self, index: usize, since: Timestamp, at: &mut At<'_>) -> bool {
        let container = &mut self.containers[index];
        let machines = at.cluster.machines();
        let there = machines.has_image(&self.node, &container.image);
        let fault = machines.suffer(Fault::ImagePullFails) && !there;
        let refusal = if fault {
            Some(Images::unreachable(&container.image))
        } else {
            machines.images().refusal(&container.image)
        };
        let part = container.part();
        let Some(refusal) = refusal else {
            let took = at.now.duration_since(since).as_millis();
            let message = format!(
                "Successfully pulled image \"{}\" in {took}ms ({took}ms including waiting). Image size: 30000000 bytes.",
                container.image
            );
            at.tell(false, "Pulled", &message, &part);
            machines.preload(&self.node, &container.image);
            container.refused = 0;
            container.state = State::Creating {
                until: plus(at.now, creation(at.random)),
            };
            return true;
        };
        at.tell(
            true,
            "Failed",
            &format!("Failed to pull image \"{}\": {refusal}", container.image),
            &part,
        );
        at.tell(true, "Failed", "Error: ErrImagePull", &part);
        at.tell(
            false,
            "BackOff",
            &format!("Back-off pulling image \"{}\"", container.image),
            &part,
        );
        at.tell(true, "Failed", "Error: ImagePullBackOff", &part);
        let pause = (10_i64 << container.refused.min(5)).min(MAX_BACK_OFF);
        container.refused += 1;
        let told_until = plus(at.now, Duration::from_secs(2));
        let retry = plus(at.now, Duration::from_secs(pause.unsigned_abs()));
        container.state = State::NoImage {
            message: refusal,
            told_until,
            retry,
            never: false,
        };
        true
    }

    fn start(&mut self, index: usize, at: &mut At<'_>) -> bool {
        let address = self.address.clone();
        let container = &mut self.containers[index];
        let spec = container.spec(at.pod).clone();
        let part = container.part();
        at.tell(
            false,
            "Created",
            &format!("Created container: {}", container.name),
            &part,
        );
        at.tell(
            false,
            "Started",
            &format!("Started container {}", container.name),
            &part,
        );
        let program = at.cluster.machines().programs().of(&container.image);
        let run = program.start(&mut Start {
            cluster: at.cluster,
            pod: at.pod,
            container: &spec,
            address: &address,
            restarts: container.restarts,
            stays: stays(at.pod, &spec, container.kind != Kind::Main),
            random: at.random,
        });
        container.id = format!(
            "containerd://{}{}",
            super::image::digest(&at.random.name(16)).trim_start_matches("sha256:"),
            ""
        );
        container.state = State::Running {
            since: at.now,
            life: life(&spec, &run, at.now),
        };
        container.run = Some(run);
        container.printed = 0;
        at.cluster
            .logs()
            .restart(namespace(at.pod), name(at.pod), &container.name);
        if mounts_cni(at.pod) {
            at.cluster.machines().network_came(&self.node);
        }
        true
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of a container's end"
    )]
    fn say_last(
        &mut self,
        index: usize,
        pod: &Value,
        code: i32,
        mut message: String,
        since: Timestamp,
        time: Timestamp,
        reason: &'static str,
    ) {
        let container = &self.containers[index];
        let falls_back =
            text(container.spec(pod), "/terminationMessagePolicy") == "FallbackToLogsOnError";
        if message.is_empty() && falls_back && code != 0 {
            let lines = container
                .run
                .as_ref()
                .map(|run| said(run, since, time))
                .unwrap_or_default();
            message = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        }
        self.end(index, since, time, code, reason, &message);
    }

    fn end(
        &mut self,
        index: usize,
        since: Timestamp,
        time: Timestamp,
        code: i32,
        reason: &'static str,
        message: &str,
    ) {
        let container = &mut self.containers[index];
        container.run = None;
        if time.duration_since(since) >= STEADY {
            container.failed = 0;
        }
        container.state = State::Ended(Ended {
            code,
            reason,
            message: message.to_owned(),
            started: since,
            finished: time,
            id: container.id.clone(),
        });
    }

    /// What happens to a container that has ended: it comes again, at once or after a back-off, or not.
    fn restart(&mut self, index: usize, ended: Ended, at: &mut At<'_>) -> bool {
        let container = &mut self.containers[index];
        let again = match (container.kind, text(at.pod, "/spec/restartPolicy")) {
            (Kind::Sidecar, _) => true,
            (Kind::Init, policy) => ended.code != 0 && policy != "Never",
            (Kind::Main, "" | "Always") => true,
            (Kind::Main, "OnFailure") => ended.code != 0,
            (Kind::Main, _) => false,
        };
        if !again {
            return false;
        }
        container.failed += 1;
        let first = container.failed == 1;
        let seconds = if first {
            1
        } else {
            (10_i64 << (container.failed - 2).min(5)).min(MAX_BACK_OFF)
        };
        let until = plus(
            ended.finished.max(at.now),
            Duration::from_secs(seconds.unsigned_abs()),
        );
        container.last = Some(ended);
        if first {
            // The first time it comes again without a back-off.
            container.restarts += 1;
            container.state = State::Creating { until };
        } else {
            let message = format!(
                "Back-off restarting failed container {} in pod {}_{}({})",
                container.name,
                name(at.pod),
                namespace(at.pod),
                self.uid
            );
            let part = container.part();
            at.tell(true, "BackOff", &message, &part);
            container.state = State::BackOff { until, seconds };
        }
        true
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
            .filter_map(|container| container.run.as_ref())
            .map(|run| run.stops_after)
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

/// Whether a pod mounts the folder that CNI configurations are in.
pub(super) fn mounts_cni(pod: &Value) -> bool {
    let volumes = list(pod, "/spec/volumes").iter();
    let mut paths = volumes.map(|volume| text(volume, "/hostPath/path").trim_end_matches('/'));
    paths.any(|path| path == "/etc/cni/net.d" || path == "/etc/cni")
}

fn creation(random: &mut Random) -> Duration {
    random.between(Duration::from_millis(100), Duration::from_millis(400))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
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
