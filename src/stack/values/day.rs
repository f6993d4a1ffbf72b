//! Days of the calendar.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::{ValueError, string_value};

/// A day, written YYYY-MM-DD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

string_value!(
    Day,
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "A day, written YYYY-MM-DD"
);

impl Day {
    /// The date itself.
    pub fn get(self) -> Date {
        self.0
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(date)
    }
}

impl FromStr for Day {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // jiff also reads times and other forms of ISO 8601.
        Date::strptime("%Y-%m-%d", text)
            .ok()
            .filter(|date| date.to_string() == text)
            .map(Self)
            .ok_or_else(|| ValueError::new(text, "a day", "the form YYYY-MM-DD such as 2027-01-31"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(
            "2028-02-29".parse::<Day>().map(|day| day.to_string()),
            Ok("2028-02-29".into())
        );
        for text in [
            "",
            "tomorrow",
            "2027-02-29",
            "2027-2-1",
            "2027-02-01T10:00:00",
            "20270201",
            " 2027-02-01",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
