//! The clusters of a run as they were, behind an API that can only be read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use kube::Client;
use kubesim::{Cluster, GroupResource, Options, Simulation};
use serde_json::Value;
use tokio::time::Instant;

use crate::record::{ClusterPast, Entry, Id, Past, Told};

/// How often the time is told on while nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// What who wants to write is told.
const WHY: &str = "this cluster is of the past (stackgate replay): it can only be read";

/// The clusters of a run at a moment.
pub struct Replay {
    past: Past,
    simulation: Simulation,
    clusters: BTreeMap<String, Cluster>,
    at_ms: u64,
}

impl Replay {
    /// The clusters that there were at a moment. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When there was none, or the recording is broken.
    pub fn at(past: Past, at_ms: u64) -> Result<Self> {
        let wall = past.wall(at_ms).context("nothing was recorded")?;
        let simulation = Simulation::new(&Options {
            seed: 0,
            epoch: wall,
            ..Options::default()
        });
        let state = past.at(at_ms)?;
        let mut clusters = BTreeMap::new();
        for (name, was) in &state.clusters {
            let cluster = simulation.add_cluster(name, Vec::new());
            fill(&cluster, was, wall)?;
            print(&cluster, &past, name, at_ms)?;
            clusters.insert(name.clone(), cluster);
        }
        anyhow::ensure!(
            !clusters.is_empty(),
            "no cluster was recorded up to this moment"
        );
        Ok(Self {
            past,
            simulation,
            clusters,
            at_ms,
        })
    }

    /// The clusters by their names.
    #[must_use]
    pub fn clusters(&self) -> &BTreeMap<String, Cluster> {
        &self.clusters
    }

    /// A client of one of them.
    #[must_use]
    pub fn client(&self, cluster: &str) -> Option<Client> {
        let cluster = self.clusters.get(cluster)?;
        Some(Client::new(cluster.service(), "default"))
    }

    /// The wall time of the moment.
    #[must_use]
    pub fn wall(&self) -> Option<Timestamp> {
        self.past.wall(self.at_ms)
    }

    /// Resolves when a client begins to watch one of the clusters.
    pub async fn watched(&self) {
        let waits = self
            .clusters
            .values()
            .map(|cluster| Box::pin(cluster.watched()));
        let _ = futures::future::select_all(waits).await;
    }

    /// Plays on from the moment to the recording's end, `speed` times as fast as it happened.
    ///
    /// # Errors
    /// When the recording is broken.
    pub async fn play(&self, speed: f64) -> Result<()> {
        let begun = Instant::now();
        for entry in self.past.after(self.at_ms) {
            let entry = entry?;
            let after = Duration::from_millis(entry.at_ms - self.at_ms).div_f64(speed);
            let due = begun + after;
            while Instant::now() < due {
                tokio::time::sleep_until(due.min(Instant::now() + TICK)).await;
                self.tell_time(begun, speed);
            }
            self.take(entry)?;
        }
        for (name, cluster) in &self.clusters {
            print(cluster, &self.past, name, self.past.end_ms())?;
        }
        Ok(())
    }

    fn tell_time(&self, begun: Instant, speed: f64) {
        let passed = begun.elapsed().mul_f64(speed).as_millis();
        let at_ms = u64::try_from(passed).map(|passed| self.at_ms.saturating_add(passed));
        let now = at_ms.ok().and_then(|at_ms| self.past.wall(at_ms));
        for cluster in self.clusters.values() {
            cluster.stand_at(now);
        }
    }

    fn take(&self, entry: Entry) -> Result<()> {
        let cluster = match &entry.told {
            Told::Served { cluster, .. } | Told::Log { cluster, .. } => cluster,
            Told::Object { id, .. } | Told::Gone { id, .. } => &id.cluster,
        };
        // One that comes later has no address that a client could know.
        let Some(cluster) = self.clusters.get(cluster) else {
            return Ok(());
        };
        match entry.told {
            Told::Served { served, .. } => serve(cluster, &served)?,
            Told::Object { id, object } => cluster.import(&resource(&id), object),
            Told::Gone { id, .. } => {
                cluster.remove_imported(&resource(&id), &id.namespace, &id.name);
            }
            Told::Log { .. } => {}
        }
        Ok(())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.simulation.end();
    }
}

fn fill(cluster: &Cluster, was: &ClusterPast, wall: Timestamp) -> Result<()> {
    cluster.clear();
    if let Some(served) = &was.served {
        serve(cluster, served)?;
    }
    for object in was.objects() {
        let (id, object) = object?;
        cluster.import(&resource(id), object);
    }
    cluster.stand_at(Some(wall));
    cluster.freeze(WHY);
    Ok(())
}

fn serve(cluster: &Cluster, served: &Value) -> Result<()> {
    if let Some(version) = served["version"].as_str() {
        cluster.set_version(version);
    }
    let documents = [&served["core"], &served["groups"]];
    let served = cluster.serve_as(&documents);
    served.map_err(|error| anyhow!("the recording is broken: {error}"))
}

/// Gives the containers what they had printed up to a moment.
fn print(cluster: &Cluster, past: &Past, name: &str, at_ms: u64) -> Result<()> {
    let logs = cluster.logs();
    let mut begun = std::collections::BTreeSet::new();
    let recorded = past.logs(name, at_ms)?;
    // The instance before first.
    let (current, previous): (Vec<_>, Vec<_>) =
        recorded.into_iter().partition(|(of, _)| !of.previous);
    for (of, lines) in previous.into_iter().chain(current) {
        let (namespace, pod, container) = (&of.namespace, &of.pod, &of.container);
        if begun.insert((namespace.clone(), pod.clone())) {
            logs.remove(namespace, pod);
        }
        for (time, text) in &lines {
            let time = time.parse().unwrap_or_default();
            logs.append(namespace, pod, container, time, text);
        }
        if of.previous {
            logs.restart(namespace, pod, container);
        }
    }
    Ok(())
}

/// A resource by the name that recordings have for it.
fn resource(id: &Id) -> GroupResource {
    let (plural, group) = id.resource.split_once('.').unwrap_or((&id.resource, ""));
    GroupResource::named(group, plural)
}
