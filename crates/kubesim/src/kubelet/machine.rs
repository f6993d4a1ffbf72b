//! The machines that a cluster's kubelets run on: what the API does not know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::image::Images;
use super::pod::PodRun;
use super::program::Programs;
use super::volume::Contents;
use crate::fault::{Fault, Faults};
use crate::network::address::Range;
use crate::random::Random;
use crate::store::{Place, lock};

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs the control plane's static pods.
    ControlPlane,
    /// It does not.
    Worker,
}

/// The ranges and names that a cluster's network lives by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnets {
    /// Range of pod addresses, e.g. `10.244.0.0/16`; each node gets a /24 of it.
    pub pods: String,
    /// Range of Service addresses.
    pub services: String,
    /// Domain of cluster DNS, e.g. `cluster.local`.
    pub domain: String,
}

impl Default for Subnets {
    /// kubeadm's Service range and domain, and the pod range of flannel and kind.
    fn default() -> Self {
        Self {
            pods: "10.244.0.0/16".to_owned(),
            services: "10.96.0.0/12".to_owned(),
            domain: "cluster.local".to_owned(),
        }
    }
}

/// One machine with a kubelet.
#[derive(Debug)]
pub(crate) struct Machine {
    pub address: String,
    pub version: String,
    pub runtime: String,
    /// Images that are there, by the reference they were pulled by.
    pub images: BTreeSet<String>,
    /// Manifests of static pods, by name without the node's.
    pub static_pods: BTreeMap<String, Value>,
    /// Most pods it takes.
    pub max_pods: i64,
    pub cpu: String,
    pub memory: String,
    /// How its cloud calls it.
    pub cloud_id: String,
    /// Whether a CNI has written its configuration.
    pub cni: bool,
    /// Whether its CNI enforces policies, overriding what its image says.
    pub enforces: Option<bool>,
    /// Whether an agent of a CNI that enforces policies has run there.
    pub enforcing: bool,
    /// Major and minor version of the CNI's agent that came up there last, where its image tells.
    pub agent: Option<(u32, u32)>,
    /// Whether its kubelet runs.
    pub running: bool,
    /// It came while such faults were in force.
    pub faults: BTreeSet<Fault>,
    /// Its part of the pod range; empty until it was given one.
    pub pods: String,
    /// Pulls that are under way, with their ends.
    pub pulls: BTreeMap<String, Timestamp>,
    /// How many addresses pods were given.
    pub given_out: u32,
    /// How many machines had joined when it did.
    pub number: u32,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub subnets: Subnets,
    pub machines: BTreeMap<String, Machine>,
    /// Machines by their address, among which every connection looks for its other end.
    addresses: BTreeMap<String, String>,
    /// What runs of each pod, by namespace and name.
    pub pods: BTreeMap<Place, PodRun>,
    /// What is in volumes, by the name of the PersistentVolume.
    pub contents: Contents,
    /// Machines that have ever joined.
    pub joined: u32,
    /// Whether a machine has ever left.
    pub left: bool,
    /// The members of the etcd cluster, by their machines.
    pub etcd: BTreeSet<String>,
}

impl State {
    /// A machine comes.
    pub fn add(&mut self, name: &str, machine: Machine) {
        self.remove(name);
        self.addresses
            .insert(machine.address.clone(), name.to_owned());
        self.machines.insert(name.to_owned(), machine);
    }

    /// A machine goes; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(machine) = self.machines.remove(name) else {
            return false;
        };
        if self.at_address(&machine.address) == Some(name) {
            self.addresses.remove(&machine.address);
        }
        true
    }

    /// The machine with an address.
    pub fn at_address(&self, address: &str) -> Option<&str> {
        self.addresses.get(address).map(String::as_str)
    }
}

/// The machines of one cluster.
#[derive(Debug)]
pub struct Machines {
    cluster: String,
    state: Mutex<State>,
    faults: Faults,
    images: Images,
    programs: Programs,
}

impl Machines {
    pub(crate) fn new(cluster: &str, faults: Faults, images: Images, programs: Programs) -> Self {
        Self {
            cluster: cluster.to_owned(),
            state: Mutex::default(),
            faults,
            images,
            programs,
        }
    }

    /// Whether something goes wrong in this cluster.
    #[must_use]
    pub fn suffer(&self, fault: Fault) -> bool {
        self.faults.is_on(fault, &self.cluster)
    }

    /// A machine's etcd becomes a member.
    pub(crate) fn etcd_joins(&self, name: &str) {
        self.state().etcd.insert(name.to_owned());
    }

    /// A machine's etcd is none any more.
    pub(crate) fn etcd_leaves(&self, name: &str) {
        self.state().etcd.remove(name);
    }

    /// The members of the etcd cluster, by their machines.
    #[must_use]
    pub fn etcd_members(&self) -> BTreeSet<String> {
        self.state().etcd.clone()
    }

    /// Something that goes wrong here has done harm.
    pub(crate) fn note(&self, fault: Fault) {
        self.faults.note(fault);
    }

    /// Which images can be pulled.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// What runs in containers.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The ranges of the cluster's network.
    #[must_use]
    pub fn subnets(&self) -> Subnets {
        self.state().subnets.clone()
    }

    /// Sets the ranges of the cluster's network; before the first node joins.
    pub fn set_subnets(&self, subnets: Subnets) {
        self.state().subnets = subnets;
    }

    /// Whether a machine of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.state().machines.contains_key(name)
    }

    /// Stops a machine's kubelet, as a crash does: its containers stay, nothing is reported any more.
    pub fn stop_kubelet(&self, name: &str) {
        if let Some(machine) = self.state().machines.get_mut(name) {
            machine.running = false;
        }
    }

    /// Starts a stopped kubelet again. It reports with its next look at the node, within 10 s.
    pub fn start_kubelet(&self, name: &str) {
        if let Some(machine) = self.state().machines.get_mut(name) {
            machine.running = true;
        }
    }

    /// Says whether NetworkPolicies are enforced on a node, whatever its CNI.
    pub fn enforce_policies(&self, name: &str, enforced: bool) {
        if let Some(machine) = self.state().machines.get_mut(name) {
            machine.enforces = Some(enforced);
        }
    }

    /// Puts an image onto a machine, as `kind load` and machine images do.
    pub fn preload(&self, name: &str, image: &str) {
        if let Some(machine) = self.state().machines.get_mut(name) {
            machine.images.insert(image.to_owned());
        }
    }

    /// The images on a machine.
    #[must_use]
    pub fn images_on(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let machine = state.machines.get(name);
        machine.map_or_else(Vec::new, |machine| machine.images.iter().cloned().collect())
    }
}

impl Machine {
    /// The next address in the node's part of the pod range that no pod has; from the beginning again after
    /// the last, as the CNI plugin host-local does it.
    fn next_pod_address(&mut self, runs: &BTreeMap<Place, PodRun>) -> Option<String> {
        let range = Range::parse(&self.pods)?;
        // The first is the network, the second the bridge, the last the broadcast.
        let usable = u32::try_from(range.size()).ok()?.checked_sub(3)?;
        for _ in 0..usable {
            let address = range.nth(2 + self.given_out % usable)?.to_string();
            let is_new = self.given_out < usable;
            self.given_out += 1;
            if is_new || runs.values().all(|run| run.address != address) {
                return Some(address);
            }
        }
        None
    }
}

impl Machines {
    /// A part of the pod range for a node: the first that no other machine has.
    pub(crate) fn free_part(&self, node: &str, range: &Range) -> Option<String> {
        let mut state = self.state();
        let taken: BTreeSet<&str> = state
            .machines
            .values()
            .map(|machine| machine.pods.as_str())
            .collect();
        let part = (0..)
            .map_while(|index| range.part(index, 24))
            .find(|part| !taken.contains(part.as_str()))?;
        if let Some(machine) = state.machines.get_mut(node) {
            machine.pods.clone_from(&part);
        }
        Some(part)
    }
}

impl Machines {
    /// Writes a file into a PersistentVolume, by the volume's name.
    pub fn write_file(&self, volume: &str, path: &str, content: &str) {
        let mut state = self.state();
        let files = state.contents.entry(volume.to_owned()).or_default();
        files.insert(path.to_owned(), content.to_owned());
    }

    /// Reads a file of a PersistentVolume.
    #[must_use]
    pub fn read_file(&self, volume: &str, path: &str) -> Option<String> {
        self.state().contents.get(volume)?.get(path).cloned()
    }

    /// What is in a PersistentVolume is gone.
    pub fn wipe(&self, volume: &str) {
        self.state().contents.remove(volume);
    }
}

impl Machines {
    pub(super) fn has_image(&self, node: &str, image: &str) -> bool {
        let state = self.state();
        let machine = state.machines.get(node);
        machine.is_some_and(|machine| {
            machine.images.contains(image) || machine.images.contains(&super::image::full(image))
        })
    }

    pub(super) fn has_network(&self, node: &str) -> bool {
        self.state()
            .machines
            .get(node)
            .is_some_and(|machine| machine.cni)
    }

    pub(super) fn policies_enforced(&self, node: &str) {
        if let Some(machine) = self.state().machines.get_mut(node) {
            machine.enforcing = true;
        }
    }

    /// An agent of a CNI comes up on a node. Whether it leaves out the steps that its network asks for.
    pub(super) fn agent_came(&self, node: &str, version: (u32, u32)) -> bool {
        let mut state = self.state();
        let machine = state.machines.get_mut(node);
        let before = machine.and_then(|machine| machine.agent.replace(version));
        self.suffer(Fault::CniStepSkipped)
            && before.is_some_and(|before| crate::network::are_apart(before, version))
    }

    pub(super) fn network_came(&self, node: &str) {
        if let Some(machine) = self.state().machines.get_mut(node) {
            machine.cni = true;
        }
    }

    pub(super) fn pod_address(&self, node: &str) -> Option<String> {
        let mut state = self.state();
        let State { machines, pods, .. } = &mut *state;
        machines.get_mut(node)?.next_pod_address(pods)
    }

    /// Until when a pull takes that begins now; one that is under way already is waited for.
    pub(super) fn pull(
        &self,
        node: &str,
        image: &str,
        now: Timestamp,
        there: bool,
        random: &mut Random,
    ) -> Timestamp {
        let took = if there {
            random.between(Duration::from_millis(100), Duration::from_millis(300))
        } else {
            random.between(Duration::from_millis(600), Duration::from_millis(3000))
        };
        let mut state = self.state();
        let Some(machine) = state.machines.get_mut(node) else {
            return now;
        };
        machine.pulls.retain(|_, until| *until > now);
        if let Some(until) = machine.pulls.get(image) {
            return *until;
        }
        let until = super::container::plus(now, took);
        machine.pulls.insert(image.to_owned(), until);
        until
    }
}
