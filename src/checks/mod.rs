//! The checks themselves: one file per standard or subject, each with a passing and a failing case.

mod guards;
mod health;
mod images;
mod judgement;
pub mod needs;
mod pace;
mod parameters;
mod pods;
pub mod sandbox;
pub mod scs;
mod shared;
pub mod surroundings;
mod tool_pod;
#[cfg(test)]
pub(crate) mod world;

pub use judgement::{Judgement, problem, settle};
pub use needs::Need;
pub use pace::Pace;
pub use parameters::{Parameters, WrongParameter};
pub use shared::Shared;

use std::sync::LazyLock;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use serde_json::Value;

use crate::cluster::Context;
use crate::record::Outcome;
use crate::stack::OkToFail;

/// The image of check pods: Kubernetes' own test tool, which its conformance tests use as well.
pub const TOOLS_IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.53";

/// What a check may look at; copies are the same target. A check reads; what it has to create lives in a namespace of its own.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The run.
    pub context: &'a Context,
    /// The workload cluster.
    pub workload: &'a Client,
    /// The management cluster, and the run's namespace and Cluster in it; absent when only a
    /// workload cluster is given.
    pub management: Option<ManagementTarget<'a>>,
    /// The Kubernetes version that the cluster is meant to have, e.g. `v1.35.0`.
    pub kubernetes: &'a str,
    /// The Kubernetes version that it came from, after an upgrade.
    pub upgraded_from: Option<&'a str>,
    /// The addon objects as the release renders them.
    pub addons: &'a [Value],
    /// Addon objects of the previous release that the present one does not have any more.
    pub dropped: &'a [Value],
    /// An image with a shell and DNS tools for check pods.
    pub tools_image: &'a str,
    /// Failures that the stack accepts, by the names of tests.
    pub ok_to_fail: &'a [OkToFail],
    /// What the suite sets for the check that is run, by name.
    pub parameters: &'a Value,
    /// What the checks of the round share.
    pub shared: &'a Shared,
}

impl<'a> Target<'a> {
    /// A workload cluster alone: of no release, with nothing accepted, and no check's parameters yet.
    #[must_use]
    pub const fn alone(
        context: &'a Context,
        workload: &'a Client,
        kubernetes: &'a str,
        shared: &'a Shared,
    ) -> Self {
        Self {
            context,
            workload,
            management: None,
            kubernetes,
            upgraded_from: None,
            addons: &[],
            dropped: &[],
            tools_image: TOOLS_IMAGE,
            ok_to_fail: &[],
            parameters: &Value::Null,
            shared,
        }
    }
}

impl Target<'_> {
    /// What the suite sets for the check that is run; what it does not set is the default.
    ///
    /// # Errors
    /// When it is not what the check takes; suites are validated, so this is a fault of ours.
    pub fn parameters<T: serde::de::DeserializeOwned>(&self) -> anyhow::Result<T> {
        parameters::read(self.parameters)
    }
}

/// The management side of a target.
#[derive(Clone, Copy)]
pub struct ManagementTarget<'a> {
    /// Talks to the management cluster.
    pub client: &'a Client,
    /// The run's namespace.
    pub namespace: &'a str,
    /// The Cluster's name.
    pub cluster: &'a str,
}

/// A check's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence: why it is so.
    pub message: String,
    /// Lines that prove it.
    pub evidence: Vec<String>,
}

/// A check written in Rust, by the name under which suite files call it.
#[derive(Clone, Copy)]
pub struct Native {
    /// The name in suite files.
    pub name: &'static str,
    /// How long it may take unless the suite says otherwise.
    pub timeout: Duration,
    /// What suites may set.
    pub parameters: Parameters,
    /// What it needs of the workload cluster's API, without a management cluster and addons.
    pub needs: &'static [needs::Needs],
    /// Asks.
    pub run: for<'a> fn(&'a Target<'a>) -> BoxFuture<'a, anyhow::Result<Answer>>,
}

impl Native {
    /// Everything that it needs.
    pub fn needs(&self) -> impl Iterator<Item = Need> {
        self.needs.iter().copied().flatten().copied()
    }

    /// What it creates, in few words; none when it reads only.
    #[must_use]
    pub fn creates(&self) -> Option<&'static str> {
        let pods = needs::CREATE_PODS[0];
        if self.needs().any(|need| need == pods) {
            return Some("creates pods");
        }
        let writes = self.needs().any(|need| need.writes());
        writes.then_some("creates a namespace")
    }
}

/// Every check that there is, in the order in which they are told.
#[must_use]
pub fn all() -> &'static [Native] {
    static ALL: LazyLock<Vec<Native>> =
        LazyLock::new(|| [health::ALL, &[guards::CHECK], scs::ALL].concat());
    &ALL
}
