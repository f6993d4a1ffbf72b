//! Why a phase ended badly: the stack's fault, the surroundings', or somebody's wish.

use crate::cluster::{ApplyError, Interrupted, WaitError};
use crate::delivery::DeliveryError;
use crate::engine::EngineError;
use crate::record::{Blocker, Finding};

/// Why a phase ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The stack under test failed: the gate closes.
    #[error("{message}")]
    Stack {
        /// One sentence for the reader.
        message: String,
        /// The cause by name, where one was found.
        finding: Option<Box<Finding>>,
    },
    /// Nothing that says something about the stack: no verdict.
    #[error("{0:#}")]
    Infrastructure(anyhow::Error),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Trouble {
    /// The stack's fault, in one sentence.
    pub fn stack(message: impl Into<String>) -> Self {
        Self::Stack {
            message: message.into(),
            finding: None,
        }
    }

    /// The finding, if a cause was found.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Stack { finding, .. } => finding.as_deref(),
            Self::Infrastructure(_) | Self::Interrupted => None,
        }
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Infrastructure(error)
    }
}

impl From<Interrupted> for Trouble {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Interrupted(_) => Self::Interrupted,
            other => Self::Infrastructure(anyhow::Error::new(other)),
        }
    }
}

/// A deadline that passes while the management cluster does not answer says nothing about the stack.
fn is_blind(blockers: &[Blocker]) -> bool {
    blockers
        .iter()
        .any(|blocker| blocker.condition == "cannot be watched on the management cluster")
}

impl From<WaitError> for Trouble {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted(_) => Self::Interrupted,
            WaitError::Cause(finding) => Self::Stack {
                message: finding.message.clone(),
                finding: Some(finding),
            },
            WaitError::Deadline { ref blockers, .. } if is_blind(blockers) => {
                Self::Infrastructure(anyhow::Error::new(error))
            }
            WaitError::Deadline { .. } => Self::stack(error.to_string()),
        }
    }
}

impl From<ApplyError> for Trouble {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Interrupted(_) => Self::Interrupted,
            ApplyError::Wait(error) => error.into(),
            // The object comes from the release, and the server refused it.
            ApplyError::Refused { .. } => Self::stack(error.to_string()),
            // What was expected to pass (a connection, a webhook) did not.
            ApplyError::Deadline { .. } => Self::Infrastructure(anyhow::Error::new(error)),
        }
    }
}

impl From<DeliveryError> for Trouble {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Apply(error) => error.into(),
            DeliveryError::Wait(error) => error.into(),
            DeliveryError::Condition { .. } | DeliveryError::NotServed { .. } => {
                Self::stack(error.to_string())
            }
            DeliveryError::Cluster(error) => Self::Infrastructure(error),
        }
    }
}
