//! Nodes and what runs on them, driven by the controllers of Kubernetes.

mod cluster;
mod rollouts;
mod stateful;
