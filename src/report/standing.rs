//! How an answer of a check counts in every report.

use crate::record::{CheckResult, Effect, Outcome};

/// How one check's answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It passed.
    Passed,
    /// It passed, but only when it was asked again.
    Flaky,
    /// A MUST is not met.
    Failed,
    /// A SHOULD, a MAY or a draft's MUST is not met, or could not be judged.
    Warning,
    /// It is not met, and the stack accepts that.
    Accepted,
    /// A MUST could not be judged.
    Aborted,
    /// It does not apply.
    NotApplicable,
}

impl Standing {
    /// How an answer counts.
    #[must_use]
    pub fn of(check: &CheckResult) -> Self {
        match (check.outcome, check.effect()) {
            (Outcome::Pass, _) => Self::Passed,
            (Outcome::Flaky, _) => Self::Flaky,
            (Outcome::Skip, _) => Self::NotApplicable,
            (Outcome::Fail, _) if check.accepted.is_some() => Self::Accepted,
            (Outcome::Fail, Effect::Closes) => Self::Failed,
            (Outcome::Abort, Effect::Closes) => Self::Aborted,
            (Outcome::Fail | Outcome::Abort, Effect::Warns | Effect::Informs) => Self::Warning,
        }
    }
}
