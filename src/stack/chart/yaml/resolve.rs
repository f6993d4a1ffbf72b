//! What a plain scalar means, by the rules of go-yaml v2 (which Helm and Kubernetes use).

/// The meaning of a plain (unquoted) scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A date: a string for every reader here, but quoted when written.
    Timestamp,
    /// The merge key `<<`.
    Merge,
    Text,
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Plain::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        "<<" => return Plain::Merge,
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => decimal_float(text).map_or(Plain::Text, Plain::Float),
        b'0'..=b'9' | b'+' | b'-' => number(text),
        _ => Plain::Text,
    }
}

fn number(text: &str) -> Plain {
    if is_timestamp(text) {
        return Plain::Timestamp;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, &plain[1..]),
        Some(b'+') => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    if let Some(magnitude) = go_integer(digits) {
        if negative {
            if let Some(value) = 0i64.checked_sub_unsigned(magnitude) {
                return Plain::Int(value);
            }
        } else if let Ok(value) = i64::try_from(magnitude) {
            return Plain::Int(value);
        } else if !plain.starts_with('+') {
            return Plain::Uint(magnitude);
        }
    }
    decimal_float(&plain).map_or(Plain::Text, Plain::Float)
}

/// An unsigned integer literal in Go's syntax: decimal, `0x`, `0o`, `0b`, or a leading zero.
pub(in crate::stack::chart) fn go_integer(digits: &str) -> Option<u64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let signed = digits.starts_with(['+', '-']);
    (!signed)
        .then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, the only floats of go-yaml.
fn decimal_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_is_fine = all_digits(whole)
        && all_digits(fraction)
        && if whole.is_empty() {
            !fraction.is_empty()
        } else {
            true
        };
    let exponent_is_fine = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['+', '-']).unwrap_or(e);
        !digits.is_empty() && all_digits(digits)
    });
    (mantissa_is_fine && exponent_is_fine)
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .filter(|value| value.is_finite())
}

/// Dates as go-yaml knows them: `2006-1-2`, with an optional time after `T`, `t` or a space.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((bytes[at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date
        .splitn(3, '-')
        .map(|p| (p.len(), p.parse::<u32>().ok()));
    let (Some(_), Some((m, Some(month))), Some((d, Some(day)))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if m > 2 || d > 2 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return false;
    }
    let Some((separator, time)) = time else {
        return true;
    };
    let clock = if separator == b' ' {
        time
    } else if let Some(zulu) = time.strip_suffix('Z') {
        zulu
    } else {
        match time.rfind(['+', '-']) {
            Some(at) if time[at + 1..].len() == 5 && time.as_bytes()[at + 3] == b':' => &time[..at],
            _ => return false,
        }
    };
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fields: Vec<&str> = hms.split(':').collect();
    let in_range = |field: &str, limit: u32| {
        field.len() <= 2 && field.parse::<u32>().is_ok_and(|value| value < limit)
    };
    matches!(fields.as_slice(), [h, m, s] if in_range(h, 24) && in_range(m, 60) && in_range(s, 60))
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
}

/// `12:30:45`-like numbers: never read as numbers, but quoted when written.
pub(super) fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let Some(first) = parts.next() else {
        return false;
    };
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let sixty = |s: &str| matches!(s.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, ""));
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && middle.iter().all(|m| sixty(m))
        && sixty(seconds)
        && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_go_yaml_says() {
        for (text, meaning) in [
            ("yes", Plain::Bool(true)),
            ("off", Plain::Bool(false)),
            ("yES", Plain::Text),
            ("~", Plain::Null),
            ("0644", Plain::Int(420)),
            ("0o17", Plain::Int(15)),
            ("0x1F", Plain::Int(31)),
            ("0b11", Plain::Int(3)),
            ("-0b11", Plain::Int(-3)),
            ("08", Plain::Float(8.0)),
            ("1_000", Plain::Int(1000)),
            ("-5", Plain::Int(-5)),
            ("18446744073709551615", Plain::Uint(u64::MAX)),
            ("1e3", Plain::Float(1000.0)),
            ("1.", Plain::Float(1.0)),
            (".5", Plain::Float(0.5)),
            ("1.2.3", Plain::Text),
            ("1e", Plain::Text),
            ("-", Plain::Text),
            ("v1.34.3", Plain::Text),
            ("2024-01-02", Plain::Timestamp),
            ("2024-01-02T03:04:05Z", Plain::Timestamp),
            ("2024-13-02", Plain::Text),
            ("12:30", Plain::Text),
            ("10m", Plain::Text),
            ("<<", Plain::Merge),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }

    #[test]
    fn base60_is_recognised() {
        for text in ["12:30", "1:2:3", "190:20:30.15", "-1:00"] {
            assert!(is_base60(text), "{text}");
        }
        for text in ["12", "12:60", "a:1", ":1", "1:", "10.0.0.1:80"] {
            assert!(!is_base60(text), "{text}");
        }
    }
}
