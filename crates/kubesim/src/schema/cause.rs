//! What is wrong with a field, in the words of a real API server.

use serde_json::Value;

/// Where, the API's reason, the message.
pub(crate) type Cause = (String, &'static str, String);

/// A value as messages show it.
fn shown(value: &Value) -> String {
    value.to_string()
}

/// A field that must be there.
pub(crate) fn required(field: &str, why: &str) -> Cause {
    (
        field.to_owned(),
        "FieldValueRequired",
        with("Required value", why),
    )
}

/// A field that must not be there, or not be changed.
pub(crate) fn forbidden(field: &str, why: &str) -> Cause {
    (
        field.to_owned(),
        "FieldValueForbidden",
        with("Forbidden", why),
    )
}

/// A value that is no good.
pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Cause {
    let message = with(&format!("Invalid value: {}", shown(value)), why);
    (field.to_owned(), "FieldValueInvalid", message)
}

/// A value of another type.
pub(crate) fn mistyped(field: &str, value: &Value, why: &str) -> Cause {
    let (field, _, message) = invalid(field, value, why);
    (field, "FieldValueTypeInvalid", message)
}

/// A value that is there already.
pub(crate) fn duplicate(field: &str, value: &Value) -> Cause {
    let message = format!("Duplicate value: {}", shown(value));
    (field.to_owned(), "FieldValueDuplicate", message)
}

/// A value that is none of those that there are.
pub(crate) fn unsupported(field: &str, value: &Value, supported: &[String]) -> Cause {
    let quoted: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
    let why = format!("supported values: {}", quoted.join(", "));
    let message = with(&format!("Unsupported value: {}", shown(value)), &why);
    (field.to_owned(), "FieldValueNotSupported", message)
}

/// A text of too many bytes.
pub(crate) fn too_long(field: &str, most: u64) -> Cause {
    let bytes = if most == 1 { "byte" } else { "bytes" };
    let message = format!("Too long: may not be more than {most} {bytes}");
    (field.to_owned(), "FieldValueTooLong", message)
}

/// Too many items or properties.
pub(crate) fn too_many(field: &str, found: usize, most: u64) -> Cause {
    let items = if most == 1 { "item" } else { "items" };
    let message = format!("Too many: {found}: must have at most {most} {items}");
    (field.to_owned(), "FieldValueTooMany", message)
}

/// Whether a cause keeps rules from being evaluated: they would stumble over it.
pub(crate) fn blocks_rules(cause: &Cause) -> bool {
    matches!(
        cause.1,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

fn with(what: &str, why: &str) -> String {
    if why.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {why}")
    }
}
