//! The controllers of Kubernetes itself, as kube-controller-manager, kube-scheduler and the kubelets
//! run them.

mod cloud;
mod daemon_set;
mod deployment;
mod disruption;
mod garbage_collector;
mod job;
mod namespaces;
mod nodes;
mod pace;
mod replica_set;
mod revisions;
mod scheduler;
mod service_account;
mod services;
mod stateful_set;
mod template;
mod volumes;

use crate::controller::Controller;
use crate::kubelet;

/// All of them, for a cluster as kubeadm makes it.
#[must_use]
pub fn all() -> Vec<Box<dyn Controller>> {
    vec![
        Box::<service_account::Accounts>::default(),
        Box::<nodes::Ipam>::default(),
        Box::<nodes::Lifecycle>::default(),
        Box::<nodes::Eviction>::default(),
        Box::new(cloud::Nodes),
        Box::<nodes::PodGc>::default(),
        Box::<deployment::Deployments>::default(),
        Box::<replica_set::ReplicaSets>::default(),
        Box::<daemon_set::DaemonSets>::default(),
        Box::<stateful_set::StatefulSets>::default(),
        Box::<job::Jobs>::default(),
        Box::<volumes::Claims>::default(),
        Box::<volumes::Volumes>::default(),
        Box::<services::Services>::default(),
        Box::<scheduler::Scheduler>::default(),
        Box::<kubelet::node::Nodes>::default(),
        Box::<kubelet::pods::Pods>::default(),
        Box::<kubelet::asker::Askers>::default(),
        Box::new(garbage_collector::GarbageCollector),
        Box::new(namespaces::Namespaces),
        Box::new(disruption::Disruption),
    ]
}
