//! scs-0210-v2: is the cluster's Kubernetes version supported upstream, and not behind on patches?

pub mod data;
pub mod judge;
pub mod version;
