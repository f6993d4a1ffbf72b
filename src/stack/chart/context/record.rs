//! Go structs.

use crate::stack::chart::template::{Object, Value};

/// A Go struct: reading a field that it does not have is an error.
pub(super) struct Record {
    pub type_name: &'static str,
    /// What it prints as, where it is not its fields.
    pub shown: Option<String>,
    /// Name in templates, name in JSON, value.
    pub fields: Vec<(&'static str, &'static str, Value)>,
}

impl Object for Record {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn method(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        let shown = self.shown.as_deref()?;
        matches!(name, "String" | "GitVersion").then(|| Ok(Value::text(shown)))
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields
            .iter()
            .find(|(field, ..)| *field == name)
            .map(|(.., value)| value.clone())
    }

    fn data(&self) -> Value {
        let kept = self.fields.iter().filter(|(.., value)| value.truth());
        Value::map(kept.map(|(_, json, value)| (*json, value.clone())))
    }

    fn display(&self) -> Option<String> {
        self.shown.clone()
    }
}
