//! JSON schema of suite files, made from their types; checked in as `schemas/suite.schema.json`.

use schemars::generate::SchemaSettings;

use super::SuiteFile;

/// The schema (draft 2020-12) as it is checked in.
#[must_use]
pub fn suite_schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<SuiteFile>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/suite.schema.json");
        let current = format!("{:#}\n", suite_schema());
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&file, &current).unwrap();
        }
        let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            checked_in == current,
            "{} is not that of the types: run `UPDATE_SCHEMAS=1 cargo test schema`",
            file.display()
        );
    }
}
