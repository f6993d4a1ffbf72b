//! Regular expressions in files.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::{ValueError, string_value};

/// A regular expression that may match anywhere in a text.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

string_value!(
    Pattern,
    ".+",
    "A regular expression that may match anywhere in a text"
);

impl Pattern {
    /// Whether it matches somewhere.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, "a pattern", "a regular expression that is not empty");
        if text.is_empty() {
            return Err(error());
        }
        Regex::new(text).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_anywhere_and_a_broken_one_is_refused() {
        assert!("b+".parse::<Pattern>().unwrap().is_match("abbc"));
        for wrong in ["", "[", "(?=a)"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
