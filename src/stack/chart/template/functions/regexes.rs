//! Regular expressions. Rust's dialect is Go's, up to rare escapes.

use regex::{NoExpand, Regex, RegexBuilder};

use super::{Function, Value, checked_size, int_arg, pure, text_arg};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("regexMatch", 2, 2, |a| {
        let text = text_arg(a, 1)?;
        Ok(Value::Bool(
            regex(text_arg(a, 0)?).is_ok_and(|r| r.is_match(text)),
        ))
    }),
    pure("mustRegexMatch", 2, 2, |a| {
        Ok(Value::Bool(compiled(a)?.is_match(text_arg(a, 1)?)))
    }),
    pure("regexFind", 2, 2, find),
    pure("mustRegexFind", 2, 2, find),
    pure("regexFindAll", 3, 3, find_all),
    pure("mustRegexFindAll", 3, 3, find_all),
    pure("regexReplaceAll", 3, 3, |a| replace(a, false)),
    pure("mustRegexReplaceAll", 3, 3, |a| replace(a, false)),
    pure("regexReplaceAllLiteral", 3, 3, |a| replace(a, true)),
    pure("mustRegexReplaceAllLiteral", 3, 3, |a| replace(a, true)),
    pure("regexSplit", 3, 3, split),
    pure("mustRegexSplit", 3, 3, split),
    pure("regexQuoteMeta", 1, 1, |a| {
        Ok(Value::text(quote_meta(text_arg(a, 0)?)))
    }),
];

/// Bytes a compiled expression may take.
const SIZE_LIMIT: usize = 1 << 20;

fn regex(pattern: &str) -> Result<Regex, String> {
    // Go knows `\z` and `\C` alike; only `(?P<` and Perl classes differ nowhere.
    let built = RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .build();
    built.map_err(|e| format!("error parsing regexp: {e}"))
}

fn compiled(args: &[Value]) -> Result<Regex, String> {
    regex(text_arg(args, 0)?)
}

fn find(args: &[Value]) -> Result<Value, String> {
    let found = compiled(args)?
        .find(text_arg(args, 1)?)
        .map_or("", |m| m.as_str());
    Ok(Value::text(found))
}

fn limit(args: &[Value]) -> Result<usize, String> {
    Ok(usize::try_from(int_arg(args, 2)?).unwrap_or(usize::MAX))
}

fn find_all(args: &[Value]) -> Result<Value, String> {
    let regex = compiled(args)?;
    let found = regex.find_iter(text_arg(args, 1)?).take(limit(args)?);
    Ok(Value::texts(found.map(|m| m.as_str())))
}

fn replace(args: &[Value], literal: bool) -> Result<Value, String> {
    let regex = compiled(args)?;
    let (text, with) = (text_arg(args, 1)?, text_arg(args, 2)?);
    let matches = regex.find_iter(text).count();
    checked_size(text.len() + matches.saturating_mul(with.len()))?;
    let replaced = if literal {
        regex.replace_all(text, NoExpand(with))
    } else {
        regex.replace_all(text, with)
    };
    checked_size(replaced.len())?;
    Ok(Value::text(replaced))
}

fn split(args: &[Value]) -> Result<Value, String> {
    let regex = compiled(args)?;
    let (text, n) = (text_arg(args, 1)?, int_arg(args, 2)?);
    if n == 0 {
        return Ok(Value::list([]));
    }
    if text.is_empty() {
        return Ok(Value::texts([""]));
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.find_iter(text) {
        if usize::try_from(n).is_ok_and(|n| parts.len() + 1 == n) {
            break;
        }
        // Go has no part before a match of nothing at the start.
        if found.end() == 0 {
            continue;
        }
        parts.push(&text[start..found.start()]);
        start = found.end();
    }
    parts.push(&text[start..]);
    Ok(Value::texts(parts))
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_and_splits() {
        let text = |t: &str| Value::text(t);
        let args = [text("a(x*)b"), text("-ab-axxb-"), text("${1}W")];
        assert_eq!(replace(&args, false).unwrap().to_json().unwrap(), "-W-xxW-");
        assert_eq!(
            replace(&args, true).unwrap().to_json().unwrap(),
            "-${1}W-${1}W-"
        );
        let parts = split(&[text("z+"), text("pizzza"), Value::Int(-1)]).unwrap();
        assert_eq!(parts.to_json().unwrap(), serde_json::json!(["pi", "a"]));
    }
}
