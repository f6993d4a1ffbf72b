//! Ranges of versions, as Helm writes them.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, Version, string_value};
use crate::stack::chart::semver;

/// A range of versions such as `>=1.34 <1.36`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(String);

string_value!(
    VersionRange,
    "^[-<>=!~^|,.*0-9xXv ]+$",
    "A range of versions such as `>=1.34 <1.36`"
);

impl VersionRange {
    /// Whether a version lies in it.
    #[must_use]
    pub fn contains(&self, version: Version) -> bool {
        let version = semver::Version::parse(&version.to_string());
        let range = semver::Constraint::parse(&self.0);
        range
            .ok()
            .zip(version.ok())
            .is_some_and(|(range, version)| range.matches(&version))
    }
}

impl FromStr for VersionRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, "a range of versions", "one such as `>=1.34 <1.36`");
        if text.trim().is_empty() {
            return Err(error());
        }
        semver::Constraint::parse(text).map_err(|_| error())?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_lies_in_it() {
        let range: VersionRange = ">=1.34 <1.36".parse().unwrap();
        for (version, inside) in [("v1.34.0", true), ("v1.35.9", true), ("v1.36.0", false)] {
            assert_eq!(
                range.contains(version.parse().unwrap()),
                inside,
                "{version}"
            );
        }
        for wrong in ["", " ", "new", ">=", "1.2.3.4.5"] {
            assert!(wrong.parse::<VersionRange>().is_err(), "{wrong}");
        }
    }
}
