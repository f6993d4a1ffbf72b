//! Why a phase ended badly: the stack's fault, the surroundings', or somebody's wish.

use super::{named, operator};
use crate::cluster::{ApplyError, Interrupted, WaitError};
use crate::delivery::DeliveryError;
use crate::engine::{ENGINE, EngineError};
use crate::record::Finding;

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
    /// Somebody had it torn down at a pause: where.
    #[error("aborted {0}")]
    Aborted(String),
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
            Self::Infrastructure(error) => match error.downcast_ref::<EngineError>() {
                Some(EngineError::Cause(finding)) => Some(finding),
                _ => None,
            },
            Self::Interrupted | Self::Aborted(_) => None,
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

impl From<WaitError> for Trouble {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted(_) => Self::Interrupted,
            // The engine's own trouble says nothing about the stack, nor does how the operator was set up.
            WaitError::Cause(finding)
                if finding.object.cluster == ENGINE || operator::is_of_its_setup(&finding) =>
            {
                EngineError::Cause(finding).into()
            }
            WaitError::Cause(finding) => Self::Stack {
                message: finding.message.clone(),
                finding: Some(finding),
            },
            WaitError::Deadline {
                ref blind,
                ref blockers,
                ..
            } if blind.is_empty() => {
                let message = error.to_string();
                Self::Stack {
                    finding: named::cause(&message, blockers).map(Box::new),
                    message,
                }
            }
            // While the management cluster does not answer, nothing is said about the stack.
            WaitError::Deadline { .. } => Self::Infrastructure(anyhow::Error::new(error)),
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
            // A kind that is never served, a webhook that never answers: the workload cluster is the
            // stack's own work.
            ApplyError::Deadline { ref object, .. } if object.cluster == "workload" => {
                Self::Stack {
                    finding: named::refusal(&error).map(Box::new),
                    message: error.to_string(),
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Blocker, ObjectRef};

    /// Whose trouble it is, with its sentence.
    fn judged(error: impl Into<Trouble>) -> (&'static str, String) {
        let trouble = error.into();
        let whose = match trouble {
            Trouble::Stack { .. } => "stack",
            Trouble::Infrastructure(_) => "infrastructure",
            Trouble::Interrupted | Trouble::Aborted(_) => "interrupted",
        };
        (whose, trouble.to_string())
    }

    fn object(cluster: &str) -> ObjectRef {
        ObjectRef::new(cluster, "Machine", "demo", "a")
    }

    fn late(blind: Vec<Blocker>) -> WaitError {
        WaitError::Deadline {
            what: "x".to_owned(),
            seconds: 5.0,
            blockers: vec![Blocker::new(object("management"), "missing")],
            blind,
        }
    }

    #[test]
    fn a_wait_that_could_see_speaks_of_the_stack_and_a_blind_one_does_not() {
        let said = "timed out after 5 s waiting for x: Machine demo/a: ";
        assert_eq!(judged(late(vec![])), ("stack", format!("{said}missing")));
        let blind = Blocker::new(object("management"), "cannot be watched");
        let expected = ("infrastructure", format!("{said}cannot be watched"));
        assert_eq!(judged(late(vec![blind.clone()])), expected);
        assert_eq!(
            judged(ApplyError::Wait(late(vec![blind.clone()]))),
            expected
        );
        let delivered = DeliveryError::Apply(ApplyError::Wait(late(vec![blind])));
        assert_eq!(judged(delivered), expected);
    }

    #[test]
    fn a_cause_keeps_its_finding() {
        let finding = Finding {
            cause: "image-not-found".to_owned(),
            message: "image x cannot be had".to_owned(),
            object: object("management"),
            evidence: vec![],
        };
        let trouble = Trouble::from(WaitError::Cause(Box::new(finding.clone())));
        assert_eq!(trouble.finding(), Some(&finding));
        assert_eq!(judged(trouble), ("stack", finding.message));
    }

    #[test]
    fn an_interruption_stays_one() {
        let wait = || WaitError::Interrupted(Interrupted);
        for trouble in [
            Trouble::from(wait()),
            ApplyError::Wait(wait()).into(),
            ApplyError::Interrupted(Interrupted).into(),
            DeliveryError::Wait(wait()).into(),
            EngineError::Interrupted(Interrupted).into(),
            Interrupted.into(),
        ] {
            assert_eq!(judged(trouble).0, "interrupted");
        }
    }

    #[test]
    fn an_object_that_is_never_taken_is_the_stacks_fault_on_its_own_cluster() {
        for (cluster, whose) in [("workload", "stack"), ("management", "infrastructure")] {
            let error = ApplyError::Deadline {
                verb: "apply",
                object: object(cluster),
                origin: "chart demo".to_owned(),
                seconds: 5.0,
                message: "no such webhook".to_owned(),
            };
            let said = error.to_string();
            assert_eq!(judged(error), (whose, said));
            let error = ApplyError::Refused {
                verb: "apply",
                object: object(cluster),
                origin: "chart demo".to_owned(),
                message: "invalid".to_owned(),
            };
            assert_eq!(judged(error).0, "stack");
        }
    }
}
