//! `.Chart`.

use std::rc::Rc;

use serde_json::Value as Json;

use super::record::Record;
use crate::stack::chart::Chart;
use crate::stack::chart::template::Value;

/// `.Chart`, with every field that Chart.yaml may have.
pub(super) fn chart_object(chart: &Chart, is_root: bool) -> Value {
    let fields = &chart.metadata.fields;
    let text = |json: &str| match fields.get(json) {
        Some(Json::String(text)) => Value::text(text.as_str()),
        Some(Json::Number(number)) => Value::text(number.to_string()),
        Some(Json::Bool(value)) => Value::text(value.to_string()),
        _ => Value::text(""),
    };
    let list = |json: &str| match fields.get(json) {
        Some(list @ Json::Array(_)) => Value::from_helm(list),
        _ => Value::list([]),
    };
    let annotations = match fields.get("annotations") {
        Some(map @ Json::Object(_)) => Value::from_helm(map),
        _ => Value::map::<&str>([]),
    };
    let record = Record {
        type_name: "struct { chart.Metadata; IsRoot bool }",
        shown: None,
        fields: vec![
            ("Name", "name", Value::text(chart.name())),
            ("Home", "home", text("home")),
            ("Sources", "sources", list("sources")),
            ("Version", "version", Value::text(chart.version())),
            ("Description", "description", text("description")),
            ("Keywords", "keywords", list("keywords")),
            (
                "Maintainers",
                "maintainers",
                maintainers(fields.get("maintainers")),
            ),
            ("Icon", "icon", text("icon")),
            ("APIVersion", "apiVersion", text("apiVersion")),
            ("Condition", "condition", text("condition")),
            ("Tags", "tags", text("tags")),
            ("AppVersion", "appVersion", text("appVersion")),
            (
                "Deprecated",
                "deprecated",
                Value::Bool(fields.get("deprecated") == Some(&Json::Bool(true))),
            ),
            ("Annotations", "annotations", annotations),
            (
                "KubeVersion",
                "kubeVersion",
                Value::text(chart.metadata.kube_version.as_str()),
            ),
            ("Dependencies", "dependencies", dependencies(chart)),
            ("Type", "type", text("type")),
            ("IsRoot", "IsRoot", Value::Bool(is_root)),
        ],
    };
    Value::Object(Rc::new(record))
}

fn maintainers(json: Option<&Json>) -> Value {
    let people = json
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    Value::list(people.iter().map(|person| {
        let text = |key: &str| Value::text(person.get(key).and_then(Json::as_str).unwrap_or(""));
        Value::Object(Rc::new(Record {
            type_name: "*chart.Maintainer",
            shown: None,
            fields: vec![
                ("Name", "name", text("name")),
                ("Email", "email", text("email")),
                ("URL", "url", text("url")),
            ],
        }))
    }))
}

fn dependencies(chart: &Chart) -> Value {
    Value::list(chart.metadata.dependencies.iter().map(|d| {
        Value::Object(Rc::new(Record {
            type_name: "*chart.Dependency",
            shown: None,
            fields: vec![
                ("Name", "name", Value::text(d.name.as_str())),
                ("Version", "version", Value::text(d.version.as_str())),
                (
                    "Repository",
                    "repository",
                    Value::text(d.repository.as_str()),
                ),
                ("Condition", "condition", Value::text(d.condition.as_str())),
                (
                    "Tags",
                    "tags",
                    Value::texts(d.tags.iter().map(String::as_str)),
                ),
                ("Enabled", "enabled", Value::Bool(d.enabled)),
                ("Alias", "alias", Value::text(d.alias.as_str())),
            ],
        }))
    }))
}
