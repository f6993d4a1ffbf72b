//! Reads along what the pods that ask print, for as long as each lives.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::line::Line;
use super::measured::{Measured, Try};
use super::nodes::Seen;
use super::pods::{ASKER, CONTAINER, KEEPER};
use crate::cluster::{Object, View, kinds};

/// A pod that asks prints something every ten seconds; a connection that brings nothing for longer is dead.
const SILENT: Duration = Duration::from_secs(30);
/// How long to wait before a log that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long after a pod is gone its last lines may still arrive.
const LAST: Duration = Duration::from_secs(2);

/// Follows every pod that asks, and watches the nodes; ends when it is dropped.
pub async fn pods(client: Client, view: View, namespace: String, measured: Measured) {
    let mut changes = view.changes();
    let mut tasks = JoinSet::new();
    let mut followed: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let mut nodes: BTreeMap<String, Seen> = BTreeMap::new();
    loop {
        changes.seen();
        note_nodes(&view, &mut nodes, &measured);
        let own = view.list_in(&kinds::POD, &namespace);
        let here: Vec<&Object> = own
            .iter()
            .map(|pod| &**pod)
            .filter(|pod| matches!(pod.label("app"), Some(ASKER | KEEPER)))
            .collect();
        for pod in &here {
            if pod.str("/status/phase") == "Running" && !followed.contains_key(pod.name()) {
                let api = Api::namespaced(client.clone(), &namespace);
                let follow = Follow {
                    api,
                    pod: pod.name().to_owned(),
                    node: pod.str("/spec/nodeName").to_owned(),
                    measured: measured.clone(),
                };
                followed.insert(pod.name().to_owned(), tasks.spawn(follow.run()));
            }
        }
        // While pods cannot be watched, none is known to be gone.
        if view.unsettled().is_empty() {
            measured.saw_pods(&view.list(&kinds::POD));
            followed.retain(|name, handle| {
                let there = here.iter().any(|pod| pod.name() == name);
                if !there {
                    let (handle, measured) = (handle.clone(), measured.clone());
                    let name = name.clone();
                    tasks.spawn(async move {
                        sleep(LAST).await;
                        handle.abort();
                        measured.ended(&name);
                    });
                }
                there
            });
        }
        while tasks.try_join_next().is_some() {}
        changes.changed().await;
    }
}

fn note_nodes(view: &View, known: &mut BTreeMap<String, Seen>, measured: &Measured) {
    let nodes = view.list(&kinds::NODE);
    let mut now: BTreeMap<String, Seen> = BTreeMap::new();
    for node in &nodes {
        let drained = node
            .at("/spec/unschedulable")
            .is_some_and(|flag| flag == true);
        let seen = if drained { Seen::Drained } else { Seen::There };
        now.insert(node.name().to_owned(), seen);
    }
    if !view.unsettled().is_empty() {
        return;
    }
    for (name, seen) in &now {
        if known.get(name) != Some(seen) {
            measured.saw_node(name, *seen);
        }
    }
    for name in known.keys().filter(|name| !now.contains_key(*name)) {
        measured.saw_node(name, Seen::Gone);
    }
    *known = now;
}

/// One pod's log.
struct Follow {
    api: Api<Pod>,
    pod: String,
    node: String,
    measured: Measured,
}

impl Follow {
    async fn run(self) {
        let mut last: Option<Timestamp> = None;
        let mut clock = NodeClock::default();
        loop {
            self.read(&mut last, &mut clock).await;
            sleep(RETRY).await;
        }
    }

    /// Reads until the log ends or breaks off; what was read before is not read again.
    async fn read(&self, last: &mut Option<Timestamp>, clock: &mut NodeClock) {
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: true,
            timestamps: true,
            since_time: *last,
            ..LogParams::default()
        };
        let opened = timeout(SILENT, self.api.log_stream(&self.pod, &params)).await;
        let Ok(Ok(stream)) = opened else { return };
        let read_before = *last;
        let mut lines = std::pin::pin!(stream.lines());
        while let Ok(Ok(Some(text))) = timeout(SILENT, lines.try_next()).await {
            let printed = text.split(' ').next().and_then(|time| time.parse().ok());
            let Some(printed): Option<Timestamp> = printed else {
                continue;
            };
            if read_before.is_some_and(|before| printed <= before) {
                continue;
            }
            *last = (*last).max(Some(printed));
            if let Some(line) = Line::read(&text) {
                let shift = clock.shift(line.printed_ms, self.measured.now_ms());
                self.tell(&line, shift);
            }
        }
    }

    fn tell(&self, line: &Line<'_>, shift: i64) {
        for (start, end) in line.tries() {
            let one = Try {
                start: start + shift,
                end: end + shift,
                word: line.word,
            };
            self.measured.take(line.probe, &self.pod, &self.node, &one);
        }
    }
}

/// How a node's clock relates to the run's: a line can arrive late, but not before it was printed, so that the
/// quickest line tells it best.
#[derive(Debug, Default)]
struct NodeClock(Option<i64>);

impl NodeClock {
    /// What has to be added to the node's milliseconds, knowing that this was printed then and arrives now.
    fn shift(&mut self, printed: i64, now: i64) -> i64 {
        let seen = now - printed;
        let shift = self.0.map_or(seen, |known| known.min(seen));
        self.0 = Some(shift);
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_line_tells_the_clocks_difference() {
        let mut clock = NodeClock::default();
        // Read late at first; the node's clock is five minutes behind.
        assert_eq!(clock.shift(1000, 304_000), 303_000);
        assert_eq!(clock.shift(11_000, 311_050), 300_050);
        assert_eq!(clock.shift(21_000, 325_000), 300_050);
    }
}
