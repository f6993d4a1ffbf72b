//! A Kubernetes API server in process, with simulated controllers and virtual time.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod admission;
pub mod authorization;
pub mod capi;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod controllers;
pub mod cso;
pub mod error;
mod event;
pub mod fault;
pub mod http;
pub mod kubeadm;
pub mod kubelet;
pub mod logs;
mod matching;
pub mod network;
mod object;
mod past;
mod patch;
pub mod protobuf;
mod pulse;
pub mod random;
pub mod registry;
pub mod resource;
mod schema;
pub mod selector;
#[cfg(feature = "serve")]
pub mod serve;
pub mod server;
pub mod simulation;
pub mod store;

pub use admission::{Admission, AdmissionRequest};
pub use authorization::User;
pub use clock::Clock;
pub use cluster::Cluster;
pub use controller::{Controller, Cx, Key, Next};
pub use error::ApiError;
pub use fault::{Fault, Faults};
pub use random::Random;
pub use resource::{GroupResource, Resource};
pub use simulation::{Options, Simulation};
pub use store::{Change, ChangeKind, Store, Stored};
