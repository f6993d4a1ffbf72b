//! Functions on maps. `set`, `unset` and `merge` change their first argument, as in Sprig.

use super::defaults::empty;
use super::{ANY, Function, Map, Value, map_arg, pure, text_arg, wrong_type};
use crate::stack::chart::template::{format, value::Walk};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("dict", 0, ANY, dict),
    pure("get", 2, 2, |a| {
        Ok(map_arg(a, 0)?
            .get(text_arg(a, 1)?)
            .unwrap_or_else(|| Value::text("")))
    }),
    pure("set", 3, 3, |a| {
        map_arg(a, 0)?.set(text_arg(a, 1)?, a[2].clone());
        Ok(a[0].clone())
    }),
    pure("unset", 2, 2, |a| {
        map_arg(a, 0)?.remove(text_arg(a, 1)?);
        Ok(a[0].clone())
    }),
    pure("hasKey", 2, 2, |a| {
        Ok(Value::Bool(map_arg(a, 0)?.contains(text_arg(a, 1)?)))
    }),
    pure("keys", 0, ANY, |a| {
        let maps: Result<Vec<&Map>, String> = (0..a.len()).map(|i| map_arg(a, i)).collect();
        Ok(Value::list(
            maps?
                .iter()
                .flat_map(|m| m.entries())
                .map(|(k, _)| Value::Text(k)),
        ))
    }),
    pure("values", 1, 1, |a| {
        Ok(Value::list(
            map_arg(a, 0)?.entries().into_iter().map(|(_, v)| v),
        ))
    }),
    pure("pluck", 1, ANY, pluck),
    pure("pick", 1, ANY, |a| chosen(a, true)),
    pure("omit", 1, ANY, |a| chosen(a, false)),
    pure("merge", 1, ANY, |a| merge_all(a, false)),
    pure("mustMerge", 1, ANY, |a| merge_all(a, false)),
    pure("mergeOverwrite", 1, ANY, |a| merge_all(a, true)),
    pure("mustMergeOverwrite", 1, ANY, |a| merge_all(a, true)),
    pure("deepCopy", 1, 1, |a| a[0].deep_copy()),
    pure("mustDeepCopy", 1, 1, |a| a[0].deep_copy()),
    pure("dig", 3, ANY, dig),
];

fn dict(args: &[Value]) -> Result<Value, String> {
    let map = Map::from_iter::<[(&str, Value); 0]>([]);
    for pair in args.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
        map.set(format::text(&pair[0])?, value);
    }
    Ok(Value::Map(map))
}

fn pluck(args: &[Value]) -> Result<Value, String> {
    let key = text_arg(args, 0)?;
    let mut found = Vec::new();
    for i in 1..args.len() {
        found.extend(map_arg(args, i)?.get(key));
    }
    Ok(Value::list(found))
}

/// `pick` and `omit`: the entries whose keys are among the arguments, or are not.
fn chosen(args: &[Value], wanted: bool) -> Result<Value, String> {
    let map = map_arg(args, 0)?;
    let keys: Result<Vec<&str>, String> = (1..args.len()).map(|i| text_arg(args, i)).collect();
    let keys = keys?;
    let entries = map.entries().into_iter();
    Ok(Value::map(
        entries.filter(|(k, _)| keys.contains(&k.as_ref()) == wanted),
    ))
}

fn merge_all(args: &[Value], overwrite: bool) -> Result<Value, String> {
    let target = map_arg(args, 0)?;
    let mut walk = Walk::default();
    for i in 1..args.len() {
        merge(target, map_arg(args, i)?, overwrite, &mut walk)?;
    }
    Ok(args[0].clone())
}

/// Fills `target` from `source`; an empty value in the target counts as none.
fn merge(target: &Map, source: &Map, overwrite: bool, walk: &mut Walk) -> Result<(), String> {
    if target.same(source) {
        return Ok(());
    }
    walk.node(&Value::Nil, |walk| {
        for (key, new) in source.entries() {
            let old = target.get(&key);
            match (&old, &new) {
                (_, new) if new.is_nil() => {
                    if overwrite {
                        target.set(key, Value::Nil);
                    }
                }
                (Some(Value::Map(old)), Value::Map(new)) if old.len() > 0 || new.len() > 0 => {
                    merge(old, new, overwrite, walk)?;
                }
                (Some(old), _) if !overwrite && !empty(old) => {}
                _ => target.set(key, new),
            }
        }
        Ok(())
    })
}

fn dig(args: &[Value]) -> Result<Value, String> {
    let (keys, rest) = args.split_at(args.len() - 2);
    let mut map = map_arg(rest, 1)?.clone();
    for (i, _) in keys.iter().enumerate() {
        let Some(value) = map.get(text_arg(keys, i)?) else {
            return Ok(rest[0].clone());
        };
        if i + 1 == keys.len() {
            return Ok(value);
        }
        map = match value {
            Value::Map(map) => map,
            other => return Err(wrong_type(&other, "map[string]interface {}")),
        };
    }
    Ok(rest[0].clone())
}
