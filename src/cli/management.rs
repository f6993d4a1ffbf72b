//! `--management` and what goes with it: where the management cluster comes from, and whether it stays.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::args::EngineKind;
use super::exit::Failure;
use crate::engine::kind::kept_name_problem;
use crate::stack;

/// The mode that is an engine of its own.
pub(super) const EXISTING: &str = EngineKind::Existing.name();

/// The management cluster of engine `existing`.
#[derive(Clone, Debug, Default, Args)]
pub struct ExistingArgs {
    /// With --engine existing: the management cluster's kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// With --engine existing: the context that is meant [default: the current one]
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub context: Option<String>,
}

/// What a management cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManagementKind {
    /// A node made by kind
    Kind,
    /// Containers of its programs, without nodes
    Light,
}

impl From<ManagementKind> for stack::ManagementKind {
    fn from(kind: ManagementKind) -> Self {
        match kind {
            ManagementKind::Kind => Self::Kind,
            ManagementKind::Light => Self::Light,
        }
    }
}

/// Where the management cluster comes from, and whether it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Management {
    /// It is made without nodes, and removed with the run.
    Light,
    /// It is made for this run and removed with it.
    Fresh,
    /// It is made, and stays under this name.
    Keep(String),
    /// It stayed under this name.
    Reuse(String),
}

impl From<stack::ManagementKind> for Management {
    fn from(kind: stack::ManagementKind) -> Self {
        match kind {
            stack::ManagementKind::Kind => Self::Fresh,
            stack::ManagementKind::Light => Self::Light,
        }
    }
}

impl Management {
    /// As it is typed.
    pub(super) fn words(&self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Light => &["light"],
            Self::Fresh => &["kind"],
            Self::Keep(name) => &["keep", name],
            Self::Reuse(name) => &["reuse", name],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The mode, and a value that it did not use.
    pub(super) fn resolve(values: &[String]) -> Result<(Option<Self>, Option<String>), Failure> {
        let (mode, surplus) = match values {
            [] => return Ok((None, None)),
            [mode, rest @ ..] if mode == EXISTING => return Ok((None, rest.first().cloned())),
            [mode, rest @ ..] if mode == "kind" || mode == "fresh" => {
                (Self::Fresh, rest.first().cloned())
            }
            [mode, rest @ ..] if mode == "light" => (Self::Light, rest.first().cloned()),
            [mode, name] if mode == "keep" => (Self::Keep(cluster_name(name)?), None),
            [mode, name] if mode == "reuse" => (Self::Reuse(cluster_name(name)?), None),
            _ => {
                let given = values.join(" ");
                let error = anyhow!("failed to understand --management {given}");
                return Err(Failure::input(error)
                    .hint("expected kind, light, existing, keep NAME or reuse NAME"));
            }
        };
        Ok((Some(mode), surplus))
    }
}

/// Containers are named after it, so the engine has the rule.
fn cluster_name(name: &str) -> Result<String, Failure> {
    match kept_name_problem(name) {
        None => Ok(name.to_owned()),
        Some(problem) => {
            Err(Failure::input(anyhow!(problem)).hint("choose another name, e.g. warm"))
        }
    }
}
