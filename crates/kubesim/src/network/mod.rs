//! The network of a cluster: addresses, names, and who reaches whom.

pub mod address;
