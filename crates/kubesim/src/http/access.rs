//! Who asks, whether he may, and the reviews that tell him so.

use http::request::Parts;
use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::authorization::{self, User, Wish};
use crate::cluster::Cluster;
use crate::error::ApiError;

/// Who a request is answered for: who sent it, or who he wants to be taken for. None for requests
/// from inside the simulation.
///
/// # Errors
/// 403 when he may not be taken for somebody else.
pub fn user(cluster: &Cluster, parts: &Parts) -> Result<Option<User>, ApiError> {
    let asking = parts.extensions.get::<User>();
    let Some(name) = header(&parts.headers, "impersonate-user")
        .into_iter()
        .next()
    else {
        return Ok(asking.cloned());
    };
    let groups = header(&parts.headers, "impersonate-group");
    if let Some(asking) = asking {
        let names = groups.iter().map(|group| ("groups", group));
        for (resource, name) in std::iter::once(("users", &name)).chain(names) {
            let wish = Wish {
                verb: "impersonate".to_owned(),
                resource: resource.to_owned(),
                name: name.clone(),
                ..Wish::default()
            };
            authorization::enforce(cluster, asking, &wish)?;
        }
    }
    let mut groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    if let Some(account) = name.strip_prefix("system:serviceaccount:") {
        groups.push("system:serviceaccounts");
        let namespace = account.split(':').next().unwrap_or_default();
        let own = format!("system:serviceaccounts:{namespace}");
        groups.push(&own);
        return Ok(Some(User::new(&name, &groups)));
    }
    Ok(Some(User::new(&name, &groups)))
}

fn header(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect()
}

/// Refuses a request about a resource that its user may not send.
///
/// # Errors
/// 403.
pub fn enforce(request: &Request<'_>) -> Result<(), ApiError> {
    let Some(user) = &request.user else {
        return Ok(());
    };
    let target = request.target;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let one = target.name.is_some();
    let verb = match request.parts.method {
        Method::GET | Method::HEAD if request.query.is_set("watch") => "watch",
        Method::GET | Method::HEAD if one => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        _ => "deletecollection",
    };
    // What follows a proxy is a path on the other side.
    let subresource = text(&target.subresource);
    let subresource = subresource.split('/').next().unwrap_or_default();
    let wish = Wish {
        verb: verb.to_owned(),
        group: target.group.clone(),
        resource: target.resource.clone(),
        subresource: subresource.to_owned(),
        namespace: text(&target.namespace),
        name: text(&target.name),
        path: String::new(),
    };
    authorization::enforce(request.cluster, user, &wish)
}

/// Refuses a request about no resource that its user may not send.
///
/// # Errors
/// 403.
pub fn enforce_path(cluster: &Cluster, parts: &Parts) -> Result<(), ApiError> {
    let Some(user) = user(cluster, parts)? else {
        return Ok(());
    };
    let wish = Wish {
        verb: parts.method.as_str().to_lowercase(),
        path: parts.uri.path().to_owned(),
        ..Wish::default()
    };
    authorization::enforce(cluster, &user, &wish)
}

/// Answers the kinds that are only asked and never stored; none for all others.
///
/// # Errors
/// 400 when the question cannot be read.
pub fn review(request: &Request<'_>) -> Option<Result<Response<Body>, ApiError>> {
    let kind = request.resource.kind.as_ref();
    let reviews = [
        "SelfSubjectReview",
        "SelfSubjectAccessReview",
        "SelfSubjectRulesReview",
        "SubjectAccessReview",
        "LocalSubjectAccessReview",
        "TokenReview",
    ];
    if !reviews.contains(&kind) || !request.resource.is_built_in() {
        return None;
    }
    if request.parts.method != Method::POST {
        return Some(Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )));
    }
    Some(respond::object(request.body).map(|mut object| {
        object["apiVersion"] = json!(request.api_version);
        object["kind"] = json!(kind);
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        object["status"] = status(request, kind, &object["spec"]);
        respond::json(201, &object)
    }))
}

fn status(request: &Request<'_>, kind: &str, spec: &Value) -> Value {
    let asking = request.user.clone().unwrap_or_else(User::admin);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match kind {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": asking.name, "groups": asking.groups}})
        }
        "TokenReview" => match request.cluster.server().user_of(&text(&spec["token"])) {
            Some(user) => json!({
                "authenticated": true, "audiences": spec["audiences"],
                "user": {"username": user.name, "groups": user.groups},
            }),
            None => json!({"user": {}, "error": "[invalid bearer token]"}),
        },
        "SelfSubjectRulesReview" => {
            let namespace = text(&spec["namespace"]);
            let rules = authorization::rules(request.cluster, &asking, &namespace);
            let (paths, resources): (Vec<Value>, Vec<Value>) = rules
                .into_iter()
                .partition(|rule| rule["nonResourceURLs"].is_array());
            json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
        }
        _ => {
            let user = if kind == "SelfSubjectAccessReview" {
                asking
            } else {
                let groups = spec["groups"].as_array().into_iter().flatten();
                User {
                    name: text(&spec["user"]),
                    groups: groups.map(text).collect(),
                }
            };
            let wish = wish(spec);
            match authorization::decide(request.cluster, &user, &wish) {
                Some(why) if why.is_empty() => json!({"allowed": true}),
                Some(why) => json!({"allowed": true, "reason": why}),
                None => json!({"allowed": false}),
            }
        }
    }
}

/// What a review asks about.
fn wish(spec: &Value) -> Wish {
    let about = |kind: &str, field: &str| spec[kind][field].as_str().unwrap_or_default().to_owned();
    if spec["nonResourceAttributes"].is_object() {
        return Wish {
            verb: about("nonResourceAttributes", "verb"),
            path: about("nonResourceAttributes", "path"),
            ..Wish::default()
        };
    }
    let of = |field| about("resourceAttributes", field);
    Wish {
        verb: of("verb"),
        group: of("group"),
        resource: of("resource"),
        subresource: of("subresource"),
        namespace: of("namespace"),
        name: of("name"),
        path: String::new(),
    }
}
