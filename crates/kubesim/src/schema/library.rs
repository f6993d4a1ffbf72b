//! What rules may use beside the language itself: Kubernetes' functions for lists, texts, quantities,
//! addresses and times.
//!
//! A time is the nanoseconds since 1970, a duration its nanoseconds, a quantity its number: they compare
//! and add up as in Kubernetes, but are not told apart from other numbers.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use cel::common::types::{DOUBLE_TYPE, DYN_TYPE, INT_TYPE, LIST_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, Value, extensions};
use jiff::Timestamp;
use regex::Regex;

use super::formats;

type Made = Result<Value, ExecutionError>;

/// The environment of all rules.
pub(super) fn environment() -> Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    let made = ENVIRONMENT.get_or_init(|| {
        let mut env = Env::stdlib();
        // A function that is there already stays as it is.
        drop(env.add_extension(extensions::strings));
        drop(env.add_extension(extensions::lists));
        drop(env.add_extension(extensions::math));
        drop(add(&mut env));
        Arc::new(env)
    });
    made.clone()
}

/// Declares functions over values: name, what is known of them, and what they make of their arguments.
macro_rules! functions {
    ($($name:ident($($arg:ident),*) $body:block)*) => {
        $(fn $name<'b, 'v>(cows: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
            let mut arguments = cows.iter().map(|cow| Value::try_from(cow.as_ref()));
            $(let $arg = arguments.next().unwrap_or(Ok(Value::Null))?;)*
            let made: Made = $body;
            let owned: Box<dyn Val> = made?.try_into()?;
            Ok(CowVal::Owned(owned))
        })*
    };
}

fn add(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload("isSorted", "list.isSorted()", LIST_TYPE, vec![], is_sorted)?;
    env.add_member_overload("sum", "list.sum()", LIST_TYPE, vec![], sum)?;
    env.add_member_overload("min", "list.min()", LIST_TYPE, vec![], least)?;
    env.add_member_overload("max", "list.max()", LIST_TYPE, vec![], most)?;
    env.add_member_overload(
        "indexOf",
        "list.indexOf(dyn)",
        LIST_TYPE,
        vec![DYN_TYPE],
        first,
    )?;
    env.add_member_overload(
        "lastIndexOf",
        "list.lastIndexOf(dyn)",
        LIST_TYPE,
        vec![DYN_TYPE],
        last,
    )?;
    env.add_member_overload(
        "find",
        "string.find(string)",
        STRING_TYPE,
        vec![STRING_TYPE],
        find,
    )?;
    env.add_member_overload(
        "findAll",
        "string.findAll(string)",
        STRING_TYPE,
        vec![STRING_TYPE],
        find_all,
    )?;
    env.add_overload("quantity", "quantity(string)", vec![STRING_TYPE], quantity)?;
    env.add_overload(
        "isQuantity",
        "isQuantity(string)",
        vec![STRING_TYPE],
        is_quantity,
    )?;
    let number = [
        ("isGreaterThan", greater as cel::common::functions::Function),
        ("isLessThan", less),
        ("compareTo", compare),
        ("add", plus),
        ("sub", minus),
    ];
    for (name, function) in number {
        let id = format!("quantity.{name}(quantity)");
        env.add_member_overload(name, &id, DOUBLE_TYPE, vec![DOUBLE_TYPE], function)?;
    }
    env.add_member_overload("sign", "quantity.sign()", DOUBLE_TYPE, vec![], sign)?;
    env.add_member_overload(
        "asInteger",
        "quantity.asInteger()",
        DOUBLE_TYPE,
        vec![],
        whole,
    )?;
    env.add_overload("isIP", "isIP(string)", vec![STRING_TYPE], is_ip)?;
    env.add_overload("isCIDR", "isCIDR(string)", vec![STRING_TYPE], is_cidr)?;
    env.add_overload("isURL", "isURL(string)", vec![STRING_TYPE], is_url)?;
    env.add_overload("duration", "duration(string)", vec![STRING_TYPE], duration)?;
    env.add_overload(
        "timestamp",
        "timestamp(string)",
        vec![STRING_TYPE],
        timestamp,
    )?;
    env.add_overload("duration", "duration(duration)", vec![INT_TYPE], same)?;
    env.add_overload("timestamp", "timestamp(timestamp)", vec![INT_TYPE], same)
}

functions! {
    is_sorted(list) {
        let items = items(&list);
        let sorted = items.windows(2).all(|pair| pair[0].partial_cmp(&pair[1]) != Some(std::cmp::Ordering::Greater));
        Ok(Value::Bool(sorted))
    }
    sum(list) {
        let items = items(&list);
        if items.iter().any(|item| matches!(item, Value::Float(_))) {
            return owned(Value::Float(items.iter().filter_map(float).sum()));
        }
        let numbers = items.iter().map(|item| match item { Value::Int(number) => *number, _ => 0 });
        Ok(Value::Int(numbers.fold(0, i64::saturating_add)))
    }
    least(list) { extreme(&list, std::cmp::Ordering::Less) }
    most(list) { extreme(&list, std::cmp::Ordering::Greater) }
    first(list, wanted) {
        Ok(place(items(&list).iter().position(|item| *item == wanted)))
    }
    last(list, wanted) {
        Ok(place(items(&list).iter().rposition(|item| *item == wanted)))
    }
    find(text, pattern) {
        let found = expression(&pattern)?.find(words(&text)).map_or("", |found| found.as_str());
        Ok(Value::from(found))
    }
    find_all(text, pattern) {
        let pattern = expression(&pattern)?;
        let found: Vec<Value> = pattern.find_iter(words(&text)).map(|found| Value::from(found.as_str())).collect();
        Ok(Value::from(found))
    }
    quantity(text) {
        let number = amount(words(&text));
        number.map(Value::Float).ok_or_else(|| ExecutionError::function_error("quantity", "it is no quantity"))
    }
    is_quantity(text) { Ok(Value::Bool(amount(words(&text)).is_some())) }
    greater(one, other) { Ok(Value::Bool(float(&one) > float(&other))) }
    less(one, other) { Ok(Value::Bool(float(&one) < float(&other))) }
    compare(one, other) {
        let order = float(&one).partial_cmp(&float(&other));
        Ok(Value::Int(order.map_or(0, |order| order as i64)))
    }
    plus(one, other) { Ok(Value::Float(float(&one).unwrap_or(0.0) + float(&other).unwrap_or(0.0))) }
    minus(one, other) { Ok(Value::Float(float(&one).unwrap_or(0.0) - float(&other).unwrap_or(0.0))) }
    sign(one) {
        let order = float(&one).and_then(|number| number.partial_cmp(&0.0));
        Ok(Value::Int(order.map_or(0, |order| order as i64)))
    }
    whole(one) {
        // Beyond what fits it is the greatest that does.
        #[expect(clippy::cast_possible_truncation, reason = "saturates, as said")]
        let number = float(&one).unwrap_or(0.0) as i64;
        Ok(Value::Int(number))
    }
    is_ip(text) { Ok(Value::Bool(words(&text).parse::<IpAddr>().is_ok())) }
    is_cidr(text) { Ok(Value::Bool(formats::fits("cidr", words(&text)))) }
    is_url(text) { Ok(Value::Bool(formats::fits("uri", words(&text)))) }
    duration(text) {
        let nanoseconds = nanoseconds(words(&text));
        nanoseconds.map(Value::Int).ok_or_else(|| ExecutionError::function_error("duration", "it is no duration"))
    }
    timestamp(text) {
        let moment = moment(words(&text));
        moment.map(Value::Int).ok_or_else(|| ExecutionError::function_error("timestamp", "it is no timestamp"))
    }
    same(value) { Ok(value) }
}

fn owned<'b, 'v>(value: Value) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let owned: Box<dyn Val> = value.try_into()?;
    Ok(CowVal::Owned(owned))
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn words(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        _ => "",
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "quantities this large are compared roughly"
)]
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

fn place(index: Option<usize>) -> Value {
    let index = index.and_then(|index| i64::try_from(index).ok());
    Value::Int(index.unwrap_or(-1))
}

fn extreme(list: &Value, wanted: std::cmp::Ordering) -> Made {
    let items = items(list).iter();
    let best = items.reduce(|best, item| match item.partial_cmp(best) {
        Some(order) if order == wanted => item,
        _ => best,
    });
    let best = best.cloned();
    best.ok_or_else(|| ExecutionError::function_error("min", "min called on empty list"))
}

fn expression(pattern: &Value) -> Result<Regex, ExecutionError> {
    let compiled = Regex::new(words(pattern));
    compiled.map_err(|error| ExecutionError::function_error("find", error))
}

/// A quantity's number.
fn amount(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let exponent = |suffix: &str| suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok();
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        other => 10_f64.powi(exponent(other)?),
    };
    Some(number * factor)
}

/// A time's nanoseconds since 1970.
pub(super) fn moment(text: &str) -> Option<i64> {
    let moment: Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

/// A duration's nanoseconds.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    if !formats::is_duration(text) {
        return None;
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut sum = 0.0;
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(unit.unwrap_or(after.len()));
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "nanoseconds have no fractions"
    )]
    Some((sign * sum) as i64)
}

#[cfg(test)]
mod tests {
    use cel::Context;

    use super::*;

    fn holds(expression: &str) -> bool {
        let env = environment();
        let program = env.compile(expression).unwrap();
        let context = Context::with_env(env);
        program.execute(&context).unwrap() == Value::Bool(true)
    }

    #[test]
    fn kubernetes_functions_are_there() {
        for expression in [
            "[1, 2, 3].isSorted() && ![2, 1].isSorted()",
            "[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [3, 1].max() == 3",
            "['a', 'b', 'a'].indexOf('a') == 0 && ['a', 'b', 'a'].lastIndexOf('a') == 2",
            "'abc123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
            "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('500m').isLessThan(quantity('1'))",
            "isQuantity('10Ki') && !isQuantity('ten')",
            "duration('1h30m') > duration('89m') && timestamp('2026-01-02T00:00:00Z') > timestamp('2026-01-01T00:00:00Z')",
            "isIP('10.0.0.1') && !isIP('x') && isCIDR('10.0.0.0/8') && isURL('https://example.org')",
            "'a,b'.split(',') == ['a', 'b'] && 'AB'.lowerAscii() == 'ab'",
        ] {
            assert!(holds(expression), "{expression}");
        }
    }
}
