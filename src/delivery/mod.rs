//! How a release reaches a cluster: rendered and applied directly, or by the Cluster Stack Operator.

mod direct;
mod rendered;

pub use direct::{DeliveryError, Direct};
pub use rendered::{AddonObjects, ClassObjects, Inputs, addons, applied, class, dropped};
