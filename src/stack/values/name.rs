//! Names that Kubernetes accepts.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{ValueError, string_value};

/// A DNS label (RFC 1123): at most 63 lowercase letters, digits and inner dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// A DNS subdomain (RFC 1123): labels joined by dots, at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdomain(String);

string_value!(
    Label,
    "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "A DNS label: at most 63 lowercase letters, digits and inner dashes"
);
string_value!(
    Subdomain,
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "A DNS name: labels of lowercase letters, digits and inner dashes, joined by dots"
);

impl Subdomain {
    /// `cluster.local`, what kubeadm assumes.
    pub fn cluster_local() -> Self {
        Self("cluster.local".to_owned())
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl FromStr for Label {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "a name",
                "at most 63 lowercase letters, digits and inner dashes (a DNS label)",
            ))
        }
    }
}

impl FromStr for Subdomain {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "a domain",
                "DNS labels joined by dots such as cluster.local",
            ))
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for Subdomain {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_rfc_1123() {
        for text in ["a", "md-0", "0a", &"a".repeat(63)] {
            assert!(text.parse::<Label>().is_ok(), "{text}");
        }
        for text in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(text.parse::<Label>().is_err(), "{text}");
        }
        assert!("cluster.local".parse::<Subdomain>().is_ok());
        assert!("cluster..local".parse::<Subdomain>().is_err());
    }
}
