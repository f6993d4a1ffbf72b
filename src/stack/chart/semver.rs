//! Versions and constraints as Masterminds/semver v3 reads them, which Helm compares with.

use std::cmp::Ordering;

/// A semantic version; minor and patch may be left out, a leading `v` is allowed.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pub pre: String,
    pub metadata: String,
    pub original: String,
}

impl Version {
    pub fn parse(text: &str) -> Result<Version, String> {
        let invalid = || format!("invalid semantic version: {text:?}");
        let (core, pre, metadata) = split(text.strip_prefix('v').unwrap_or(text));
        let identifiers = |s: &str| {
            s.split('.')
                .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        };
        if [pre, metadata]
            .into_iter()
            .flatten()
            .any(|s| !identifiers(s))
        {
            return Err(invalid());
        }
        let mut numbers = [0; 3];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 {
            return Err(invalid());
        }
        for (number, part) in numbers.iter_mut().zip(&parts) {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            *number = part.parse().map_err(|_| invalid())?;
        }
        Ok(Version {
            major: numbers[0],
            minor: numbers[1],
            patch: numbers[2],
            pre: pre.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    fn core(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.core()
            .cmp(&other.core())
            .then_with(|| compare_pre(&self.pre, &other.pre))
    }
}

fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, metadata) = match text.split_once('+') {
        Some((rest, metadata)) => (rest, Some(metadata)),
        None => (text, None),
    };
    match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre), metadata),
        None => (rest, None, metadata),
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A constraint such as `>=1.24.0-0 <2 || ^3.1`.
pub(in crate::stack) struct Constraint {
    alternatives: Vec<Vec<Comparison>>,
}

struct Comparison {
    operator: Operator,
    version: Version,
    /// How many of major, minor and patch were given.
    given: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

impl Constraint {
    pub fn parse(text: &str) -> Result<Constraint, String> {
        let improper = || format!("improper constraint: {text}");
        let mut alternatives = Vec::new();
        for alternative in text.split("||") {
            let mut comparisons = Vec::new();
            let words = ranges(alternative);
            let mut rest = words.trim();
            if rest.is_empty() {
                comparisons.push(comparison("", "*").ok_or_else(improper)?);
            }
            while !rest.is_empty() {
                let operator_length = rest.find(|c| !"=!<>~^".contains(c)).ok_or_else(improper)?;
                let (operator, after) = rest.split_at(operator_length);
                let after = after.trim_start();
                let end = after
                    .find(|c: char| c == ',' || c.is_whitespace())
                    .unwrap_or(after.len());
                comparisons.push(comparison(operator, &after[..end]).ok_or_else(improper)?);
                rest = after[end..].trim_start();
                if let Some(after_comma) = rest.strip_prefix(',') {
                    rest = after_comma.trim_start();
                    if rest.is_empty() {
                        return Err(improper());
                    }
                }
            }
            alternatives.push(comparisons);
        }
        Ok(Constraint { alternatives })
    }

    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            // A pre-release matches only where the constraint names one itself.
            let with_pre = all.iter().any(|c| !c.version.pre.is_empty());
            (version.pre.is_empty() || with_pre) && all.iter().all(|c| c.matches(version))
        })
    }
}

/// `1.2 - 2.0` is `>=1.2 <=2.0`.
fn ranges(text: &str) -> String {
    match text.split_once(" - ") {
        Some((low, high)) => {
            let (low, high) = (low.trim(), high.trim());
            let low_start = low.rfind([' ', ',']).map_or(0, |i| i + 1);
            format!(
                "{}>={} <={}",
                &low[..low_start],
                &low[low_start..],
                ranges(high)
            )
        }
        None => text.to_owned(),
    }
}

fn comparison(operator: &str, text: &str) -> Option<Comparison> {
    let operator = match operator {
        "" | "=" => Operator::Equal,
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        "<" => Operator::Less,
        ">=" | "=>" => Operator::GreaterEqual,
        "<=" | "=<" => Operator::LessEqual,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => return None,
    };
    let (core, pre, _) = split(text.strip_prefix('v').unwrap_or(text));
    let parts: Vec<&str> = core.split('.').collect();
    let is_wild = |part: &&str| matches!(*part, "x" | "X" | "*");
    let given = parts.iter().position(is_wild).unwrap_or(parts.len());
    if core.is_empty()
        || parts.len() > 3
        || parts[given..]
            .iter()
            .any(|p| !is_wild(p) && p.parse::<u64>().is_err())
    {
        return None;
    }
    let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
    let core = if given == 0 {
        "0".to_owned()
    } else {
        parts[..given].join(".")
    };
    Some(Comparison {
        operator,
        version: Version::parse(&format!("{core}{pre}")).ok()?,
        given,
    })
}

impl Comparison {
    fn matches(&self, v: &Version) -> bool {
        let c = &self.version;
        let order = v.compare(c);
        match self.operator {
            Operator::Equal if self.given < 3 => self.tilde(v),
            Operator::Equal => order == Ordering::Equal,
            Operator::Tilde => self.tilde(v),
            Operator::NotEqual => match self.given {
                0 | 1 => v.major != c.major,
                2 => {
                    (v.major, v.minor) != (c.major, c.minor)
                        || ((!v.pre.is_empty() || !c.pre.is_empty())
                            && compare_pre(&v.pre, &c.pre) != Ordering::Equal)
                }
                _ => order != Ordering::Equal,
            },
            Operator::Greater => match self.given {
                0 | 1 => v.major > c.major,
                2 => (v.major, v.minor) > (c.major, c.minor),
                _ => order == Ordering::Greater,
            },
            Operator::Less => order == Ordering::Less,
            Operator::GreaterEqual => order != Ordering::Less,
            Operator::LessEqual => match self.given {
                0 | 1 => v.major <= c.major,
                2 => (v.major, v.minor) <= (c.major, c.minor),
                _ => order != Ordering::Greater,
            },
            Operator::Caret => order != Ordering::Less && self.caret(v),
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c) == Ordering::Less {
            return false;
        }
        match self.given {
            // Nothing given, or `~0.0.0`: anything goes.
            0 => true,
            3 if c.core() == (0, 0, 0) => true,
            1 => v.major == c.major,
            _ => (v.major, v.minor) == (c.major, c.minor),
        }
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        match (c.major, c.minor) {
            _ if self.given == 0 => true,
            (1.., _) => v.major == c.major,
            _ if self.given == 1 => v.major == c.major,
            (0, 1..) => (v.major, v.minor) == (0, c.minor),
            _ if self.given == 2 => (v.major, v.minor) == (0, 0),
            _ => v.core() == c.core(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_match_as_in_helm() {
        for (constraint, version, expected) in [
            (">=1.21-0", "v1.34.3", true),
            (">=1.21", "1.34.3-rc.1", false),
            (">=1.21-0", "1.34.3-rc.1", true),
            (">= 1.2, < 2", "1.9.0", true),
            ("<1.2 || >=3", "3.0.0", true),
            ("^1.2.3", "1.9.0", true),
            ("^1.2.3", "2.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.4", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.9", true),
            ("1.x", "1.7.0", true),
            ("1.2.x", "1.3.0", false),
            ("*", "9.9.9", true),
            ("", "1.0.0", true),
            ("1.2 - 1.4.5", "1.3.0", true),
            ("1.2 - 1.4.5", "1.5.0", false),
            ("!=1.2.3", "1.2.3", false),
            ("!=1.2", "1.2.9", false),
            (">1.2", "1.2.9", false),
            ("<=1.2", "1.2.9", true),
            ("v1.0.0", "1.0.0", true),
            ("=1.0.0", "1.0.0+build", true),
            (">1.0.0-alpha", "1.0.0-beta", true),
        ] {
            let parsed = Constraint::parse(constraint).unwrap();
            let version_parsed = Version::parse(version).unwrap();
            assert_eq!(
                parsed.matches(&version_parsed),
                expected,
                "{constraint} on {version}"
            );
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in ["a.b", ">>1", "1.2.3.4", ">=", "1,"] {
            assert!(Constraint::parse(text).is_err(), "{text}");
        }
        for text in ["", "1.2.3.4", "1.a", "1.2.3-", "v"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }
}
