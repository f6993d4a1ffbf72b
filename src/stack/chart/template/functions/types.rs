//! Functions about types, and versions.

use super::{Function, Value, pure, text_arg};
use crate::stack::chart::semver::{Constraint, Version};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("typeOf", 1, 1, |a| Ok(Value::text(a[0].type_name()))),
    pure("typeIs", 2, 2, |a| {
        Ok(Value::Bool(a[1].type_name() == text_arg(a, 0)?))
    }),
    pure("typeIsLike", 2, 2, |a| {
        let (wanted, is) = (text_arg(a, 0)?, a[1].type_name());
        Ok(Value::Bool(
            is == wanted || is.strip_prefix('*') == Some(wanted),
        ))
    }),
    pure("kindOf", 1, 1, |a| Ok(Value::text(a[0].kind()))),
    pure("kindIs", 2, 2, |a| {
        Ok(Value::Bool(a[1].kind() == text_arg(a, 0)?))
    }),
    pure("deepEqual", 2, 2, |a| {
        a[0].deep_equal(&a[1]).map(Value::Bool)
    }),
    pure("semverCompare", 2, 2, |a| {
        let constraint = Constraint::parse(text_arg(a, 0)?)?;
        Ok(Value::Bool(
            constraint.matches(&Version::parse(text_arg(a, 1)?)?),
        ))
    }),
    pure("semver", 1, 1, |a| {
        Ok(semver(&Version::parse(text_arg(a, 0)?)?))
    }),
];

fn semver(version: &Version) -> Value {
    let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Value::map([
        ("Major", number(version.major)),
        ("Minor", number(version.minor)),
        ("Patch", number(version.patch)),
        ("Prerelease", Value::text(version.pre.as_str())),
        ("Metadata", Value::text(version.metadata.as_str())),
        ("Original", Value::text(version.original.as_str())),
    ])
}
