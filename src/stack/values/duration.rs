//! How long something may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, string_value};

/// A duration between one millisecond and 24 hours, written `90s`, `5m`, `1h30m` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(Duration);

/// Nothing here takes longer than a day; a larger value is a slip.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

string_value!(
    Timeout,
    "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
    "A duration of at most 24 hours such as 90s, 5m or 1h30m"
);

impl Timeout {
    /// A timeout of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// The timeout times `factor`; the result stays between one millisecond and 24 hours.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let seconds = self.0.as_secs_f64() * factor;
        let scaled = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST);
        Self(scaled.clamp(Duration::from_millis(1), LONGEST))
    }
}

impl From<Timeout> for Duration {
    fn from(timeout: Timeout) -> Self {
        timeout.0
    }
}

impl FromStr for Timeout {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, "a duration", "one such as 90s, 5m or 1h30m");
        // jiff also reads ISO 8601, words and fractions; a stack file has one way to say it.
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte))
        {
            return Err(error());
        }
        let signed: jiff::SignedDuration = text.parse().map_err(|_| error())?;
        let duration = Duration::try_from(signed).map_err(|_| error())?;
        if duration.is_zero() || duration > LONGEST {
            return Err(ValueError::new(
                text,
                "a usable duration",
                "more than 0s and at most 24h",
            ));
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(millis), "ms"),
        ];
        parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["15s", "5m", "1h30m", "500ms", "24h", "1m30s"] {
            assert_eq!(
                text.parse::<Timeout>().map(|t| t.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            "90s".parse::<Timeout>().map(|t| t.to_string()),
            Ok("1m30s".to_owned())
        );
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "",
            "5",
            "0s",
            "-5m",
            "5 minutes",
            "1.5h",
            "PT5M",
            "25h",
            "s",
            "3m5h",
            "99999999999999999999h",
        ] {
            assert!(text.parse::<Timeout>().is_err(), "{text}");
        }
    }

    #[test]
    fn scales_within_bounds() {
        assert_eq!(Timeout::from_secs(60).scaled(2.5), Timeout::from_secs(150));
        assert_eq!(Timeout::from_secs(60).scaled(1e12).get(), LONGEST);
        assert_eq!(
            Timeout::from_secs(60).scaled(0.0).get(),
            Duration::from_millis(1)
        );
        assert_eq!(Timeout::from_secs(60).scaled(f64::NAN).get(), LONGEST);
    }
}
