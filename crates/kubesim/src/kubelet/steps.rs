//! How the containers of a pod come on, one change at a time: images, starts, ends, restarts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::container::{Ended, Kind, State, life, plus, said};
use super::image::Images;
use super::pod::{At, PodRun, mounts_cni};
use super::program::{Start, stays};
use crate::fault::Fault;
use crate::object::{name, namespace, text};
use crate::random::Random;

/// Longest back-off of pulls and restarts.
const MAX_BACK_OFF: i64 = 300;
/// For how much longer an agent that left out steps is not ready.
const UNMIGRATED: Duration = Duration::from_mins(1);
/// So long a container has to run until its failures are forgotten.
const STEADY: SignedDuration = SignedDuration::from_mins(10);

impl PodRun {
    /// Hands what containers have said until now to the cluster's logs.
    pub(super) fn print(&mut self, at: &At<'_>) {
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
    pub(super) fn step(&mut self, index: usize, at: &mut At<'_>) -> bool {
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
            machines.note(Fault::ImagePullFails);
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
        let mut run = program.start(&mut Start {
            cluster: at.cluster,
            pod: at.pod,
            container: &spec,
            address: &address,
            restarts: container.restarts,
            stays: stays(at.pod, &spec, container.kind != Kind::Main),
            random: at.random,
        });
        let agent = crate::network::agent(&container.image);
        if agent.is_some_and(|version| at.cluster.machines().agent_came(&self.node, version)) {
            // It sets everything up anew that it finds of before.
            run.ready_after = run.ready_after.map(|after| after + UNMIGRATED);
        }
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
        if crate::network::enforces(at.pod) {
            at.cluster.machines().policies_enforced(&self.node);
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

    pub(super) fn end(
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
