//! Go's `printf`.

use std::fmt::Write as _;

use super::format::{decimal, display, exponent_text, general, quote};
use super::value::Value;

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Widths and precisions beyond this are refused, as in Go.
const MAX_WIDTH: usize = 1_000_000;

/// `printf`.
pub(in crate::stack::chart) fn sprintf(format: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut args_left = args.iter();
    let mut any_missing = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            chars.next();
        }
        spec.width = count(&mut chars, &mut args_left, &mut spec.minus)?;
        if chars.peek() == Some(&'.') {
            chars.next();
            spec.precision = Some(count(&mut chars, &mut args_left, &mut false)?.unwrap_or(0));
        }
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args_left.next() else {
            let _ = write!(out, "%!{verb}(MISSING)");
            any_missing = true;
            continue;
        };
        let formatted = format_one(verb, &spec, arg)?;
        pad(&mut out, &spec, &formatted);
    }
    let extra: Vec<&Value> = args_left.collect();
    if !extra.is_empty() && !any_missing {
        let shown: Result<Vec<String>, String> = extra
            .iter()
            .map(|v| {
                if v.is_nil() {
                    Ok("<nil>".into())
                } else {
                    Ok(format!("{}={}", v.type_name(), display(v)?))
                }
            })
            .collect();
        let _ = write!(out, "%!(EXTRA {})", shown?.join(", "));
    }
    Ok(out)
}

fn count<'v>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'v Value>,
    minus: &mut bool,
) -> Result<Option<usize>, String> {
    let too_wide = || format!("printf: a width beyond {MAX_WIDTH} is not allowed");
    if chars.peek() == Some(&'*') {
        chars.next();
        return match args.next() {
            Some(Value::Int(n)) => {
                *minus |= *n < 0;
                let n = usize::try_from(n.unsigned_abs()).map_err(|_| too_wide())?;
                if n > MAX_WIDTH {
                    Err(too_wide())
                } else {
                    Ok(Some(n))
                }
            }
            _ => Err("printf: `*` needs an int".into()),
        };
    }
    let mut n: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let value = n.unwrap_or(0) * 10 + digit as usize;
        if value > MAX_WIDTH {
            return Err(too_wide());
        }
        n = Some(value);
    }
    Ok(n)
}

fn pad(out: &mut String, spec: &Spec, text: &str) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zero {
        let signed = text.starts_with(['-', '+']);
        let (sign, rest) = text.split_at(usize::from(signed));
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(rest);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn format_one(verb: char, spec: &Spec, arg: &Value) -> Result<String, String> {
    let plus = |text: String| match text.starts_with('-') {
        false if spec.plus => format!("+{text}"),
        false if spec.space => format!(" {text}"),
        _ => text,
    };
    Ok(match (verb, arg) {
        ('T', arg) => arg.type_name().to_owned(),
        ('v' | 's', arg @ Value::Object(_)) => display(arg)?,
        ('v', arg) if arg.is_nil() => "<nil>".into(),
        ('v', Value::Text(text)) if spec.sharp => quote(text),
        ('v' | 'd', Value::Int(n)) => plus(n.to_string()),
        ('v', arg) => display(arg)?,
        ('t', Value::Bool(value)) => value.to_string(),
        ('s', Value::Text(text)) => truncate(text, spec.precision),
        ('s', Value::Bytes(bytes)) => truncate(&String::from_utf8_lossy(bytes), spec.precision),
        ('q', Value::Text(text)) if spec.sharp && !text.contains('`') => format!("`{text}`"),
        ('q', Value::Text(text)) => quote(&truncate(text, spec.precision)),
        ('x', Value::Text(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|b| format!("{b:02X}")).collect(),
        ('x', Value::Int(n)) => {
            signed_radix(*n, |n| format!("{n:x}"), if spec.sharp { "0x" } else { "" })
        }
        ('X', Value::Int(n)) => {
            signed_radix(*n, |n| format!("{n:X}"), if spec.sharp { "0X" } else { "" })
        }
        ('o', Value::Int(n)) => {
            signed_radix(*n, |n| format!("{n:o}"), if spec.sharp { "0" } else { "" })
        }
        ('b', Value::Int(n)) => signed_radix(*n, |n| format!("{n:b}"), ""),
        ('c', Value::Int(n)) => u32::try_from(*n)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
            .to_string(),
        ('U', Value::Int(n)) => format!("U+{n:04X}"),
        ('f' | 'F', Value::Float(x)) if x.is_finite() => {
            plus(format!("{:.*}", spec.precision.unwrap_or(6), x))
        }
        ('e' | 'E', Value::Float(x)) if x.is_finite() => {
            let (sign, digits, exponent) = decimal(*x, Some(spec.precision.unwrap_or(6)));
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            plus(format!(
                "{sign}{first}{point}{rest}{}",
                exponent_text(exponent, verb)
            ))
        }
        ('g' | 'G', Value::Float(x)) => {
            let e = if verb == 'g' { 'e' } else { 'E' };
            plus(general(*x, spec.precision, e))
        }
        ('f' | 'F' | 'e' | 'E', Value::Float(x)) => plus(general(*x, None, 'e')),
        ('s' | 'd' | 'q' | 'x', Value::List(list)) => {
            let items: Result<Vec<String>, String> = list
                .iter()
                .map(|item| format_one(verb, spec, item))
                .collect();
            format!("[{}]", items?.join(" "))
        }
        ('s' | 'd' | 'q', Value::Map(map)) => {
            let items: Result<Vec<String>, String> = map
                .entries()
                .iter()
                .map(|(k, v)| Ok(format!("{k}:{}", format_one(verb, spec, v)?)))
                .collect();
            format!("map[{}]", items?.join(" "))
        }
        (verb, arg) if arg.is_nil() => format!("%!{verb}(<nil>)"),
        (verb, arg) => format!("%!{verb}({}={})", arg.type_name(), display(arg)?),
    })
}

fn truncate(text: &str, precision: Option<usize>) -> String {
    precision.map_or_else(|| text.to_owned(), |n| text.chars().take(n).collect())
}

fn signed_radix(value: i64, digits: impl Fn(u64) -> String, prefix: &str) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{prefix}{}", digits(value.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printf_follows_go() {
        let text = Value::text("ab");
        for (format, args, expected) in [
            ("%s-%d", vec![text.clone(), Value::Int(3)], "ab-3"),
            ("%d", vec![Value::Float(3.0)], "%!d(float64=3)"),
            ("%s", vec![Value::Int(3)], "%!s(int=3)"),
            ("%s", vec![], "%!s(MISSING)"),
            ("x", vec![text.clone()], "x%!(EXTRA string=ab)"),
            ("%q %v", vec![text.clone(), Value::Nil], "\"ab\" <nil>"),
            (
                "%5s|%-5s|",
                vec![text.clone(), text.clone()],
                "   ab|ab   |",
            ),
            ("%05d %+d", vec![Value::Int(-42), Value::Int(7)], "-0042 +7"),
            (
                "%.2f %e",
                vec![Value::Float(1.005), Value::Float(1500.0)],
                "1.00 1.500000e+03",
            ),
            (
                "%g %.3g",
                vec![Value::Float(1e6), Value::Float(1234.5)],
                "1e+06 1.23e+03",
            ),
            (
                "%x %X %o %b",
                vec![
                    Value::Int(255),
                    Value::Int(255),
                    Value::Int(8),
                    Value::Int(5),
                ],
                "ff FF 10 101",
            ),
            ("%t%%", vec![Value::Bool(true)], "true%"),
            (
                "%v",
                vec![Value::map([("k", Value::list([Value::Int(1)]))])],
                "map[k:[1]]",
            ),
            ("%T", vec![Value::Float(1.0)], "float64"),
        ] {
            assert_eq!(sprintf(format, &args).unwrap(), expected, "{format}");
        }
        assert!(sprintf("%9999999d", &[Value::Int(1)]).is_err());
    }
}
