//! What containers have printed, as the kubelet keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::pulse::{Listener, Pulse};
use crate::store::lock;
use jiff::Timestamp;

/// How many lines of a container are kept.
const LINES: usize = 10_000;

/// Namespace, pod, container.
type Place = (String, String, String);

/// A line that a container printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// What, without the line's end.
    pub text: Arc<str>,
}

#[derive(Debug, Default)]
struct Log {
    current: VecDeque<Line>,
    /// How many lines the current instance has printed in all.
    printed: usize,
    /// Counts restarts.
    instance: u64,
    previous: Option<Vec<Line>>,
}

/// The logs of a cluster's containers; clones share them.
#[derive(Clone, Debug)]
pub struct Logs {
    logs: Arc<Mutex<BTreeMap<Place, Log>>>,
    changes: Arc<AtomicU64>,
    news: Pulse,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            logs: Arc::default(),
            changes: Arc::default(),
            news: Pulse::new(0),
        }
    }
}

fn place(namespace: &str, pod: &str, container: &str) -> Place {
    (namespace.to_owned(), pod.to_owned(), container.to_owned())
}

impl Logs {
    /// A container printed a line.
    pub fn append(&self, namespace: &str, pod: &str, container: &str, time: Timestamp, line: &str) {
        let mut logs = lock(&self.logs);
        let log = logs.entry(place(namespace, pod, container)).or_default();
        if log.current.len() == LINES {
            log.current.pop_front();
        }
        log.printed += 1;
        log.current.push_back(Line {
            time,
            text: line.into(),
        });
        drop(logs);
        self.tell();
    }

    /// A container begins anew: what it printed is that of its previous instance now.
    pub fn restart(&self, namespace: &str, pod: &str, container: &str) {
        let mut logs = lock(&self.logs);
        if let Some(log) = logs.get_mut(&place(namespace, pod, container)) {
            log.previous = Some(log.current.drain(..).collect());
            log.printed = 0;
            log.instance += 1;
        }
        drop(logs);
        self.tell();
    }

    /// A pod is gone, and what its containers printed.
    pub fn remove(&self, namespace: &str, pod: &str) {
        let mut logs = lock(&self.logs);
        let first = place(namespace, pod, "");
        let own = logs
            .range(first..)
            .take_while(|((in_namespace, of_pod, _), _)| in_namespace == namespace && of_pod == pod)
            .map(|(place, _)| place.clone());
        for place in own.collect::<Vec<_>>() {
            logs.remove(&place);
        }
        drop(logs);
        self.tell();
    }

    /// What the current instance of a container has printed.
    #[must_use]
    pub fn current(&self, namespace: &str, pod: &str, container: &str) -> Vec<Line> {
        let logs = lock(&self.logs);
        let log = logs.get(&place(namespace, pod, container));
        log.map_or_else(Vec::new, |log| log.current.iter().cloned().collect())
    }

    /// What the instance before the current one had printed; none when there was none.
    #[must_use]
    pub fn previous(&self, namespace: &str, pod: &str, container: &str) -> Option<Vec<Line>> {
        let logs = lock(&self.logs);
        logs.get(&place(namespace, pod, container))?
            .previous
            .clone()
    }

    /// What an instance has printed after its first `printed` lines, the number of all it printed,
    /// and which instance it is.
    pub(crate) fn after(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        printed: usize,
    ) -> (Vec<Line>, usize, u64) {
        let logs = lock(&self.logs);
        let Some(log) = logs.get(&place(namespace, pod, container)) else {
            return (Vec::new(), 0, 0);
        };
        let new = log.printed.saturating_sub(printed).min(log.current.len());
        let lines = log
            .current
            .range(log.current.len() - new..)
            .cloned()
            .collect();
        (lines, log.printed, log.instance)
    }

    /// Told of each change.
    pub(crate) fn news(&self) -> Listener {
        self.news.listen()
    }

    fn tell(&self) {
        self.news
            .tell(self.changes.fetch_add(1, Ordering::AcqRel) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_makes_what_was_printed_the_previous_log() {
        let logs = Logs::default();
        let texts = |lines: Vec<Line>| -> Vec<String> {
            lines.iter().map(|line| line.text.to_string()).collect()
        };
        logs.append("n", "p", "c", Timestamp::UNIX_EPOCH, "one");
        assert_eq!(logs.previous("n", "p", "c"), None);
        logs.restart("n", "p", "c");
        logs.append("n", "p", "c", Timestamp::UNIX_EPOCH, "two");
        assert_eq!(texts(logs.current("n", "p", "c")), ["two"]);
        assert_eq!(texts(logs.previous("n", "p", "c").unwrap()), ["one"]);
        logs.remove("n", "p");
        assert!(logs.current("n", "p", "c").is_empty());
    }
}
