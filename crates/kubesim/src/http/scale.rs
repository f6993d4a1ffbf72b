//! The subresource `scale`: how many a workload wants and has, for all kinds in the same form.

use http::{Method, Response, header};
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use super::write::manager;
use crate::error::ApiError;
use crate::object::{int, text};
use crate::patch;
use crate::registry::Write;
use crate::resource::definition::Scale;
use crate::schema;

/// Answers a request about a scale; none where there is none.
pub fn answer(request: &Request<'_>) -> Option<Result<Response<Body>, ApiError>> {
    let scale = places(request)?;
    Some(match request.parts.method {
        Method::GET | Method::HEAD => read(request, &scale).map(|scale| respond::json(200, &scale)),
        Method::PUT | Method::PATCH => write(request, &scale),
        _ => Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
    })
}

/// Where the resource's objects say how many.
fn places(request: &Request<'_>) -> Option<Scale> {
    let api = request.cluster.api();
    let id = &request.resource.id;
    if let Some(definition) = api.catalogue().definition(id) {
        return definition.scale(&request.target.version).cloned();
    }
    let wanted = api.scale_path(id)?;
    Some(Scale {
        wanted,
        found: "/status/replicas".to_owned(),
        selector: None,
    })
}

fn found(request: &Request<'_>) -> Result<Value, ApiError> {
    let id = &request.resource.id;
    let stored = request
        .cluster
        .api()
        .stored(id, request.namespace(), request.name());
    let stored = stored.ok_or_else(|| ApiError::not_found(id, request.name()))?;
    request.served_form((*stored.value).clone())
}

fn read(request: &Request<'_>, scale: &Scale) -> Result<Value, ApiError> {
    shown(&found(request)?, scale)
}

/// The scale of an object.
fn shown(object: &Value, scale: &Scale) -> Result<Value, ApiError> {
    let Some(wanted) = int(object, &scale.wanted) else {
        let path = scale.wanted.replace('/', ".");
        let message =
            format!("Internal error occurred: the spec replicas field \"{path}\" does not exist");
        return Err(ApiError::new(500, "InternalError", message));
    };
    let selector = match &scale.selector {
        Some(path) => text(object, path).to_owned(),
        None => selector(&object["spec"]["selector"]),
    };
    let metadata = &object["metadata"];
    let mut shown = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": wanted},
        "status": {"replicas": int(object, &scale.found).unwrap_or_default()},
    });
    if !selector.is_empty() {
        shown["status"]["selector"] = json!(selector);
    }
    Ok(shown)
}

/// A label selector as text.
fn selector(selector: &Value) -> String {
    // A ReplicationController's is plain labels.
    let has_terms = selector["matchLabels"].is_object() || selector["matchExpressions"].is_array();
    let labels = if has_terms {
        &selector["matchLabels"]
    } else {
        selector
    };
    let pairs = labels.as_object().into_iter().flatten();
    let mut terms: Vec<String> = pairs
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    for term in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = text(term, "/key");
        let values = term["values"].as_array().into_iter().flatten();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        let values = values.join(",");
        terms.push(match text(term, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}

fn write(request: &Request<'_>, scale: &Scale) -> Result<Response<Body>, ApiError> {
    let mut object = found(request)?;
    let sent = if request.parts.method == Method::PUT {
        respond::object(request.body)?
    } else {
        patched(request, shown(&object, scale)?)?
    };
    let refuse = |cause| ApiError::invalid("Scale", "autoscaling", request.name(), &[cause]);
    let name = text(&sent, "/metadata/name");
    if name != request.name() {
        let why = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name()
        );
        return Err(ApiError::bad_request(why));
    }
    // What is not said is none.
    let wanted = match &sent["spec"]["replicas"] {
        Value::Null => 0,
        value => match value.as_i64() {
            Some(number) if i32::try_from(number).is_ok() => number,
            _ => {
                let why = "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32";
                return Err(ApiError::bad_request(why));
            }
        },
    };
    if wanted < 0 {
        let why = "must be greater than or equal to 0";
        return Err(refuse(schema::invalid(
            "spec.replicas",
            &json!(wanted),
            why,
        )));
    }
    let revision = text(&sent, "/metadata/resourceVersion").to_owned();
    object["metadata"]["resourceVersion"] = json!(revision);
    if !set(&mut object, &scale.wanted, json!(wanted)) {
        return Err(ApiError::bad_request(
            "the object has no place for replicas",
        ));
    }
    let query = |key: &str| request.query.text(key).unwrap_or_default().to_owned();
    let write = Write {
        manager: manager(request),
        dry_run: query("dryRun") == "All",
        subresource: "scale".to_owned(),
        version: Some(request.api_version.clone()),
        user: request.user.clone(),
        warnings: request.warnings.clone(),
    };
    let catalogue = request.cluster.api().catalogue();
    let id = &request.resource.id;
    let stored = catalogue.convert(id, object, &request.storage_version())?;
    let written = request.cluster.api().update(id, stored, &write)?;
    let served = request.served_form((*written.value).clone())?;
    Ok(respond::json(200, &shown(&served, scale)?))
}

/// Sets a value at a pointer whose objects may be missing.
fn set(object: &mut Value, pointer: &str, value: Value) -> bool {
    let mut place = object;
    for field in pointer.split('/').filter(|field| !field.is_empty()) {
        if place.is_null() {
            *place = json!({});
        }
        let Some(fields) = place.as_object_mut() else {
            return false;
        };
        place = fields.entry(field).or_insert(Value::Null);
    }
    *place = value;
    true
}

fn patched(request: &Request<'_>, mut scale: Value) -> Result<Value, ApiError> {
    let kind = request.parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
    let name = request.name();
    if kind.starts_with(b"application/json-patch+json") {
        patch::steps(&mut scale, request.body)?;
    } else {
        // A scale has no lists: merging, strategically or by an apply, is the same.
        let patch = respond::object(request.body)?;
        json_patch::merge(&mut scale, &patch);
    }
    if !scale.is_object() || !scale["metadata"].is_object() {
        let why = schema::invalid("patch", &Value::Null, "it leaves no Scale");
        return Err(ApiError::invalid("Scale", "autoscaling", name, &[why]));
    }
    Ok(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_told_as_text() {
        let both = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x", "y"]}, {"key": "d", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&both), "!d,a=2,b=1,c in (x,y)");
        assert_eq!(selector(&json!({"app": "web"})), "app=web");
        assert_eq!(selector(&Value::Null), "");
    }
}
