//! The controllers of Kubernetes itself, as kube-controller-manager, kube-scheduler and the kubelets
//! run them.

mod disruption;
mod garbage_collector;
mod namespaces;

use crate::controller::Controller;

/// All of them, for a cluster as kubeadm makes it.
#[must_use]
pub fn all() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(garbage_collector::GarbageCollector),
        Box::new(namespaces::Namespaces),
        Box::new(disruption::Disruption),
    ]
}
