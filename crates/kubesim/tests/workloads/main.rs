//! Nodes and what runs on them, driven by the controllers of Kubernetes.

mod cluster;
mod ports;
mod rollouts;
mod stateful;
