//! What the API answers, asked without a client in between.

mod access;
mod apply;
mod definitions;
#[cfg(feature = "openapi")]
mod openapi;
mod owners;
mod properties;
mod reads;
mod support;
