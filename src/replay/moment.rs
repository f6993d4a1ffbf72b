//! A moment of a run as people name it: `12:03:05`, `upgrade+40s`, `+90s`, `end`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::record::{Event, Past, Phase, What, read};

/// How a moment can be named.
const FORMS: &str = "expected a time such as 12:03:05 or 2026-01-01T12:03:05Z (UTC), a phase such as upgrade or upgrade+40s, +90s or end";

/// A moment as it was named.
#[derive(Clone, Debug, PartialEq)]
pub enum At {
    /// So long after a phase began; without a phase, after the run began.
    After(Option<Phase>, SignedDuration),
    /// When the clock on the wall (UTC) said so for the first time in the run.
    Clock(Time),
    /// At this moment.
    Wall(Timestamp),
    /// When the recording ended.
    End,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(phase, offset) => {
                let phase = phase.map(|phase| phase.name().replace(' ', "-"));
                f.write_str(&phase.unwrap_or_default())?;
                if offset.is_zero() {
                    return Ok(());
                }
                write!(f, "+{offset:#}")
            }
            Self::Clock(time) => write!(f, "{time}"),
            Self::Wall(time) => write!(f, "{time}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl FromStr for At {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || format!("'{text}' is no moment of a run: {FORMS}");
        if text == "end" {
            return Ok(Self::End);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::Wall(time));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Self::Clock(text.parse::<Time>().with_context(wrong)?));
        }
        let (name, offset) = match text.split_once('+') {
            Some((name, offset)) => {
                let offset = offset.parse::<SignedDuration>().with_context(wrong)?;
                (name, offset)
            }
            None => (text, SignedDuration::ZERO),
        };
        if offset.is_negative() {
            bail!(wrong());
        }
        if name.is_empty() && text.starts_with('+') {
            return Ok(Self::After(None, offset));
        }
        let name = name.replace('-', " ");
        let phase = Phase::ALL.into_iter().find(|phase| phase.name() == name);
        let phase = phase.with_context(wrong)?;
        Ok(Self::After(Some(phase), offset))
    }
}

/// When what happened in a run.
#[derive(Clone, Debug)]
pub struct Times {
    epoch: Timestamp,
    end_ms: u64,
    /// When phases began, in their order.
    phases: Vec<(Phase, u64)>,
}

impl Times {
    /// Reads the times of a run's stream, and of the recording beside it.
    ///
    /// # Errors
    /// When the stream cannot be read, or nothing was recorded.
    pub fn read(stream: &Path, past: &Past) -> Result<Self> {
        let epoch = past
            .epoch()
            .context("nothing was recorded: the run ended before it had a cluster")?;
        let mut phases = Vec::new();
        for event in read(stream)? {
            let Event {
                elapsed_ms, what, ..
            } = event?;
            if let What::PhaseStarted { phase, .. } = what {
                phases.push((phase, elapsed_ms));
            }
        }
        Ok(Self {
            epoch,
            end_ms: past.end_ms(),
            phases,
        })
    }

    /// When a phase began; none when it did not.
    #[must_use]
    pub fn of(&self, phase: Phase) -> Option<u64> {
        let mut phases = self.phases.iter();
        let found = phases.find(|(began, _)| *began == phase);
        found.map(|(_, at_ms)| *at_ms)
    }

    /// The moment that is looked at when none is named: that of the verdict.
    #[must_use]
    pub fn usual(&self) -> u64 {
        self.of(Phase::Verdict)
            .unwrap_or(self.end_ms)
            .min(self.end_ms)
    }

    /// A moment in milliseconds since the run began; never later than the recording's end.
    ///
    /// # Errors
    /// When the run did not get there.
    pub fn resolve(&self, at: Option<&At>) -> Result<u64> {
        let Some(at) = at else {
            return Ok(self.usual());
        };
        let since = |moment: Timestamp| -> Result<u64> {
            let since = moment.duration_since(self.epoch).as_millis();
            let since = u64::try_from(since);
            since.with_context(|| format!("{at} is before the run, which began at {}", self.epoch))
        };
        let at_ms = match at {
            At::End => self.end_ms,
            At::Wall(moment) => since(*moment)?,
            At::Clock(time) => {
                let began = self.epoch.to_zoned(TimeZone::UTC).datetime();
                let mut moment = began.date().to_datetime(*time);
                // The clock tells no fractions.
                if *time < began.time().with().subsec_nanosecond(0).build()? {
                    moment = moment.tomorrow()?;
                }
                let moment = moment.to_zoned(TimeZone::UTC)?.timestamp();
                since(moment.max(self.epoch))?
            }
            At::After(phase, offset) => {
                let began = match phase {
                    Some(phase) => self
                        .of(*phase)
                        .with_context(|| format!("the run has no phase '{phase}'"))?,
                    None => 0,
                };
                began.saturating_add(u64::try_from(offset.as_millis())?)
            }
        };
        if at_ms > self.end_ms {
            let ended = SignedDuration::from_millis(i64::try_from(self.end_ms)?);
            if matches!(at, At::After(Some(_), offset) if offset.is_zero()) {
                return Ok(self.end_ms);
            }
            bail!(
                "{at} is after the recording's end: it ends {ended:#} after the run began, at {}",
                self.epoch.checked_add(ended)?
            );
        }
        Ok(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times() -> Times {
        Times {
            epoch: "2026-01-01T23:59:50.5Z".parse().unwrap(),
            end_ms: 100_000,
            phases: vec![
                (Phase::CheckBefore, 10_000),
                (Phase::Upgrade, 20_000),
                (Phase::Verdict, 90_000),
            ],
        }
    }

    fn resolve(text: &str) -> Result<u64> {
        times().resolve(Some(&text.parse()?))
    }

    #[test]
    fn a_moment_is_found_by_phase_by_offset_and_by_the_clock() {
        for (text, at_ms) in [
            ("upgrade", 20_000),
            ("upgrade+40s", 60_000),
            ("check-before+1m1500ms", 71_500),
            ("+90s", 90_000),
            ("end", 100_000),
            ("23:59:55", 4_500),
            ("23:59:50", 0),
            ("00:00:10", 19_500),
            ("2026-01-02T00:00:00.5Z", 10_000),
        ] {
            assert_eq!(resolve(text).unwrap(), at_ms, "{text}");
        }
        assert_eq!(times().resolve(None).unwrap(), 90_000);
    }

    #[test]
    fn what_is_no_moment_of_the_run_is_refused_with_what_would_be() {
        for (text, told) in [
            ("yesterday", "expected a time such as 12:03:05"),
            ("upgrade+soon", "expected a time"),
            ("25:00:00", "expected a time"),
            ("", "expected a time"),
            ("teardown", "no phase 'teardown'"),
            (
                "upgrade+2h",
                "after the recording's end: it ends 1m 40s after the run began",
            ),
            (
                "2025-01-01T00:00:00Z",
                "is before the run, which began at 2026-01-01",
            ),
        ] {
            let error = format!("{:#}", resolve(text).unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_told_as_it_is_named(seconds in 0_i64..10_000, phase in 0_usize..10) {
            let phase = Phase::ALL.get(phase).copied();
            let at = At::After(phase, SignedDuration::from_secs(seconds));
            if phase.is_some() || seconds > 0 {
                prop_assert_eq!(at.to_string().replace(' ', "").parse::<At>().unwrap(), at);
            }
        }

        #[test]
        fn no_text_makes_it_fall(text in ".*") {
            if let Ok(at) = text.parse::<At>() {
                let _ = times().resolve(Some(&at));
            }
        }
    }
}
