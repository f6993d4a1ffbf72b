//! Releases of Kubernetes as numbers that can be compared, and the bounds of ranges that people wrote.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A final release: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32, pub u32);

impl Release {
    /// The minor version, e.g. `1.35`.
    #[must_use]
    pub fn branch(self) -> String {
        format!("{}.{}", self.0, self.1)
    }
}

impl FromStr for Release {
    type Err = String;

    /// Reads `v1.35.0`, with or without the `v`, and without a build suffix (`+k3s1`).
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text
            .trim_start_matches('v')
            .split('+')
            .next()
            .unwrap_or_default();
        match numbers(plain)[..] {
            [Some(major), Some(minor), Some(patch)] => Ok(Self(major, minor, patch)),
            _ => Err(format!("'{text}' is not a final release such as v1.35.0")),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.0, self.1, self.2)
    }
}

fn numbers(text: &str) -> Vec<Option<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(Release);

impl Bound {
    /// The least release that a lower bound means; from the very first where there is no number in it.
    pub fn lowest(text: &str) -> Self {
        if text.trim_start().starts_with('<') {
            return Self(Release(0, 0, 0));
        }
        Self::padded(text, 0).unwrap_or(Self(Release(0, 0, 0)))
    }

    /// The greatest release that an inclusive upper bound means: all patches of `1.27` and `1.27.x`.
    pub fn highest(text: &str) -> Self {
        let trimmed = text.trim_start();
        if let Some(exclusive) = trimmed.strip_prefix('<')
            && !exclusive.starts_with('=')
        {
            return Self::padded(exclusive, 0)
                .map_or(Self(Release(u32::MAX, 0, 0)), |Self(end)| Self(before(end)));
        }
        Self::padded(text, u32::MAX).unwrap_or(Self(Release(u32::MAX, 0, 0)))
    }

    /// The first release beyond an exclusive upper bound.
    pub fn end(text: &str) -> Self {
        Self::padded(text, 0).unwrap_or(Self(Release(u32::MAX, 0, 0)))
    }

    /// Reads up to three numbers, whatever stands before the first, and fills up the rest.
    fn padded(text: &str, filler: u32) -> Option<Self> {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let read = numbers(text[start..].trim());
        let part = |index: usize| read.get(index).copied().flatten().unwrap_or(filler);
        Some(Self(Release(
            read.first().copied().flatten()?,
            part(1),
            part(2),
        )))
    }
}

/// The release before this one, as far as an order needs it.
fn before(Release(major, minor, patch): Release) -> Release {
    match (minor, patch) {
        (_, 1..) => Release(major, minor, patch - 1),
        (1.., 0) => Release(major, minor - 1, u32::MAX),
        (0, 0) => Release(major.saturating_sub(1), u32::MAX, u32::MAX),
    }
}

impl PartialEq<Release> for Bound {
    fn eq(&self, other: &Release) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<Release> for Bound {
    fn partial_cmp(&self, other: &Release) -> Option<Ordering> {
        self.0.partial_cmp(other)
    }
}

impl PartialEq<Bound> for Release {
    fn eq(&self, other: &Bound) -> bool {
        *self == other.0
    }
}

impl PartialOrd<Bound> for Release {
    fn partial_cmp(&self, other: &Bound) -> Option<Ordering> {
        self.partial_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_final_releases_are_releases() {
        assert_eq!("v1.35.0".parse(), Ok(Release(1, 35, 0)));
        assert_eq!("1.30.10+rke2r1".parse(), Ok(Release(1, 30, 10)));
        for wrong in ["v1.31.0-rc.1", "v1.31", "", "v1.31.0.1", "latest"] {
            assert!(wrong.parse::<Release>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_bound(text in ".*") {
            Bound::lowest(&text);
            Bound::highest(&text);
            Bound::end(&text);
        }
    }
}
