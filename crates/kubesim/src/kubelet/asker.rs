//! Containers that ask the network again and again, and print how it went: a loop around one connection,
//! one look-up, one file.
//!
//! No try is simulated one by one. What an answer depends on are objects: when none of these changes, the
//! answer stays what it was, and tries are counted. They are asked for real at the first try after a
//! change, and with every printed line.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::container::{State, plus};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::network::{self, Failure};
use crate::object::{condition, is_deleting, text};
use crate::random::Random;
use crate::resource::GroupResource;
use crate::resource::builtin::{ENDPOINT_SLICES, NETWORK_POLICIES, NODES, PODS, SERVICES};
use crate::store::{Change, ChangeKind, Place};

/// How long a try takes that is answered at once.
const QUICK: Duration = Duration::from_millis(20);
/// How many tries are asked for real after an answer that is another one than before: a server may come up
/// without any object telling.
const CLOSER: u32 = 5;

/// What is asked again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What each line begins with.
    pub name: String,
    /// The question.
    pub question: Question,
    /// After how long a try is given up.
    pub timeout: Duration,
    /// How long it is waited after each try.
    pub pause: Duration,
    /// How many tries with the same answer one line tells of; an answer that is another one is told at once.
    pub line: usize,
}

/// A question with the answer `ok`, or a word that says why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A TCP connection to a name or address.
    Connect {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The address of a name.
    Lookup(String),
    /// A file that holds what was written into it at the start.
    Kept {
        /// The PersistentVolume.
        volume: String,
        /// The path within it.
        path: String,
        /// What it has to hold.
        content: String,
    },
}

/// One question of one container, as it goes on.
#[derive(Debug)]
struct Asking {
    ask: Ask,
    /// The answer so far, and how long it takes.
    answer: Option<(&'static str, Duration)>,
    /// Tries with this answer that no line has told of.
    untold: usize,
    /// When the last try ended, and the next one begins.
    ended: Timestamp,
    next: Timestamp,
    /// From when on a try is asked for real.
    look: Timestamp,
    closer: u32,
    /// Lines that are to be printed, each at the end of its last try.
    lines: VecDeque<(Timestamp, String)>,
}

impl Asking {
    fn new(ask: Ask, since: Timestamp) -> Self {
        Self {
            ask,
            answer: None,
            untold: 0,
            ended: since,
            next: since,
            look: since,
            closer: 0,
            lines: VecDeque::new(),
        }
    }

    fn due(&self) -> Timestamp {
        let line = self.lines.front().map(|(at, _)| *at);
        line.map_or(self.look, |line| line.min(self.look))
    }

    /// Something changed: the first try from now on is asked for real.
    fn changed(&mut self, now: Timestamp) {
        self.look = self.look.min(now.max(self.next));
    }

    /// Comes to now, asking when it is due.
    fn come(&mut self, now: Timestamp, mut ask: impl FnMut(&Ask) -> (&'static str, Duration)) {
        while self.look <= now {
            self.skip();
            if self.next > now {
                self.look = self.next;
                break;
            }
            let (word, took) = ask(&self.ask);
            self.tried(word, took);
        }
    }

    /// Counts the tries that were not asked for real.
    fn skip(&mut self) {
        let Some((word, took)) = self.answer else {
            return;
        };
        while self.next < self.look {
            self.count(word, took);
        }
    }

    fn tried(&mut self, word: &'static str, took: Duration) {
        if self.answer.is_none_or(|(known, _)| known != word) {
            self.tell();
            self.closer = CLOSER;
            self.count(word, took);
            self.tell();
        } else {
            self.count(word, took);
        }
        self.closer = self.closer.saturating_sub(1);
        self.look = if self.closer > 0 {
            self.next
        } else {
            // With the try that fills the line.
            let cycle = took + self.ask.pause;
            let left = self.ask.line.saturating_sub(self.untold + 1);
            plus(self.next, cycle * u32::try_from(left).unwrap_or(0))
        };
    }

    fn count(&mut self, word: &'static str, took: Duration) {
        self.answer = Some((word, took));
        self.untold += 1;
        self.ended = plus(self.next, took);
        self.next = plus(self.ended, self.ask.pause.max(Duration::from_millis(1)));
        if self.untold >= self.ask.line {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Some((word, took)) = self.answer.filter(|_| self.untold > 0) else {
            return;
        };
        let mut line = format!("{} {word}", self.ask.name);
        for _ in 0..self.untold {
            line.push_str(&format!(" {}", took.as_millis()));
        }
        self.untold = 0;
        self.lines.push_back((self.ended, line));
    }
}

/// A container that asks, since its start.
#[derive(Debug)]
struct Living {
    since: Timestamp,
    container: String,
    questions: Vec<Asking>,
    due: Timestamp,
}

/// Runs what containers ask.
#[derive(Debug, Default)]
pub(crate) struct Askers {
    living: BTreeMap<Key, Living>,
}

/// What runs in a pod that asks: since when, in which container, what, and from which address.
type Running = (Timestamp, String, Vec<Ask>, String);

fn running(cluster: &Cluster, place: &Place) -> Option<Running> {
    let state = cluster.machines().state();
    let run = state.pods.get(place)?;
    if run.stopped {
        return None;
    }
    run.containers.iter().find_map(|container| {
        let State::Running { since, .. } = container.state else {
            return None;
        };
        let asks = &container.run.as_ref()?.asks;
        let name = container.name.clone();
        (!asks.is_empty()).then(|| (since, name, asks.clone(), run.address.clone()))
    })
}

impl Controller for Askers {
    fn name(&self) -> &'static str {
        "asker"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![PODS, ENDPOINT_SLICES, SERVICES, NETWORK_POLICIES, NODES]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == PODS {
            let own = Key::of(change);
            if self.living.contains_key(&own) || running(cluster, &change.object.place()).is_some()
            {
                return vec![own];
            }
        }
        if self.living.is_empty() || !matters(change) {
            return Vec::new();
        }
        self.living.keys().cloned().collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let now = api.clock().now();
        let place = (key.namespace.clone(), key.name.clone());
        let pod = api.get(&PODS, &key.namespace, &key.name);
        let (Some(pod), Some((since, container, asks, address))) =
            (pod, running(cx.cluster, &place))
        else {
            self.living.remove(key);
            return Ok(Next::Change);
        };
        let fresh = |living: &Living| living.since == since;
        if !self.living.get(key).is_some_and(fresh) {
            let questions = asks.into_iter().map(|ask| Asking::new(ask, since));
            let living = Living {
                since,
                container,
                questions: questions.collect(),
                due: since,
            };
            self.living.insert(key.clone(), living);
        }
        let Some(living) = self.living.get_mut(key) else {
            return Ok(Next::Change);
        };
        let woken = now < living.due;
        for asking in &mut living.questions {
            if woken {
                asking.changed(now);
            }
            asking.come(now, |ask| {
                answer(cx.cluster, &pod, &address, ask, cx.random)
            });
            while let Some((at, line)) = asking.lines.pop_front() {
                if at > now {
                    asking.lines.push_front((at, line));
                    break;
                }
                let logs = cx.cluster.logs();
                logs.append(&key.namespace, &key.name, &living.container, at, &line);
            }
        }
        let due = living.questions.iter().map(Asking::due).min();
        living.due = due.unwrap_or(Timestamp::MAX);
        let pause = living.due.duration_since(now).unsigned_abs();
        Ok(Next::After(pause.max(Duration::from_millis(1))))
    }
}

/// Whether an answer may be another one after a change.
fn matters(change: &Change) -> bool {
    if change.resource == NODES {
        return change.kind == ChangeKind::Deleted;
    }
    if change.resource != PODS {
        return true;
    }
    let Some(previous) = &change.previous else {
        return change.kind == ChangeKind::Deleted;
    };
    let seen = |pod: &Value| {
        let ready = condition(pod, "Ready").map(|ready| text(ready, "/status").to_owned());
        let phase = text(pod, "/status/phase").to_owned();
        (ready, phase, is_deleting(pod))
    };
    change.kind == ChangeKind::Deleted || seen(&previous.value) != seen(&change.object.value)
}

fn answer(
    cluster: &Cluster,
    pod: &Arc<Value>,
    address: &str,
    ask: &Ask,
    random: &mut Random,
) -> (&'static str, Duration) {
    let asked = match &ask.question {
        Question::Connect { host, port } => {
            network::connect(cluster, pod, address, host, *port, random)
        }
        Question::Lookup(name) => network::lookup(cluster, pod, address, name, random),
        Question::Kept {
            volume,
            path,
            content,
        } => {
            let found = cluster.machines().read_file(volume, path);
            let kept = found.is_some_and(|found| found.trim_end() == content);
            return (if kept { "ok" } else { "LOST" }, QUICK);
        }
    };
    let within = |after: Duration| after.min(ask.timeout);
    match asked {
        Ok(()) => ("ok", QUICK),
        Err(Failure::Name { after, .. }) => ("DNS", within(after)),
        Err(Failure::Silence) => ("TIMEOUT", ask.timeout),
        Err(Failure::Refused) => ("REFUSED", QUICK),
        Err(Failure::NoRoute) => ("OTHER", ask.timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn asking() -> Asking {
        let ask = Ask {
            name: "web".to_owned(),
            question: Question::Lookup("web".to_owned()),
            timeout: Duration::from_secs(1),
            pause: Duration::from_secs(1),
            line: 10,
        };
        Asking::new(ask, at(0))
    }

    fn told(asking: &Asking) -> Vec<(i64, String)> {
        let lines = asking.lines.iter();
        lines
            .map(|(at, line)| (at.as_second(), line.clone()))
            .collect()
    }

    #[test]
    fn the_first_answer_and_each_other_one_is_told_at_once_and_the_same_one_ten_at_a_time() {
        let mut asking = asking();
        let mut asked = 0;
        for second in 0..=60 {
            asking.come(at(second), |_| {
                asked += 1;
                ("ok", Duration::ZERO)
            });
        }
        let ten = "web ok 0 0 0 0 0 0 0 0 0 0".to_owned();
        let mut expected = vec![(0, "web ok 0".to_owned())];
        expected.extend((1..=6).map(|ten_of| (ten_of * 10, ten.clone())));
        assert_eq!(told(&asking), expected);
        assert_eq!(asked, 11, "the first five, and one for each line");
        asking.lines.clear();
        asking.changed(at(62));
        asking.come(at(63), |_| ("TIMEOUT", Duration::from_secs(1)));
        let lost = (63, "web TIMEOUT 1000".to_owned());
        assert_eq!(told(&asking), [(61, "web ok 0".to_owned()), lost]);
        asking.lines.clear();
        asking.come(at(67), |_| ("ok", Duration::ZERO));
        assert_eq!(told(&asking), [(64, "web ok 0".to_owned())]);
    }
}
