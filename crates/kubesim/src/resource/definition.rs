//! What a CustomResourceDefinition says of its kind, compiled once for each change of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{GroupResource, Resource, priority};
use crate::object::{list, text};
use crate::schema::Schema;

/// Where the objects of a kind say how many they want, as JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// How many are wanted.
    pub wanted: String,
    /// How many there are.
    pub found: String,
    /// Which they are, as the text of a label selector.
    pub selector: Option<String>,
}

/// One version of a kind.
#[derive(Debug, Default)]
struct Version {
    schema: Schema,
    scale: Option<Scale>,
    /// What clients of this version are warned of.
    warning: Option<String>,
}

/// The versions of a kind.
#[derive(Debug, Default)]
pub(crate) struct Definition {
    versions: BTreeMap<String, Version>,
}

impl Definition {
    /// Compiles a definition.
    pub fn compile(definition: &Value) -> Self {
        let versions = list(definition, "/spec/versions").iter().map(|version| {
            let name = text(version, "/name").to_owned();
            let compiled = Version {
                schema: Schema::compile(&version["schema"]["openAPIV3Schema"]),
                scale: scale(&version["subresources"]["scale"]),
                warning: warning(definition, version),
            };
            (name, compiled)
        });
        Self {
            versions: versions.collect(),
        }
    }

    /// The schema of a version.
    pub fn schema(&self, version: &str) -> Option<&Schema> {
        self.versions.get(version).map(|version| &version.schema)
    }

    /// Where a version's objects say how many they want.
    pub fn scale(&self, version: &str) -> Option<&Scale> {
        self.versions.get(version)?.scale.as_ref()
    }

    /// What clients of a version are warned of.
    pub fn warning(&self, version: &str) -> Option<&str> {
        self.versions.get(version)?.warning.as_deref()
    }
}

fn scale(scale: &Value) -> Option<Scale> {
    let pointer = |name: &str| Some(scale[name].as_str()?.replace('.', "/"));
    Some(Scale {
        wanted: pointer("specReplicasPath")?,
        found: pointer("statusReplicasPath")?,
        selector: pointer("labelSelectorPath"),
    })
}

fn warning(definition: &Value, version: &Value) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    let own = version["deprecationWarning"].as_str().map(str::to_owned);
    Some(own.unwrap_or_else(|| {
        let (group, kind) = (
            text(definition, "/spec/group"),
            text(definition, "/spec/names/kind"),
        );
        format!("{group}/{} {kind} is deprecated", text(version, "/name"))
    }))
}

/// The resource that a definition names.
pub(crate) fn id(definition: &Value) -> GroupResource {
    GroupResource::named(
        text(definition, "/spec/group"),
        text(definition, "/spec/names/plural"),
    )
}

/// The resource as a definition has it served; none where it serves no version.
pub(crate) fn resource(definition: &Value) -> Option<Resource> {
    let names = &definition["spec"]["names"];
    let word = |name: &str| Cow::Owned(text(names, &format!("/{name}")).to_owned());
    let words = |name: &str| {
        let words = list(names, &format!("/{name}")).iter();
        words
            .filter_map(Value::as_str)
            .map(|word| Cow::Owned(word.to_owned()))
            .collect()
    };
    let versions = list(definition, "/spec/versions");
    let mut served: Vec<Cow<'static, str>> = versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| Cow::Owned(text(version, "/name").to_owned()))
        .collect();
    served.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    if served.is_empty() {
        return None;
    }
    let stored = versions.iter().find(|version| version["storage"] == true)?;
    Some(Resource {
        id: id(definition),
        versions: served,
        storage: Cow::Owned(text(stored, "/name").to_owned()),
        kind: word("kind"),
        singular: word("singular"),
        short_names: words("shortNames"),
        categories: words("categories"),
        namespaced: definition["spec"]["scope"] != "Cluster",
        status: versions
            .iter()
            .any(|version| version["subresources"]["status"].is_object()),
        generation: true,
    })
}
