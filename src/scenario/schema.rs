//! JSON schema of scenarios' files, made from their types; checked in as `schemas/scenario.schema.json`.

use schemars::generate::SchemaSettings;

use super::recipe::ScenarioFile;

/// The schema (draft 2020-12) as it is checked in.
#[must_use]
pub fn scenario_schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<ScenarioFile>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        crate::stack::is_checked_in(
            "scenario.schema.json",
            &format!("{:#}\n", scenario_schema()),
        );
    }
}
