//! What the API answers, asked without a client in between.

mod access;
#[cfg(feature = "openapi")]
mod openapi;
mod owners;
mod reads;
mod support;
