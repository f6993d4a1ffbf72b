//! Go's `fmt`: how values print.

use std::fmt::Write as _;

use super::value::{Value, Walk};

/// A float as `%v` prints it: the shortest digits, with an exponent from `1e+06` on. Helm reads
/// every number of the values as a float, so charts see this.
pub(in crate::stack::chart) fn float(value: f64) -> String {
    general(value, None, 'e')
}

/// `%g`: `precision` significant digits, or as many as needed.
pub(super) fn general(value: f64, precision: Option<usize>, e: char) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    let (sign, digits, exponent) = decimal(value, precision.map(|p| p.max(1) - 1));
    let threshold = match precision {
        // Go decides on the shortest form as if the precision were 6.
        None => 6,
        Some(p) => i32::try_from(p.max(1)).unwrap_or(i32::MAX),
    };
    let digits = match precision {
        Some(_) => digits.trim_end_matches('0').to_owned(),
        None => digits,
    };
    let digits = if digits.is_empty() {
        "0".to_owned()
    } else {
        digits
    };
    if exponent < -4 || exponent >= threshold {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}{}", exponent_text(exponent, e));
    }
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return small(sign, &digits, exponent);
    };
    match (whole, digits.len()) {
        (0, _) => small(sign, &digits, exponent),
        (whole, len) if len <= whole => format!("{sign}{digits}{}", "0".repeat(whole - len)),
        (whole, _) => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
    }
}

fn small(sign: &str, digits: &str, exponent: i32) -> String {
    let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
    if digits == "0" {
        return format!("{sign}0");
    }
    format!("{sign}0.{}{digits}", "0".repeat(zeros))
}

pub(super) fn exponent_text(exponent: i32, e: char) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{e}{sign}{:02}", exponent.abs())
}

/// Sign, significant digits and decimal exponent.
pub(super) fn decimal(
    value: f64,
    digits_after_first: Option<usize>,
) -> (&'static str, String, i32) {
    let text = match digits_after_first {
        None => format!("{:e}", value.abs()),
        Some(n) => format!("{:.*e}", n, value.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let sign = if value.is_sign_negative() { "-" } else { "" };
    (
        sign,
        mantissa.replace('.', ""),
        exponent.parse().unwrap_or(0),
    )
}

/// `%v` of any value.
pub(in crate::stack::chart) fn display(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value, &mut Walk::default())?;
    Ok(out)
}

fn write(out: &mut String, value: &Value, walk: &mut Walk) -> Result<(), String> {
    walk.node(value, |walk| {
        match value {
            Value::Absent | Value::Nil => out.push_str("<nil>"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Value::Float(value) => out.push_str(&float(*value)),
            Value::Text(text) => out.push_str(text),
            Value::Bytes(bytes) => {
                let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
                let _ = write!(out, "[{}]", numbers.join(" "));
            }
            Value::List(list) => {
                out.push('[');
                for (i, item) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    write(out, item, walk)?;
                }
                out.push(']');
            }
            Value::Map(map) => {
                out.push_str("map[");
                for (i, (key, item)) in map.entries().iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    let _ = write!(out, "{key}:");
                    write(out, item, walk)?;
                }
                out.push(']');
            }
            Value::Object(object) => match object.display() {
                Some(text) => out.push_str(&text),
                None => write(out, &object.data(), walk)?,
            },
        }
        Ok(())
    })
}

/// Sprig's `toString`: like `%v`, but bytes are text.
pub(in crate::stack::chart) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => display(other),
    }
}

/// `%q`: a Go string literal.
pub(in crate::stack::chart) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() || is_unprintable_space(c) => {
                let width = if (c as u32) > 0xffff { 8 } else { 4 };
                let letter = if width == 8 { 'U' } else { 'u' };
                let _ = write!(out, "\\{letter}{:0width$x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go prints no space but U+0020 raw, nor the marks that carry no glyph.
fn is_unprintable_space(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}')
}

/// `print`: a space between two operands when neither is a string.
pub(in crate::stack::chart) fn print(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut walk = Walk::default();
    let mut after_text = true;
    for arg in args {
        let is_text = matches!(arg, Value::Text(_));
        if !is_text && !after_text {
            out.push(' ');
        }
        write(&mut out, arg, &mut walk)?;
        after_text = is_text;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (value, expected) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (100_000.0, "100000"),
            (123_456.5, "123456.5"),
            (1e20, "1e+20"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5, "-2.5"),
            (0.0, "0"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn print_puts_spaces_between_non_strings() {
        let args = [
            Value::Int(1),
            Value::Int(2),
            Value::text("a"),
            Value::Int(3),
        ];
        assert_eq!(print(&args).unwrap(), "1 2a3");
    }
}
