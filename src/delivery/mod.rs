//! How a release reaches a cluster: rendered and applied directly, or by the Cluster Stack Operator.

mod direct;
mod operator;
mod rendered;
mod told;

pub use direct::{DeliveryError, Direct};
pub use operator::{Operator, addon_name, operator_kinds, unclaimed, unmet};
pub use rendered::{AddonObjects, ClassObjects, Inputs, addons, applied, class, dropped, expected};
pub use told::{COLUMNS, PROVIDER, Untrue, untrue};
