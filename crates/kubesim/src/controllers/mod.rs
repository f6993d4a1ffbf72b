//! The controllers of Kubernetes itself, as kube-controller-manager, kube-scheduler and the kubelets
//! run them.

use crate::controller::Controller;

/// All of them, for a cluster as kubeadm makes it.
#[must_use]
pub fn all() -> Vec<Box<dyn Controller>> {
    Vec::new()
}
