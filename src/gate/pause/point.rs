//! Where a run is to stand still, as people name it: `before:upgrade`, `upgrade+40s`, `on-failure`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use crate::record::Phase;

/// How a point can be named.
const FORMS: &str = "expected before:PHASE, PHASE+DURATION such as upgrade+40s, or on-failure";

/// A point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a phase begins.
    Before(Phase),
    /// So long after a phase began, if it still lasts then.
    Within(Phase, Duration),
    /// When a phase or a check that closes the gate has failed.
    OnFailure,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |phase: &Phase| phase.name().replace(' ', "-");
        match self {
            Self::Before(phase) => write!(f, "before:{}", name(phase)),
            Self::Within(phase, after) => {
                let after = SignedDuration::try_from(*after).unwrap_or(SignedDuration::MAX);
                write!(f, "{}+{after:#}", name(phase))
            }
            Self::OnFailure => f.write_str("on-failure"),
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let phase = |name: &str, last: Phase| {
            let mut phases = Phase::ALL.into_iter();
            let found = phases.find(|phase| phase.name().replace(' ', "-") == name);
            match found {
                None => Err(format!("there is no phase '{name}': {FORMS}")),
                Some(Phase::Preflight) => {
                    Err(format!("nothing is there yet in the preflight: {FORMS}"))
                }
                Some(phase) if phase > last => Err(format!("{phase} is over at once: {FORMS}")),
                Some(phase) => Ok(phase),
            }
        };
        if text == "on-failure" {
            return Ok(Self::OnFailure);
        }
        if let Some(name) = text.strip_prefix("before:") {
            return Ok(Self::Before(phase(name, Phase::Teardown)?));
        }
        let (name, after) = text.split_once('+').ok_or(FORMS)?;
        let after: SignedDuration = after
            .parse()
            .map_err(|_| format!("'{after}' is no duration: {FORMS}"))?;
        let after = Duration::try_from(after).map_err(|_| FORMS)?;
        Ok(Self::Within(phase(name, Phase::CheckAfter)?, after))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_point_is_named_by_phase_by_offset_and_by_what_happens() {
        let second = Duration::from_secs;
        for (text, point) in [
            ("before:upgrade", Point::Before(Phase::Upgrade)),
            ("before:check-after", Point::Before(Phase::CheckAfter)),
            ("before:teardown", Point::Before(Phase::Teardown)),
            ("upgrade+40s", Point::Within(Phase::Upgrade, second(40))),
            ("create+1m30s", Point::Within(Phase::Create, second(90))),
            ("on-failure", Point::OnFailure),
        ] {
            assert_eq!(text.parse(), Ok(point), "{text}");
            assert_eq!(
                point.to_string().replace(' ', "").parse(),
                Ok(point),
                "{point}"
            );
        }
    }

    #[test]
    fn what_is_no_point_is_refused_with_what_would_be() {
        for (text, told) in [
            ("", "expected before:PHASE"),
            ("upgrade", "expected before:PHASE"),
            ("after:upgrade", "expected before:PHASE"),
            ("before:lunch", "there is no phase 'lunch'"),
            ("before:check after", "there is no phase 'check after'"),
            ("before:preflight", "nothing is there yet"),
            ("upgrade+soon", "'soon' is no duration"),
            ("upgrade+-3s", "expected before:PHASE"),
            ("verdict+1s", "verdict is over at once"),
        ] {
            let error = text.parse::<Point>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = text.parse::<Point>();
        }
    }
}
