//! One container of a pod: what state it is in, and when the next change of it is due.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::image;
use super::program::Run;
use crate::clock::stamp;
use crate::object::int;

/// Which of a pod's containers it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that stays.
    Sidecar,
    /// One of the pod's own.
    Main,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub code: i32,
    pub reason: &'static str,
    pub message: String,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub id: String,
}

/// When a run becomes what, worked out at its start: programs do not change their mind, so that no
/// probe has to be simulated one by one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Life {
    pub started: Option<Timestamp>,
    pub ready: Option<Timestamp>,
    /// By which probe, and when.
    pub killed: Option<(Timestamp, &'static str)>,
    pub ends: Option<Timestamp>,
    /// The next failing readiness probe.
    pub unhealthy: Option<Timestamp>,
    pub period: SignedDuration,
}

/// What a container is in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// It has not been its turn yet.
    Waiting,
    Pulling {
        until: Timestamp,
        since: Timestamp,
    },
    /// An image is not to be had; first it is told so, then that it is waited.
    NoImage {
        message: String,
        told_until: Timestamp,
        retry: Timestamp,
        never: bool,
    },
    Creating {
        until: Timestamp,
    },
    Running {
        since: Timestamp,
        life: Life,
    },
    Ended(Ended),
    /// It waits out its back-off after failing.
    BackOff {
        until: Timestamp,
        seconds: i64,
    },
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub name: String,
    pub image: String,
    pub kind: Kind,
    /// Its place in `spec.containers` or `spec.initContainers`.
    pub index: usize,
    pub state: State,
    pub last: Option<Ended>,
    pub restarts: u32,
    pub run: Option<Run>,
    pub id: String,
    /// How many lines of its present run are printed.
    pub printed: usize,
    /// How often the image could not be pulled in a row.
    pub refused: u32,
    /// How often it failed without staying up in between.
    pub failed: u32,
}

impl Container {
    pub fn new(spec: &Value, kind: Kind, index: usize) -> Self {
        let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            image: text("image"),
            kind,
            index,
            state: State::Waiting,
            last: None,
            restarts: 0,
            run: None,
            id: String::new(),
            printed: 0,
            refused: 0,
            failed: 0,
        }
    }

    /// Its part of the pod's spec.
    pub fn spec<'p>(&self, pod: &'p Value) -> &'p Value {
        let part = if self.kind == Kind::Main {
            "containers"
        } else {
            "initContainers"
        };
        &pod["spec"][part][self.index]
    }

    /// Its part of the pod as events name it.
    pub fn part(&self) -> String {
        let part = if self.kind == Kind::Main {
            "containers"
        } else {
            "initContainers"
        };
        format!("spec.{part}{{{}}}", self.name)
    }

    /// Whether its startup is over.
    pub fn is_started(&self, now: Timestamp) -> bool {
        matches!(&self.state, State::Running { life, .. } if life.started.is_some_and(|at| at <= now))
    }

    /// Whether it is ready; an init container is when it has succeeded.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Running { life, .. } => {
                self.kind != Kind::Init && life.ready.is_some_and(|at| at <= now)
            }
            State::Ended(ended) => self.kind == Kind::Init && ended.code == 0,
            _ => false,
        }
    }

    /// Whether it has done what those behind it wait for.
    pub fn lets_pass(&self, now: Timestamp) -> bool {
        match self.kind {
            Kind::Init => matches!(&self.state, State::Ended(ended) if ended.code == 0),
            Kind::Sidecar => self.is_started(now),
            Kind::Main => true,
        }
    }

    /// When its next change is due.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let later = |at: Option<Timestamp>| at.filter(|at| *at > now);
        match &self.state {
            State::Waiting | State::Ended(_) => None,
            State::Pulling { until, .. }
            | State::Creating { until }
            | State::BackOff { until, .. } => Some(*until),
            State::NoImage {
                told_until, retry, ..
            } => later(Some(*told_until)).or(Some(*retry)),
            State::Running { since, life } => {
                let killed = life.killed.map(|(at, _)| at);
                let line = self.run.as_ref().and_then(|run| run.logs.get(self.printed));
                let line = line.map(|(after, _)| plus(since.to_owned(), *after));
                [
                    line,
                    later(life.started),
                    later(life.ready),
                    killed,
                    life.ends,
                    life.unhealthy,
                ]
                .into_iter()
                .flatten()
                .min()
            }
        }
    }

    /// Its entry in the pod's status.
    pub fn status(&self, now: Timestamp, initialising: bool) -> Value {
        let begun = !matches!(
            self.state,
            State::Waiting | State::Pulling { .. } | State::NoImage { .. } | State::Creating { .. }
        ) || self.last.is_some();
        let waiting = |reason: &str, message: &str| {
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = json!(message);
            }
            json!({"waiting": waiting})
        };
        let state = match &self.state {
            State::Waiting if initialising => waiting("PodInitializing", ""),
            State::Waiting | State::Pulling { .. } | State::Creating { .. } => {
                waiting("ContainerCreating", "")
            }
            State::NoImage {
                message,
                never: true,
                ..
            } => waiting("ErrImageNeverPull", message),
            State::NoImage {
                message,
                told_until,
                ..
            } if *told_until > now => waiting("ErrImagePull", message),
            State::NoImage { message, .. } => {
                let message = format!(
                    "Back-off pulling image \"{}\": ErrImagePull: {message}",
                    self.image
                );
                waiting("ImagePullBackOff", &message)
            }
            State::Running { since, .. } => json!({"running": {"startedAt": stamp(*since)}}),
            State::Ended(ended) => json!({"terminated": ended.status()}),
            State::BackOff { seconds, .. } => {
                let message = format!(
                    "back-off {} restarting failed container={}",
                    shown(*seconds),
                    self.name
                );
                waiting("CrashLoopBackOff", &message)
            }
        };
        let last = match &self.last {
            Some(ended) => json!({"terminated": ended.status()}),
            None => json!({}),
        };
        let mut status = json!({
            "name": self.name, "state": state, "lastState": last,
            "ready": self.is_ready(now), "restartCount": self.restarts,
            "image": if begun { image::full(&self.image) } else { self.image.clone() },
            "imageID": if begun { image::id(&self.image) } else { String::new() },
            "started": self.is_started(now),
        });
        if begun && !self.id.is_empty() {
            status["containerID"] = json!(self.id);
        }
        status
    }
}

impl Ended {
    fn status(&self) -> Value {
        let mut status = json!({
            "exitCode": self.code, "reason": self.reason,
            "startedAt": stamp(self.started), "finishedAt": stamp(self.finished), "containerID": self.id,
        });
        if !self.message.is_empty() {
            status["message"] = json!(self.message);
        }
        status
    }
}

/// What a run has said until a time.
pub(crate) fn said(run: &Run, since: Timestamp, until: Timestamp) -> Vec<(Timestamp, String)> {
    let lines = run
        .logs
        .iter()
        .map(|(after, line)| (plus(since, *after), line.clone()));
    lines.filter(|(at, _)| *at <= until).collect()
}

/// Seconds as Go writes durations in messages of the kubelet.
fn shown(seconds: i64) -> String {
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

/// A time after another.
pub(crate) fn plus(time: Timestamp, after: std::time::Duration) -> Timestamp {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    time.saturating_add(after).unwrap_or(Timestamp::MAX)
}

struct Probe {
    delay: SignedDuration,
    period: SignedDuration,
    successes: i32,
    failures: i32,
}

impl Probe {
    fn of(container: &Value, kind: &str) -> Option<Self> {
        let probe = container.get(kind).filter(|probe| probe.is_object())?;
        let seconds = |key: &str, default: i64, least: i64| {
            int(probe, &format!("/{key}")).unwrap_or(default).max(least)
        };
        let number = |key: &str, default: i64| i32::try_from(seconds(key, default, 1)).unwrap_or(1);
        Some(Self {
            delay: SignedDuration::from_secs(seconds("initialDelaySeconds", 0, 0)),
            period: SignedDuration::from_secs(seconds("periodSeconds", 10, 1)),
            successes: number("successThreshold", 1),
            failures: number("failureThreshold", 3),
        })
    }

    /// The first probe at or after a time, when the probes begin at another.
    fn first_at(&self, begin: Timestamp, wanted: Timestamp) -> Timestamp {
        if wanted <= begin {
            return begin;
        }
        let periods = wanted
            .duration_since(begin)
            .as_millis()
            .div_euclid(self.period.as_millis().max(1));
        let periods = i32::try_from(periods).unwrap_or(i32::MAX);
        let tick = later(begin, self.period.saturating_mul(periods));
        if tick < wanted {
            later(tick, self.period)
        } else {
            tick
        }
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// What becomes of a run that starts now.
pub(crate) fn life(container: &Value, run: &Run, since: Timestamp) -> Life {
    let up = run.ready_after.map(|after| plus(since, after));
    let ends = run.end.as_ref().map(|end| plus(since, end.after));
    let mut killed = None;
    let started = match Probe::of(container, "startupProbe") {
        None => Some(since),
        Some(probe) => {
            let begin = later(since, probe.delay);
            let last = later(begin, probe.period.saturating_mul(probe.failures - 1));
            let succeeds = up
                .map(|up| probe.first_at(begin, up))
                .filter(|at| *at <= last);
            if succeeds.is_none() {
                killed = Some((last, "startup"));
            }
            succeeds
        }
    };
    let (mut ready, mut unhealthy, mut period) = (started, None, SignedDuration::ZERO);
    if let (Some(started), Some(probe)) = (started, Probe::of(container, "readinessProbe")) {
        let begin = started.max(later(since, probe.delay));
        let extra = probe.period.saturating_mul(probe.successes - 1);
        ready = up.map(|up| later(probe.first_at(begin, up), extra));
        unhealthy = up.is_none_or(|up| begin < up).then_some(begin);
        period = probe.period.max(SignedDuration::from_secs(10));
    }
    if let (Some(started), Some(probe)) = (started, Probe::of(container, "livenessProbe")) {
        let begin = started.max(later(since, probe.delay));
        let last = later(begin, probe.period.saturating_mul(probe.failures - 1));
        if up.is_none_or(|up| up > last) {
            killed = Some((last, "liveness"));
        }
    }
    Life {
        started,
        ready,
        killed,
        ends,
        unhealthy,
        period,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kubelet::program::Listens;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn server(up: u64) -> Run {
        Run::server(Duration::from_secs(up), Listens::Anywhere)
    }

    #[test]
    fn readiness_comes_with_the_first_probe_that_succeeds() {
        let container = json!({"readinessProbe": {"initialDelaySeconds": 2, "periodSeconds": 5}});
        assert_eq!(life(&container, &server(0), at(0)).ready, Some(at(2)));
        assert_eq!(life(&container, &server(3), at(0)).ready, Some(at(7)));
        assert_eq!(life(&json!({}), &server(3), at(0)).ready, Some(at(0)));
    }

    #[test]
    fn a_server_that_is_too_slow_is_killed_unless_a_startup_probe_waits_for_it() {
        let alive = json!({"periodSeconds": 10, "failureThreshold": 3});
        let container = json!({"livenessProbe": alive});
        assert_eq!(
            life(&container, &server(60), at(0)).killed,
            Some((at(20), "liveness"))
        );
        let container = json!({"livenessProbe": alive, "startupProbe": {"periodSeconds": 10, "failureThreshold": 30}});
        let life = life(&container, &server(60), at(0));
        assert_eq!(
            (life.killed, life.started, life.ready),
            (None, Some(at(60)), Some(at(60)))
        );
    }
}
