//! Functions on strings.

use super::{ANY, Function, Value, checked_size, count_arg, int_arg, pure, text_arg};
use crate::stack::chart::template::format;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("trim", 1, 1, |a| Ok(Value::text(text_arg(a, 0)?.trim()))),
    pure("trimAll", 2, 2, trim_all),
    pure("trimall", 2, 2, trim_all),
    pure("trimPrefix", 2, 2, |a| {
        let text = text_arg(a, 1)?;
        Ok(Value::text(
            text.strip_prefix(text_arg(a, 0)?).unwrap_or(text),
        ))
    }),
    pure("trimSuffix", 2, 2, |a| {
        let text = text_arg(a, 1)?;
        Ok(Value::text(
            text.strip_suffix(text_arg(a, 0)?).unwrap_or(text),
        ))
    }),
    pure("upper", 1, 1, |a| {
        Ok(Value::text(text_arg(a, 0)?.to_uppercase()))
    }),
    pure("lower", 1, 1, |a| {
        Ok(Value::text(text_arg(a, 0)?.to_lowercase()))
    }),
    pure("repeat", 2, 2, |a| {
        let (count, text) = (count_arg(a, 0)?, text_arg(a, 1)?);
        checked_size(count.saturating_mul(text.len()))?;
        Ok(Value::text(text.repeat(count)))
    }),
    pure("substr", 3, 3, substr),
    pure("trunc", 2, 2, trunc),
    pure("contains", 2, 2, |a| {
        Ok(Value::Bool(text_arg(a, 1)?.contains(text_arg(a, 0)?)))
    }),
    pure("hasPrefix", 2, 2, |a| {
        Ok(Value::Bool(text_arg(a, 1)?.starts_with(text_arg(a, 0)?)))
    }),
    pure("hasSuffix", 2, 2, |a| {
        Ok(Value::Bool(text_arg(a, 1)?.ends_with(text_arg(a, 0)?)))
    }),
    pure("quote", 0, ANY, |a| {
        each(a, |v| Ok(format::quote(&format::text(v)?)))
    }),
    pure("squote", 0, ANY, |a| {
        each(a, |v| Ok(format!("'{}'", format::display(v)?)))
    }),
    pure("cat", 0, ANY, |a| each(a, format::display)),
    pure("indent", 2, 2, |a| indent(a).map(Value::text)),
    pure("nindent", 2, 2, |a| {
        Ok(Value::text(format!("\n{}", indent(a)?)))
    }),
    pure("replace", 3, 3, replace),
    pure("plural", 3, 3, |a| {
        let one = int_arg(a, 2)? == 1;
        Ok(Value::text(text_arg(a, usize::from(!one))?))
    }),
    pure("toString", 1, 1, |a| format::text(&a[0]).map(Value::text)),
    pure("split", 2, 2, |a| {
        Ok(numbered(text_arg(a, 1)?.split(text_arg(a, 0)?)))
    }),
    pure("splitn", 3, 3, |a| {
        let (separator, n, text) = (text_arg(a, 0)?, int_arg(a, 1)?, text_arg(a, 2)?);
        Ok(match usize::try_from(n) {
            Ok(n) => numbered(text.splitn(n, separator)),
            Err(_) => numbered(text.split(separator)),
        })
    }),
    pure("splitList", 2, 2, |a| {
        Ok(Value::texts(split(text_arg(a, 1)?, text_arg(a, 0)?)))
    }),
];

/// Go splits by nothing into characters.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    if separator.is_empty() {
        return text.split("").filter(|part| !part.is_empty()).collect();
    }
    text.split(separator).collect()
}

fn numbered<'t>(parts: impl Iterator<Item = &'t str>) -> Value {
    Value::map(
        parts
            .enumerate()
            .map(|(i, part)| (format!("_{i}"), Value::text(part))),
    )
}

fn each(args: &[Value], show: impl Fn(&Value) -> Result<String, String>) -> Result<Value, String> {
    let shown: Result<Vec<String>, String> =
        args.iter().filter(|v| !v.is_nil()).map(show).collect();
    Ok(Value::text(shown?.join(" ")))
}

fn trim_all(args: &[Value]) -> Result<Value, String> {
    let cutset = text_arg(args, 0)?;
    Ok(Value::text(
        text_arg(args, 1)?.trim_matches(|c| cutset.contains(c)),
    ))
}

fn indent(args: &[Value]) -> Result<String, String> {
    let (spaces, text) = (count_arg(args, 0)?, text_arg(args, 1)?);
    let lines = text.matches('\n').count() + 1;
    checked_size(text.len() + lines.saturating_mul(spaces))?;
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn replace(args: &[Value]) -> Result<Value, String> {
    let (old, new, text) = (text_arg(args, 0)?, text_arg(args, 1)?, text_arg(args, 2)?);
    checked_size(text.len() + text.matches(old).count().saturating_mul(new.len()))?;
    Ok(Value::text(text.replace(old, new)))
}

/// Cuts by bytes, as Go does; an index inside a character is moved to its start.
fn part(text: &str, start: usize, end: usize) -> &str {
    let floor = |mut i: usize| {
        while !text.is_char_boundary(i) {
            i -= 1;
        }
        i
    };
    &text[floor(start)..floor(end)]
}

fn substr(args: &[Value]) -> Result<Value, String> {
    let (start, end, text) = (int_arg(args, 0)?, int_arg(args, 1)?, text_arg(args, 2)?);
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(text.len()).min(text.len());
    if start > end {
        return Err(format!("slice bounds out of range [{start}:{end}]"));
    }
    Ok(Value::text(part(text, start, end)))
}

fn trunc(args: &[Value]) -> Result<Value, String> {
    let (count, text) = (int_arg(args, 0)?, text_arg(args, 1)?);
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if length >= text.len() {
        return Ok(Value::text(text));
    }
    Ok(Value::text(if count < 0 {
        part(text, text.len() - length, text.len())
    } else {
        part(text, 0, length)
    }))
}
