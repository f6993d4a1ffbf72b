//! Functions on lists; none of them changes the list it is given.

use super::defaults::empty;
use super::numbers::to_int;
use super::{ANY, Function, Value, checked_size, int_arg, items_arg, pure, text_arg};
use crate::stack::chart::template::format;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("list", 0, ANY, |a| Ok(Value::list(a.to_vec()))),
    pure("tuple", 0, ANY, |a| Ok(Value::list(a.to_vec()))),
    pure("append", 2, 2, append),
    pure("mustAppend", 2, 2, append),
    pure("push", 2, 2, append),
    pure("mustPush", 2, 2, append),
    pure("prepend", 2, 2, prepend),
    pure("mustPrepend", 2, 2, prepend),
    pure("first", 1, 1, first),
    pure("mustFirst", 1, 1, first),
    pure("last", 1, 1, last),
    pure("mustLast", 1, 1, last),
    pure("rest", 1, 1, rest),
    pure("mustRest", 1, 1, rest),
    pure("initial", 1, 1, initial),
    pure("mustInitial", 1, 1, initial),
    pure("reverse", 1, 1, reverse),
    pure("mustReverse", 1, 1, reverse),
    pure("compact", 1, 1, compact),
    pure("mustCompact", 1, 1, compact),
    pure("uniq", 1, 1, uniq),
    pure("mustUniq", 1, 1, uniq),
    pure("without", 1, ANY, without),
    pure("mustWithout", 1, ANY, without),
    pure("has", 2, 2, has),
    pure("mustHas", 2, 2, has),
    pure("slice", 1, ANY, slice),
    pure("mustSlice", 1, ANY, slice),
    pure("concat", 0, ANY, concat),
    pure("chunk", 2, 2, chunk),
    pure("mustChunk", 2, 2, chunk),
    pure("until", 1, 1, |a| {
        until_step(0, int_arg(a, 0)?, int_arg(a, 0)?.signum())
    }),
    pure("untilStep", 3, 3, |a| {
        until_step(int_arg(a, 0)?, int_arg(a, 1)?, int_arg(a, 2)?)
    }),
    pure("seq", 0, ANY, seq),
    pure("join", 2, 2, join),
    pure("sortAlpha", 1, 1, sort_alpha),
    pure("toStrings", 1, 1, |a| Ok(Value::texts(strings(&a[0])?))),
];

/// The items as strings; nulls are left out, anything but a list is one item.
pub(super) fn strings(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(list) => list
            .iter()
            .filter(|v| !v.is_nil())
            .map(format::text)
            .collect(),
        Value::Object(object) => match object.data() {
            list @ Value::List(_) => strings(&list),
            other => Ok(vec![format::text(&other)?]),
        },
        value if value.is_nil() => Ok(Vec::new()),
        value => Ok(vec![format::text(value)?]),
    }
}

fn append(args: &[Value]) -> Result<Value, String> {
    let mut items = items_arg(args, 0, "push")?;
    items.push(args[1].clone());
    Ok(Value::list(items))
}

fn prepend(args: &[Value]) -> Result<Value, String> {
    let items = items_arg(args, 0, "prepend")?;
    Ok(Value::list(std::iter::once(args[1].clone()).chain(items)))
}

fn first(args: &[Value]) -> Result<Value, String> {
    Ok(items_arg(args, 0, "find first")?
        .first()
        .cloned()
        .unwrap_or(Value::Nil))
}

fn last(args: &[Value]) -> Result<Value, String> {
    Ok(items_arg(args, 0, "find last")?
        .last()
        .cloned()
        .unwrap_or(Value::Nil))
}

fn rest(args: &[Value]) -> Result<Value, String> {
    Ok(Value::list(
        items_arg(args, 0, "find rest")?.into_iter().skip(1),
    ))
}

fn initial(args: &[Value]) -> Result<Value, String> {
    let mut items = items_arg(args, 0, "find initial")?;
    items.pop();
    Ok(Value::list(items))
}

fn reverse(args: &[Value]) -> Result<Value, String> {
    Ok(Value::list(
        items_arg(args, 0, "find reverse")?.into_iter().rev(),
    ))
}

fn compact(args: &[Value]) -> Result<Value, String> {
    Ok(Value::list(
        items_arg(args, 0, "compact")?
            .into_iter()
            .filter(|v| !empty(v)),
    ))
}

fn contains(items: &[Value], wanted: &Value) -> Result<bool, String> {
    for item in items {
        if item.deep_equal(wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(args: &[Value]) -> Result<Value, String> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items_arg(args, 0, "find uniq")? {
        if !contains(&kept, &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn without(args: &[Value]) -> Result<Value, String> {
    let mut kept = Vec::new();
    for item in items_arg(args, 0, "find without")? {
        if !contains(&args[1..], &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn has(args: &[Value]) -> Result<Value, String> {
    if args[1].is_nil() {
        return Ok(Value::Bool(false));
    }
    contains(&items_arg(args, 1, "find has")?, &args[0]).map(Value::Bool)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let items = items_arg(args, 0, "slice")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |i: usize, otherwise: usize| match args.get(i) {
        None => Ok(otherwise),
        Some(value) => {
            usize::try_from(to_int(value)).map_err(|_| "negative slice index".to_owned())
        }
    };
    let (start, end) = (bound(1, 0)?, bound(2, items.len())?);
    match items.get(start..end) {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => Err(format!(
            "slice bounds out of range [{start}:{end}] with length {}",
            items.len()
        )),
    }
}

fn concat(args: &[Value]) -> Result<Value, String> {
    let mut all = Vec::new();
    for i in 0..args.len() {
        all.extend(items_arg(args, i, "concat")?);
        checked_size(all.len() * size_of::<Value>())?;
    }
    Ok(Value::list(all))
}

fn chunk(args: &[Value]) -> Result<Value, String> {
    let size = usize::try_from(int_arg(args, 0)?)
        .ok()
        .filter(|size| *size > 0);
    let size = size.ok_or("chunk size must be positive")?;
    let items = items_arg(args, 1, "chunk")?;
    Ok(Value::list(
        items.chunks(size).map(|chunk| Value::list(chunk.to_vec())),
    ))
}

fn until_step(start: i64, stop: i64, step: i64) -> Result<Value, String> {
    let towards_stop = (stop < start && step < 0) || (stop >= start && step > 0);
    if !towards_stop {
        return Ok(Value::list([]));
    }
    let count = stop.abs_diff(start).div_ceil(step.unsigned_abs());
    checked_size(
        usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(size_of::<Value>()),
    )?;
    let mut items = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        items.push(Value::Int(at));
        let Some(next) = at.checked_add(step) else {
            break;
        };
        at = next;
    }
    Ok(Value::list(items))
}

fn seq(args: &[Value]) -> Result<Value, String> {
    let bounds: Result<Vec<i64>, String> = (0..args.len()).map(|i| int_arg(args, i)).collect();
    let (start, step, end) = match *bounds?.as_slice() {
        [end] => (1, if end < 1 { -1 } else { 1 }, end),
        [start, end] => (start, if end < start { -1 } else { 1 }, end),
        [start, step, end] if end < start && step > 0 => (start, step, start.min(end)),
        [start, step, end] => (start, step, end),
        _ => return Ok(Value::text("")),
    };
    if args.len() == 3 && end < start && step > 0 {
        return Ok(Value::text(""));
    }
    let past = end.saturating_add(if end < start { -1 } else { 1 });
    Ok(Value::text(
        strings(&until_step(start, past, step)?)?.join(" "),
    ))
}

fn join(args: &[Value]) -> Result<Value, String> {
    let separator = text_arg(args, 0)?;
    if let Value::List(list) = &args[1] {
        let texts = list
            .iter()
            .map(|v| if let Value::Text(t) = v { t.len() } else { 0 });
        checked_size(texts.sum::<usize>() + separator.len() * list.len())?;
    }
    Ok(Value::text(strings(&args[1])?.join(separator)))
}

fn sort_alpha(args: &[Value]) -> Result<Value, String> {
    let mut texts = strings(&args[0])?;
    texts.sort();
    Ok(Value::texts(texts))
}
