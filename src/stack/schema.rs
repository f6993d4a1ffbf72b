//! JSON schema of `stack.yaml`, made from its types; checked in as `schemas/stack.schema.json`.

use schemars::generate::SchemaSettings;

use super::spec::StackFile;

/// The schema (draft 2020-12) as it is checked in.
pub fn stack_schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<StackFile>()
        .to_value()
}

/// Compares a schema with the one that is checked in, or renews that (`UPDATE_SCHEMAS`).
#[cfg(test)]
pub fn is_checked_in(name: &str, current: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let file = folder.join(name);
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, current).unwrap();
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        checked_in == current,
        "{} is not that of the types: run `UPDATE_SCHEMAS=1 cargo test schema`",
        file.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        crate::stack::is_checked_in("stack.schema.json", &format!("{:#}\n", stack_schema()));
    }
}
