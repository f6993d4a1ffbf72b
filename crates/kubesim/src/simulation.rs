//! A simulation: one clock, one seed, and the clusters that live by them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::controller::{Controller, Key, Manager};
use crate::error::ApiError;
use crate::fault::{Fault, Faults};
use crate::kubelet::image::Images;
use crate::kubelet::machine::Machines;
use crate::kubelet::program::Programs;
use crate::random::Random;
use crate::store::{lock, reads};

/// How far a skewed clock is behind.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// How a simulation begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all randomness comes from.
    pub seed: u64,
    /// The wall time at the beginning.
    pub epoch: Timestamp,
    /// Whether controllers do again what cannot come to anything else, since nothing that they read has changed:
    /// slower, and the same in all that they write ([`Controller::is_settled_by_what_it_reads`]).
    pub is_thorough: bool,
}

impl Default for Options {
    /// Seed 0, on the first of January 2026.
    fn default() -> Self {
        Self {
            seed: 0,
            epoch: Timestamp::constant(1_767_225_600, 0),
            is_thorough: false,
        }
    }
}

struct Inner {
    is_thorough: bool,
    clock: Clock,
    random: Random,
    faults: Faults,
    images: Images,
    programs: Programs,
    clusters: Mutex<BTreeMap<String, Cluster>>,
    /// What kubelets that do not start say, by machine.
    kubelets: Mutex<BTreeMap<String, Vec<String>>>,
}

/// Clusters that share a clock and a seed; clones are the same simulation.
#[derive(Clone)]
pub struct Simulation(Arc<Inner>);

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = lock(&self.0.clusters).keys().cloned().collect();
        f.debug_struct("Simulation")
            .field("clusters", &names)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// A simulation without clusters. Its clock starts now, in tokio's time.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self(Arc::new(Inner {
            is_thorough: options.is_thorough,
            clock: Clock::starting_at(options.epoch),
            random: Random::new(options.seed),
            faults: Faults::default(),
            images: Images::default(),
            programs: Programs::default(),
            clusters: Mutex::default(),
            kubelets: Mutex::default(),
        }))
    }

    /// As [`Options::is_thorough`].
    pub(crate) fn is_thorough(&self) -> bool {
        self.0.is_thorough
    }

    /// The wall clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// A source of randomness for a part, by its name.
    #[must_use]
    pub fn random(&self, part: &str) -> Random {
        self.0.random.fork(part)
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Which images can be pulled.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// What runs in containers.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.0.programs
    }

    /// A cluster by name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<Cluster> {
        let found = lock(&self.0.clusters).get(name).cloned();
        let (simulation, own) = (self.clone(), name.to_owned());
        // By its store alone: what was read keeps no cluster from going.
        let was = found.as_ref().map(|cluster| cluster.store().clone());
        reads::noted(move || {
            let clusters = lock(&simulation.0.clusters);
            clusters.get(&own).map(Cluster::store) == was.as_ref()
        });
        found
    }

    /// The names of all clusters.
    #[must_use]
    pub fn clusters(&self) -> Vec<String> {
        lock(&self.0.clusters).keys().cloned().collect()
    }

    /// Adds an empty cluster with an API server and these controllers, which run from now on, until
    /// the cluster is removed. Must be called within a tokio runtime.
    pub fn add_cluster(&self, name: &str, controllers: Vec<Box<dyn Controller>>) -> Cluster {
        let clock = if self.faults().is_on(Fault::ClockSkew, name) {
            self.faults().note(Fault::ClockSkew);
            self.clock().behind(SKEW)
        } else {
            self.clock()
        };
        let faults = self.faults().clone();
        let machines = Machines::new(
            name,
            faults.clone(),
            self.images().clone(),
            self.programs().clone(),
        );
        let cluster = Cluster::new(name, clock, self.random(name), faults, machines);
        let manager = Manager::new(self.clone(), cluster.clone(), controllers);
        cluster.run(manager);
        lock(&self.0.clusters).insert(name.to_owned(), cluster.clone());
        cluster
    }

    /// Ends a cluster: its controllers stop, its API server refuses connections.
    pub fn remove_cluster(&self, name: &str) {
        if let Some(cluster) = lock(&self.0.clusters).remove(name) {
            cluster.end();
        }
    }

    /// Ends every cluster.
    pub fn end(&self) {
        for name in self.clusters() {
            self.remove_cluster(&name);
        }
    }

    /// The journal of a machine's kubelet that does not start; empty where one does.
    #[must_use]
    pub fn kubelet_journal(&self, machine: &str) -> Vec<String> {
        let journals = lock(&self.0.kubelets);
        journals.get(machine).cloned().unwrap_or_default()
    }

    pub(crate) fn note_kubelet(&self, machine: &str, line: String) {
        let mut journals = lock(&self.0.kubelets);
        journals.entry(machine.to_owned()).or_default().push(line);
    }

    /// A controller's failure, for whoever looks into the simulation itself.
    pub(crate) fn trace(&self, cluster: &Cluster, controller: &str, key: &Key, error: &ApiError) {
        cluster.note_failure(controller, key, error);
    }
}
