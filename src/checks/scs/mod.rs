//! The SCS standards for Kubernetes as a service, one folder or file each.

pub mod version_policy;
