//! Which objects of a collection a list or a watch is about.

use serde_json::Value;

use super::request::Request;
use crate::error::ApiError;
use crate::object::{name, namespace};
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use crate::selector::{Fields, Labels};
use crate::store::Stored;

/// Namespace, name and selectors of a request.
pub struct Filter {
    /// Namespace; none for all.
    pub namespace: Option<String>,
    /// The only name, where the path gives one.
    name: Option<String>,
    labels: Labels,
    fields: Fields,
}

impl Filter {
    /// What a request selects.
    ///
    /// # Errors
    /// 400 when a selector cannot be read or selects by an unknown field.
    pub fn of(request: &Request<'_>) -> Result<Self, ApiError> {
        let labels = Labels::parse(request.query.text("labelSelector").unwrap_or_default())?;
        let text = request.query.text("fieldSelector").unwrap_or_default();
        let fields = if text.is_empty() {
            Fields::default()
        } else {
            Fields::parse(text, &request.resource, &selectable(request))?
        };
        Ok(Self {
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            labels,
            fields,
        })
    }

    /// Whether a stored object is selected.
    pub fn matches(&self, stored: &Stored) -> bool {
        let object = &stored.value;
        let is = |wanted: &Option<String>, found: fn(&Value) -> &str| {
            wanted.as_ref().is_none_or(|wanted| found(object) == wanted)
        };
        is(&self.namespace, namespace)
            && is(&self.name, name)
            && (self.labels.is_empty() || self.labels.matches(&object["metadata"]["labels"]))
            && (self.fields.is_empty() || self.fields.matches(object))
    }

    /// Whether there are selectors at all.
    pub fn selects(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    /// The only object that can be selected.
    pub fn single(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.fields.name())
    }
}

/// Fields that the resource's definition lets clients select by.
fn selectable(request: &Request<'_>) -> Vec<String> {
    if request.resource.is_built_in() {
        return Vec::new();
    }
    let name = request.resource.id.to_string();
    let definition = request
        .cluster
        .api()
        .get(&CUSTOM_RESOURCE_DEFINITIONS, "", &name);
    let Some(definition) = definition else {
        return Vec::new();
    };
    let versions = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten();
    versions
        .filter(|version| version["name"] == request.target.version.as_str())
        .flat_map(|version| version["selectableFields"].as_array().into_iter().flatten())
        .filter_map(|field| field["jsonPath"].as_str())
        .map(|path| path.trim_start_matches('.').to_owned())
        .collect()
}
