//! What suites may set for a check: a type of its own for each, with its schema.

use anyhow::Context as _;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a check takes.
#[derive(Clone, Copy)]
pub struct Parameters {
    schema: fn() -> Value,
    check: fn(&Value) -> Result<(), String>,
}

/// A parameter that the check does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongParameter {
    /// Its name; none when one is missing.
    pub name: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was expected.
    pub expected: String,
}

/// For checks that take nothing.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct None {}

impl Parameters {
    /// Nothing can be set.
    pub const NONE: Self = Self::of::<None>();

    /// What can be set are the fields of `T`, which needs `deny_unknown_fields`, and a default for each
    /// field that may be absent.
    #[must_use]
    pub const fn of<T: DeserializeOwned + JsonSchema>() -> Self {
        Self {
            schema: schema::<T>,
            check: |value| match serde_json::from_value::<T>(value.clone()) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// The JSON schema.
    #[must_use]
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// The names, each with its description.
    #[must_use]
    pub fn names(&self) -> Vec<(String, String)> {
        let schema = self.schema();
        let properties = schema["properties"].as_object();
        properties
            .into_iter()
            .flatten()
            .map(|(name, property)| {
                let told = property["description"].as_str().unwrap_or_default();
                (name.clone(), told.to_owned())
            })
            .collect()
    }

    /// Finds what is wrong with what a suite sets.
    ///
    /// # Errors
    /// With the first parameter that is wrong.
    pub fn validate(&self, set: &Value) -> Result<(), WrongParameter> {
        let names: Vec<String> = self.names().into_iter().map(|(name, _)| name).collect();
        let expected = match names.as_slice() {
            [] => "none: this check takes no parameters".to_owned(),
            names => format!("one of {}", names.join(", ")),
        };
        let given = set.as_object().cloned().unwrap_or_default();
        if let Some(unknown) = given.keys().find(|name| !names.contains(name)) {
            return Err(WrongParameter {
                name: Some(unknown.clone()),
                message: format!("there is no parameter `{unknown}`"),
                expected,
            });
        }
        let Err(message) = (self.check)(set) else {
            return Ok(());
        };
        // The error does not say where; it is the one without which there is none, or another one.
        let culprit = given.keys().find(|name| {
            let mut without = given.clone();
            without.remove(*name);
            (self.check)(&Value::Object(without)).err().as_ref() != Some(&message)
        });
        Err(WrongParameter {
            name: culprit.cloned(),
            message,
            expected: "what `stackgate suites explain` tells of it".to_owned(),
        })
    }
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = Option::None;
    });
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// What was set, as the type that the check takes.
pub(super) fn read<T: DeserializeOwned>(set: &Value) -> anyhow::Result<T> {
    let set = if set.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        set.clone()
    };
    serde_json::from_value(set).context("failed to read the check's parameters")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Own {
        /// At least so many.
        #[serde(default)]
        minimum: u8,
        /// Its name.
        name: String,
    }

    fn wrong(set: &Value) -> Option<(Option<String>, String)> {
        let wrong = Parameters::of::<Own>().validate(set).err()?;
        Some((wrong.name, format!("{}; {}", wrong.message, wrong.expected)))
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(wrong(&json!({"name": "a", "minimum": 3})), Option::None);
        let (name, told) = wrong(&json!({"name": "a", "maximum": 3})).unwrap();
        assert_eq!(name.as_deref(), Some("maximum"));
        assert_eq!(
            told,
            "there is no parameter `maximum`; one of minimum, name"
        );
        let (name, told) = wrong(&json!({"name": "a", "minimum": 300})).unwrap();
        assert_eq!(name.as_deref(), Some("minimum"));
        assert!(told.contains("invalid value: integer `300`"), "{told}");
        let (name, told) = wrong(&json!({})).unwrap();
        assert!(
            name.is_none() && told.contains("missing field `name`"),
            "{told}"
        );
        assert!(Parameters::NONE.validate(&json!({})).is_ok());
        let none = Parameters::NONE.validate(&json!({"a": 1})).unwrap_err();
        assert!(none.expected.contains("takes no parameters"));
    }

    #[test]
    fn what_was_set_is_read_and_the_rest_is_the_default() {
        let own: Own = read(&json!({"name": "a"})).unwrap();
        assert_eq!((own.minimum, own.name.as_str()), (0, "a"));
        assert!(read::<Own>(&Value::Null).is_err());
        let names = Parameters::of::<Own>().names();
        assert_eq!(
            names[0],
            ("minimum".to_owned(), "At least so many.".to_owned())
        );
    }
}
