//! SCS certificate scope files as they are written, in both of their forms.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The form with modules and targets, in use since 2025.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModulesFile {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uuid: Option<String>,
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) prerequisite: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) variables: Vec<Variable>,
    #[serde(default)]
    pub(super) scripts: Vec<ScriptEntry>,
    pub(super) modules: Vec<Module>,
    pub(super) versions: Vec<ModulesVersion>,
    pub(super) timeline: Vec<TimelineEntry>,
}

/// The form with groups, prepared to replace modules.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsFile {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uuid: Option<String>,
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) prerequisite: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) variables: Vec<Variable>,
    #[serde(default)]
    pub(super) scripts: Vec<ScriptEntry>,
    pub(super) groups: Vec<Group>,
    pub(super) versions: Vec<GroupsVersion>,
    pub(super) timeline: Vec<TimelineEntry>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptEntry {
    #[serde(default)]
    pub(super) executable: Option<String>,
    #[serde(default)]
    pub(super) env: Pairs<String>,
    #[serde(default)]
    pub(super) args: String,
    #[serde(default)]
    pub(super) testcases: Vec<Testcase>,
}

/// One testcase: what a script judges.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Testcase {
    /// Unique in the file.
    pub id: String,
    /// How long a result is valid: day, week, month, quarter or year.
    #[serde(default)]
    pub lifetime: Option<String>,
    /// Free text; light, medium and heavy are in use.
    #[serde(default)]
    pub section: Option<String>,
    /// What is demanded.
    #[serde(default)]
    pub description: Option<String>,
    /// Where the demand can be read.
    #[serde(default)]
    pub url: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub(super) id: String,
    #[serde(default, rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(default, rename = "url")]
    _url: Option<IgnoredAny>,
    #[serde(default, rename = "parameters")]
    _parameters: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) targets: Pairs<Vec<String>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModulesVersion {
    pub(super) version: String,
    pub(super) include: Vec<Include>,
    #[serde(default, rename = "targets")]
    _targets: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) stabilized_at: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) id: String,
    #[serde(default, rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(default, rename = "url")]
    _url: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) include: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsVersion {
    pub(super) version: String,
    pub(super) test: String,
    #[serde(default, rename = "attn")]
    _attn: Option<IgnoredAny>,
}

/// What is valid from a date on. Other keys are ignored, as the checker does.
#[derive(Debug, serde::Deserialize)]
pub(super) struct TimelineEntry {
    pub(super) date: String,
    pub(super) versions: Pairs<Option<String>>,
}

/// A variable that has to be assigned, or one with a default.
#[derive(Debug)]
pub(super) enum Variable {
    Required(String),
    Defaults(Pairs<Scalar>),
}

/// A module that a version includes, by id.
#[derive(Debug)]
pub(super) struct Include(pub(super) String);

/// A mapping that keeps its order.
#[derive(Debug)]
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<V> Default for Pairs<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A single value, as Python would print it.
#[derive(Debug)]
pub(super) struct Scalar(pub(super) String);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mapping<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Mapping<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Mapping(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Variable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a variable's name, or a mapping from its name to its default")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Variable, E> {
                Ok(Variable::Required(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variable, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Variable::Defaults(Pairs(pairs)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Include {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Include;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a module's id, or a mapping with `ref` and `parameters`")
            }

            fn visit_str<E: Error>(self, id: &str) -> Result<Include, E> {
                Ok(Include(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Include, A::Error> {
                let mut id = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "ref" => id = Some(map.next_value()?),
                        "parameters" => drop(map.next_value::<IgnoredAny>()?),
                        other => {
                            return Err(A::Error::unknown_field(other, &["ref", "parameters"]));
                        }
                    }
                }
                id.map(Include)
                    .ok_or_else(|| A::Error::missing_field("ref"))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(if value { "True" } else { "False" }.to_owned()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(format!("{value:?}")))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar("None".to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
