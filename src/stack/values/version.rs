//! Versions: of Kubernetes and Cluster API (`v1.34.3`), and of a cluster stack (`v1`, `v0-sha.abc1234`).

use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_value};

/// A version `vMAJOR.MINOR.PATCH`, as Kubernetes and Cluster API write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

string_value!(
    Version,
    "^v(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)$",
    "A version such as v1.34.3"
);

impl FromStr for Version {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, "a version", "the form v1.34.3");
        let numbers = text.strip_prefix('v').ok_or_else(error)?;
        let parsed: Option<Vec<u16>> = numbers.split('.').map(number).collect();
        match parsed.ok_or_else(error)?[..] {
            [major, minor, patch] => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(error()),
        }
    }
}

impl Version {
    /// The versions that stand in a text, such as the name of an image: it may name those of several things.
    pub fn all_in(text: &str) -> impl DoubleEndedIterator<Item = Self> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        words.filter_map(|word| {
            // Behind it may stand how a file ends.
            let mut parts = word.split('.');
            let parts = [parts.next()?, parts.next()?, parts.next()?];
            parts.join(".").parse().ok()
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Decimal digits without sign or leading zero.
pub(super) fn number(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

/// The version of a cluster stack or of one of its components: a number and, for unreleased work,
/// a channel with its patch. It has two written forms: dots in metadata and class names
/// (`v0-sha.abc1234`), dashes in tags (`v0-sha-abc1234`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion {
    number: u32,
    channel: Option<(String, String)>,
}

string_value!(
    ReleaseVersion,
    "^v[0-9]+(-[0-9A-Za-z_]+[.][0-9A-Za-z_]+)?$",
    "The version of a component in dot form: v1 or v0-sha.abc1234"
);

impl ReleaseVersion {
    /// Form of tags and directory names: `v1`, `v0-sha-abc1234`.
    pub fn dashed(&self) -> String {
        self.joined('-')
    }

    /// Form of metadata, archive names and class names: `v1`, `v0-sha.abc1234`.
    pub fn dotted(&self) -> String {
        self.joined('.')
    }

    /// From the parts of a tag after the minor version: `["v1"]` or `["v0", "sha", "abc1234"]`.
    pub(super) fn from_parts(parts: &[&str]) -> Option<Self> {
        let (number, rest) = parts.split_first()?;
        let digits = number.strip_prefix('v')?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse().ok()?;
        let channel = match rest {
            [] => None,
            [channel, patch] if is_word(channel) && is_word(patch) => {
                Some(((*channel).to_owned(), (*patch).to_owned()))
            }
            _ => return None,
        };
        Some(Self { number, channel })
    }

    /// Its number: 1 of `v1` and of `v1-sha.abc1234`.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The same with another number.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        Self {
            number,
            channel: self.channel.clone(),
        }
    }

    /// Whether it is of no channel: released work.
    #[must_use]
    pub const fn is_stable(&self) -> bool {
        self.channel.is_none()
    }

    /// The hash that it is named by, of the channel `sha`: `abc1234` of `v0-sha.abc1234`.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        let (channel, patch) = self.channel.as_ref()?;
        (channel == "sha").then_some(patch)
    }

    /// Whether the Cluster Stack Operator takes `other` for newer: channels must be the same, the number
    /// counts first, then the patch as text.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        let parts = |one: &Self| one.channel.clone().unwrap_or_default();
        let ((mine, patch), (theirs, next)) = (parts(self), parts(other));
        mine == theirs && (self.number, patch) < (other.number, next)
    }

    fn joined(&self, separator: char) -> String {
        match &self.channel {
            None => format!("v{}", self.number),
            Some((channel, patch)) => format!("v{}-{channel}{separator}{patch}", self.number),
        }
    }
}

/// `\w+` of the operator's expression, ASCII only because it becomes part of object names.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl FromStr for ReleaseVersion {
    type Err = ValueError;

    /// Reads the dot form.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parsed = match text.split_once('-') {
            None => Self::from_parts(&[text]),
            Some((number, rest)) => rest
                .split_once('.')
                .and_then(|(channel, patch)| Self::from_parts(&[number, channel, patch])),
        };
        parsed.ok_or_else(|| {
            ValueError::new(
                text,
                "the version of a release",
                "dot form: v1 or v0-sha.abc1234",
            )
        })
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dotted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_versions_are_strict() {
        assert_eq!(
            "v1.34.3".parse::<Version>().map(|v| v.to_string()),
            Ok("v1.34.3".into())
        );
        for text in [
            "1.34.3",
            "v1.34",
            "v1.34.3.1",
            "v1.034.3",
            "v1.34.3-rc.0",
            "v1.+3.3",
            "v1..3",
            "v1.34.70000",
            "",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        let older = |a: &str, b: &str| a.parse::<Version>().ok() < b.parse::<Version>().ok();
        assert!(older("v1.9.9", "v1.10.0") && !older("v1.10.0", "v1.9.9"));
    }

    #[test]
    fn release_versions_have_two_forms() {
        let version: Result<ReleaseVersion, _> = "v0-sha.abc1234".parse();
        assert_eq!(
            version.as_ref().map(ReleaseVersion::dashed),
            Ok("v0-sha-abc1234".into())
        );
        assert_eq!(
            version.as_ref().map(ReleaseVersion::dotted),
            Ok("v0-sha.abc1234".into())
        );
        for text in [
            "",
            "1",
            "v",
            "v1-",
            "v1-sha",
            "v1-sha-abc",
            "v1-sha.a.b",
            "v1.2",
            "v1-.x",
            "vx",
        ] {
            assert!(text.parse::<ReleaseVersion>().is_err(), "{text}");
        }
    }
}
