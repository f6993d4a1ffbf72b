//! Formats of texts that are checked; all others are only said.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use crate::store::lock;

/// Whether a text is of a format.
type Check = fn(&str) -> bool;

/// Each checked format with its check.
const FORMATS: &[(&str, Check)] = &[
    ("byte", |text| STANDARD.decode(text).is_ok()),
    ("cidr", is_cidr),
    ("date", |text| text.parse::<jiff::civil::Date>().is_ok()),
    ("date-time", |text| text.parse::<jiff::Timestamp>().is_ok()),
    ("datetime", |text| text.parse::<jiff::Timestamp>().is_ok()),
    ("duration", is_duration),
    ("email", |text| matches(text, r"^[^@\s]+@[^@\s]+$")),
    ("hostname", |text| {
        text.len() < 256
            && matches(
                text,
                r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?$",
            )
    }),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("k8s-long-name", |text| {
        text.len() < 254
            && matches(
                text,
                r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            )
    }),
    ("k8s-short-name", |text| {
        text.len() < 64 && matches(text, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    }),
    ("mac", |text| {
        matches(text, "^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$")
    }),
    ("uri", |text| {
        matches(text, r"^([a-zA-Z][-+.a-zA-Z0-9]*:\S+|/\S*)$")
    }),
    ("uuid", |text| {
        matches(
            text,
            "^[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}$",
        )
    }),
];

/// Whether a format is checked.
pub(super) fn is_known(format: &str) -> bool {
    FORMATS.iter().any(|(name, _)| *name == format)
}

/// Whether a text is of a format; of an unknown one it always is.
pub(super) fn fits(format: &str, text: &str) -> bool {
    let known = FORMATS.iter().find(|(name, _)| *name == format);
    known.is_none_or(|(_, check)| check(text))
}

fn matches(text: &str, pattern: &'static str) -> bool {
    static COMPILED: Mutex<BTreeMap<&str, Regex>> = Mutex::new(BTreeMap::new());
    let mut compiled = lock(&COMPILED);
    if let Some(known) = compiled.get(pattern) {
        return known.is_match(text);
    }
    let Ok(made) = Regex::new(pattern) else {
        return true;
    };
    let fits = made.is_match(text);
    compiled.insert(pattern, made);
    fits
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let within = |most: u8| length.parse::<u8>().is_ok_and(|length| length <= most);
    address.parse::<Ipv4Addr>().is_ok() && within(32)
        || address.parse::<Ipv6Addr>().is_ok() && within(128)
}

/// Go's form: `1h30m`, `-1.5s`.
pub(super) fn is_duration(text: &str) -> bool {
    matches(
        text,
        r"^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_knows_its_own() {
        for (format, good, bad) in [
            ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
            ("date", "2026-01-02", "yesterday"),
            ("duration", "1h30m", "1 hour"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "fd00::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("uuid", "d1a0e5bc-2b5e-4b1f-9e0a-111111111111", "d1a0"),
            ("byte", "dg==", "d"),
            ("uri", "https://example.org/a", "a b"),
            ("hostname", "a.example.org", "a_b"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("k8s-short-name", "abc", "a.b"),
            ("email", "a@example.org", "a"),
        ] {
            assert!(fits(format, good), "{format}: {good}");
            assert!(!fits(format, bad), "{format}: {bad}");
        }
        assert!(fits("int-or-whatever", "anything") && !is_known("int-or-whatever"));
    }
}
