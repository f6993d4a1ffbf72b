//! Arithmetic. Integers wrap around as Go's do; whatever is no number counts as zero.

use super::{ANY, Function, Value, drawn, int_arg, pure, wrong_type};
use crate::stack::chart::template::format;
use crate::stack::chart::yaml::go_integer;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("int", 1, 1, |a| Ok(Value::Int(to_int(&a[0])))),
    pure("int64", 1, 1, |a| Ok(Value::Int(to_int(&a[0])))),
    pure("float64", 1, 1, |a| Ok(Value::Float(to_float(&a[0])))),
    pure("atoi", 1, 1, |a| match &a[0] {
        Value::Text(text) => Ok(Value::Int(text.parse().unwrap_or(0))),
        other => Err(wrong_type(other, "string")),
    }),
    pure("toDecimal", 1, 1, |a| {
        Ok(Value::Int(
            i64::from_str_radix(&format::display(&a[0])?, 8).unwrap_or(0),
        ))
    }),
    pure("add", 0, ANY, |a| Ok(fold(0, a, i64::wrapping_add))),
    pure("add1", 1, 1, |a| {
        Ok(Value::Int(to_int(&a[0]).wrapping_add(1)))
    }),
    pure("sub", 2, 2, |a| {
        Ok(Value::Int(to_int(&a[0]).wrapping_sub(to_int(&a[1]))))
    }),
    pure("mul", 1, ANY, |a| Ok(fold(1, a, i64::wrapping_mul))),
    pure("div", 2, 2, |a| match to_int(&a[1]) {
        0 => Err("division by zero".into()),
        by => Ok(Value::Int(to_int(&a[0]).wrapping_div(by))),
    }),
    pure("mod", 2, 2, |a| match to_int(&a[1]) {
        0 => Err("division by zero".into()),
        by => Ok(Value::Int(to_int(&a[0]).wrapping_rem(by))),
    }),
    pure("max", 1, ANY, |a| Ok(fold(to_int(&a[0]), a, i64::max))),
    pure("biggest", 1, ANY, |a| Ok(fold(to_int(&a[0]), a, i64::max))),
    pure("min", 1, ANY, |a| Ok(fold(to_int(&a[0]), a, i64::min))),
    pure("addf", 0, ANY, |a| {
        Ok(Value::Float(decimal(a.iter().map(to_float).sum())))
    }),
    pure("add1f", 1, 1, |a| {
        Ok(Value::Float(decimal(to_float(&a[0]) + 1.0)))
    }),
    pure("subf", 1, ANY, |a| Ok(fold_float(a, |x, y| x - y))),
    pure("mulf", 1, ANY, |a| Ok(fold_float(a, |x, y| x * y))),
    pure("divf", 1, ANY, |a| {
        match a[1..].iter().any(|v| to_float(v) == 0.0) {
            true => Err("decimal division by 0".into()),
            false => Ok(fold_float(a, |x, y| x / y)),
        }
    }),
    pure("maxf", 1, ANY, |a| Ok(fold_float(a, f64::max))),
    pure("minf", 1, ANY, |a| Ok(fold_float(a, f64::min))),
    pure("floor", 1, 1, |a| Ok(Value::Float(to_float(&a[0]).floor()))),
    pure("ceil", 1, 1, |a| Ok(Value::Float(to_float(&a[0]).ceil()))),
    pure("round", 2, 3, round),
    drawn("randInt", 2, 2, |a| {
        let (low, high) = (int_arg(a, 0)?, int_arg(a, 1)?);
        let span = u64::try_from(high.saturating_sub(low))
            .ok()
            .filter(|span| *span > 0);
        let span = span.ok_or("randInt needs a minimum below its maximum")?;
        Ok(Value::Int(low.saturating_add_unsigned(
            super::crypto::random_u64() % span,
        )))
    }),
];

fn fold(start: i64, args: &[Value], step: fn(i64, i64) -> i64) -> Value {
    Value::Int(args.iter().map(to_int).fold(start, step))
}

fn fold_float(args: &[Value], step: fn(f64, f64) -> f64) -> Value {
    let first = to_float(&args[0]);
    Value::Float(
        args[1..]
            .iter()
            .map(to_float)
            .fold(first, |x, y| decimal(step(x, y))),
    )
}

/// Sprig computes in decimals: what binary fractions add to the sixteenth digit is not there.
fn decimal(value: f64) -> f64 {
    format!("{value:.15e}").parse().unwrap_or(value)
}

fn round(args: &[Value]) -> Result<Value, String> {
    let places = int_arg(args, 1)?;
    let threshold = args.get(2).map_or(0.5, to_float);
    let power = 10f64.powf(places as f64);
    let digit = power * to_float(&args[0]);
    let rounded = if digit.fract() >= threshold {
        digit.ceil()
    } else {
        digit.floor()
    };
    Ok(Value::Float(rounded / power))
}

/// As Sprig casts to an integer.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        Value::Float(value) => *value as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => text_to_int(text).unwrap_or(0),
        _ => 0,
    }
}

fn text_to_int(text: &str) -> Option<i64> {
    let text = match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    let clean = text.replace('_', "");
    match clean.strip_prefix('-') {
        Some(digits) => 0i64.checked_sub_unsigned(go_integer(digits)?),
        None => i64::try_from(go_integer(clean.strip_prefix('+').unwrap_or(&clean))?).ok(),
    }
}

pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}
