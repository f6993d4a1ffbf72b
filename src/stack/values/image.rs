//! References to container images.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_value};

/// A container image with a tag, optionally pinned by a digest: `kindest/node:v1.34.3`.
/// The tag must be there and must not be `latest`: a run that is repeated tests the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference(String);

string_value!(
    ImageReference,
    "^[^:@\\s]+(:[0-9]+/[^:@\\s]+)?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[0-9a-f]{64})?$",
    "A container image with a tag other than latest, such as kindest/node:v1.34.3"
);

impl ImageReference {
    /// The reference as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageReference {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "an image reference",
                "name:tag such as kindest/node:v1.34.3",
            )
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let hex = |text: &str| {
            text.len() == 64
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(hex)) {
            return Err(ValueError::new(
                text,
                "an image reference",
                "the digest as sha256: and 64 hexadecimal digits",
            ));
        }
        // A colon before the last slash belongs to the registry's port.
        let name_start = named.rfind('/').map_or(0, |at| at + 1);
        let Some((last, tag)) = named[name_start..].split_once(':') else {
            return Err(ValueError::new(
                text,
                "an image with a tag",
                "name:tag such as kindest/node:v1.34.3",
            ));
        };
        if tag == "latest" {
            return Err(ValueError::new(
                text,
                "a fixed image",
                "a tag other than latest, so that a repeated run tests the same",
            ));
        }
        if !is_tag(tag) || !is_component(last) {
            return Err(error());
        }
        let Some(path) = named[..name_start].strip_suffix('/') else {
            return Ok(Self(text.to_owned()));
        };
        let mut components = path.split('/');
        let first = components.next().unwrap_or_default();
        if (is_component(first) || is_registry(first)) && components.all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_component(text: &str) -> bool {
    let edge = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text
            .bytes()
            .all(|byte| edge(Some(byte)) || b"._-".contains(&byte))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    let host_ok = host.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    host_ok && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_references_with_a_tag() {
        let digest = format!("kindest/node:v1.34.3@sha256:{}", "0a".repeat(32));
        for text in [
            "kindest/node:v1.34.3",
            "haproxy:2.8",
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "localhost:5000/a/b:c",
            digest.as_str(),
        ] {
            assert_eq!(
                text.parse::<ImageReference>().map(|i| i.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn refuses_missing_tags_latest_and_nonsense() {
        for text in [
            "",
            "kindest/node",
            "kindest/node:latest",
            "localhost:5000/node",
            "a b:c",
            "Node:v1",
            "a:",
            ":v1",
            "a//b:c",
            "a:b:c",
            "a:v1@sha256:12",
            "a:v1@",
            "-a:v1",
            "a\n:v1",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
