//! What the API answers, asked without a client in between.

mod access;
mod apply;
#[cfg(feature = "openapi")]
mod openapi;
mod owners;
mod reads;
mod support;
