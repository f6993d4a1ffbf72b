//! Values with a form of their own, parsed once: versions, tags, networks, durations, images, names.

mod day;
mod duration;
mod image;
mod name;
mod network;
mod pattern;
mod range;
mod tag;
mod version;

pub use day::Day;
pub use duration::Timeout;
pub use image::ImageReference;
pub use name::{Label, Subdomain};
pub use network::Cidr;
pub use pattern::Pattern;
pub use range::VersionRange;
pub use tag::ReleaseTag;
pub use version::{ReleaseVersion, Version};

/// Gives a type with `FromStr` and `Display` its serde and JSON Schema forms: one string.
macro_rules! string_value {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}
use string_value;

/// Why a text is not the value it should be: "`x` is not …, expected …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}, expected {expected}")]
pub struct ValueError {
    text: String,
    what: &'static str,
    expected: &'static str,
}

impl ValueError {
    fn new(text: &str, what: &'static str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(120).collect(),
            what,
            expected,
        }
    }
}
