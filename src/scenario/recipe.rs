//! The form of a scenario's file: which releases a cluster goes through, each as it differs from one of the stack's.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::stack::{Delivery, Label, Probes, Timeout, Upgrade};

/// A scenario: releases made of a stack's own two, and what must come of the upgrade.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub struct ScenarioFile {
    /// Version of this file's form.
    pub api_version: Version,
    /// Kind of this file.
    pub kind: Kind,
    /// What the scenario is called.
    pub metadata: Metadata,
    /// What happens in it.
    pub spec: Spec,
}

/// Version of this file's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// The first one.
    #[serde(rename = "stackgate/v1alpha1")]
    V1Alpha1,
}

/// Kind of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Kind {
    /// A scenario.
    Scenario,
}

/// What the scenario is called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name of the scenario; the file is called `<name>.yaml`.
    pub name: Label,
}

/// What happens in the scenario.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// What it shows, in one line.
    pub description: String,
    /// How releases get in; without it as the stack says.
    #[serde(default)]
    pub delivery: Option<Delivered>,
    /// What the cluster has before N.
    #[serde(default)]
    pub start: Option<ReleaseRecipe>,
    /// Release N.
    pub from: ReleaseRecipe,
    /// Release N+1.
    pub to: ReleaseRecipe,
    /// Whether N+1 has to be of another minor of Kubernetes than N: then it is about that.
    #[serde(default)]
    pub new_minor: bool,
    /// Suites that are asked beside those of the stack.
    #[serde(default)]
    pub suites: Vec<Label>,
    /// What must come of the upgrade.
    #[serde(default)]
    pub upgrade: Upgrade,
    /// How many Machines the first group of workers has at least.
    #[serde(default)]
    pub workers: Option<u16>,
    /// What probes may lose, where that is more than the stack says.
    #[serde(default)]
    pub probes: Probes,
    /// How long the finished state must stay as it is; without it as the stack says.
    #[serde(default)]
    pub stable: Option<Timeout>,
}

/// How releases get in, where a scenario is about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Delivered {
    /// The Cluster Stack Operator does it: the scenario is about what it does.
    Operator,
}

impl From<Delivered> for Delivery {
    fn from(delivered: Delivered) -> Self {
        match delivered {
            Delivered::Operator => Self::Operator,
        }
    }
}

/// One of the stack's own two releases, and in what it is another one. A release that differs from its base, or
/// that comes after one that does, has a version of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRecipe {
    /// Which of the stack's releases it is made of.
    pub base: Base,
    /// A command that each node runs before kubeadm: a change of the class alone.
    #[serde(default)]
    pub class_command: Option<String>,
    /// What is put behind the tag of the node image: another image for the same Kubernetes.
    #[serde(default)]
    pub node_image_suffix: Option<String>,
    /// Whether it has the next patch of its base's Kubernetes, with the node image of that.
    #[serde(default)]
    pub next_patch: bool,
    /// Whose addons it has in the place of its own.
    #[serde(default)]
    pub addons_of: Option<Base>,
    /// Whether the pods of its first addon, which is the network's as a rule, have an image that no registry has.
    #[serde(default)]
    pub broken: bool,
    /// Whether its last addon brings a workload that a PodDisruptionBudget protects.
    #[serde(default)]
    pub budget: bool,
}

/// One of the stack's own releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// N.
    From,
    /// N+1.
    To,
}

impl ReleaseRecipe {
    /// Whether it is its base as that is.
    #[must_use]
    pub fn is_base(&self) -> bool {
        let Self {
            base,
            class_command,
            node_image_suffix,
            next_patch,
            addons_of,
            broken,
            budget,
        } = self;
        class_command.is_none()
            && node_image_suffix.is_none()
            && !next_patch
            && addons_of.is_none_or(|other| other == *base)
            && !broken
            && !budget
    }

    /// Whether its class is not that of its base.
    #[must_use]
    pub const fn changes_class(&self) -> bool {
        self.class_command.is_some() || self.node_image_suffix.is_some() || self.next_patch
    }

    /// What its addons are made of: two releases of which this is the same have the same addons.
    #[must_use]
    pub fn addons(&self) -> (Base, bool, bool) {
        let of = self.addons_of.unwrap_or(self.base);
        (of, self.broken, self.budget)
    }
}
