//! JSON schema of suite files, made from their types; checked in as `schemas/suite.schema.json`.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::SuiteFile;
use crate::checks;

/// The schema (draft 2020-12) as it is checked in.
#[must_use]
pub fn suite_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<SuiteFile>()
        .to_value();
    // Which parameters there are depends on the check that is named.
    let natives = checks::all().iter().map(|native| {
        let mut parameters = native.parameters.schema();
        if let Some(parameters) = parameters.as_object_mut() {
            parameters.remove("title");
        }
        json!({
            "if": {"properties": {"native": {"const": native.name}}, "required": ["native"]},
            "then": {"properties": {"parameters": parameters}},
        })
    });
    let names = checks::all().iter().map(|native| native.name);
    let native = json!({"if": {"required": ["native"]}, "then": {"properties": {"native": {"enum": names.collect::<Vec<_>>()}}}});
    let one_of = ["native", "cel", "exec"].map(|kind| json!({"required": [kind]}));
    schema["$defs"]["Check"]["oneOf"] = json!(one_of);
    schema["$defs"]["Check"]["allOf"] = std::iter::once(native).chain(natives).collect();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        crate::stack::is_checked_in("suite.schema.json", &format!("{:#}\n", suite_schema()));
    }
}
