//! Requests that read: one object, a collection, at once or in chunks.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use serde_json::{Value, json};

use super::filter::Filter;
use super::request::Request;
use super::respond::{self, Body};
use super::shape::Show;
use crate::error::{ApiError, CONTINUE};
use crate::store::{Place, Stored};

/// What the server says when a chunked list's picture is gone.
const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// One object.
///
/// # Errors
/// 404 when it does not exist.
pub fn get(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let show = Show::of(request)?;
    let id = &request.resource.id;
    let stored = request
        .cluster
        .api()
        .stored(id, request.namespace(), request.name())
        .ok_or_else(|| ApiError::not_found(id, request.name()))?;
    if let Some(least) = revision(request)? {
        not_older(request, least)?;
    }
    let body = show.one(&stored, true)?;
    Ok(respond::bytes(200, "application/json", body))
}

/// A collection.
///
/// # Errors
/// Options that contradict each other, a picture that is gone, an object that cannot be converted.
pub fn list(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    validate(request)?;
    let show = Show::of(request)?;
    let filter = Filter::of(request)?;
    let limit = match request.query.text("limit") {
        None | Some("") => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| ApiError::bad_request(format!("invalid limit: {text}")))?,
    };
    let store = request.cluster.store();
    let id = &request.resource.id;
    let namespace = filter.namespace.as_deref();
    let picture = Picture::of(request, limit)?;
    let (page, metadata) = if let (Some(name), Some(namespace), false) =
        (filter.single(), namespace, picture.is_exact())
    {
        let found = store.get(id, namespace, name);
        let mut found = found.iter();
        page(&mut found, store.revision(), &filter, limit, None)
    } else {
        let (from, revision) = (picture.from.as_ref(), picture.revision);
        let read = store.read(id, namespace, from, revision, |objects, revision| {
            page(objects, revision, &filter, limit, picture.left)
        });
        read.map_err(|gone| picture.gone(gone))?
    };
    let body = show.list(page.iter().map(AsRef::as_ref), &metadata)?;
    Ok(respond::bytes(200, "application/json", body))
}

/// As many of the objects as a chunk holds (0: all of them), and the list's metadata. `left` is how many there
/// are, where a chunk before has told.
fn page(
    objects: &mut dyn Iterator<Item = &Arc<Stored>>,
    revision: u64,
    filter: &Filter,
    limit: usize,
    left: Option<usize>,
) -> (Vec<Arc<Stored>>, Value) {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    let mut selected = objects.filter(|stored| filter.matches(stored));
    if limit == 0 {
        return (selected.cloned().collect(), metadata);
    }
    let page: Vec<_> = selected.by_ref().take(limit).cloned().collect();
    if let (Some(last), Some(_)) = (page.last(), selected.next()) {
        let mut next = Continue::after(last, revision);
        if !filter.selects() {
            let left = match left {
                Some(left) => left.saturating_sub(page.len()),
                None => 1 + selected.count(),
            };
            metadata["remainingItemCount"] = json!(left);
            next.left = Some(left);
        }
        metadata["continue"] = json!(next.encode());
    }
    (page, metadata)
}

/// Which picture of a collection a list is read from.
struct Picture {
    /// At which revision; none for the newest.
    revision: Option<u64>,
    /// Where a chunk begins.
    from: Option<Place>,
    /// How many objects there are from there on, where a chunk before has told.
    left: Option<usize>,
}

impl Picture {
    fn of(request: &Request<'_>, limit: usize) -> Result<Self, ApiError> {
        let wanted = request.query.text("resourceVersion").unwrap_or_default();
        if let Some(token) = request.query.text("continue").filter(|t| !t.is_empty()) {
            if !matches!(wanted, "" | "0") {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let token = Continue::decode(token)?;
            return Ok(Self {
                revision: u64::try_from(token.rv).ok(),
                from: Some(token.place()),
                left: token.left,
            });
        }
        let least = revision(request)?;
        if let Some(least) = least {
            not_older(request, least)?;
        }
        // Without saying how, a chunked list at a revision means exactly that one.
        let exact = match request.query.text("resourceVersionMatch") {
            Some("Exact") => true,
            Some("NotOlderThan") => false,
            _ => limit > 0,
        };
        Ok(Self {
            revision: least.filter(|revision| exact && *revision > 0),
            from: None,
            left: None,
        })
    }

    /// Whether it is not simply what is there.
    fn is_exact(&self) -> bool {
        self.revision.is_some() || self.from.is_some()
    }

    /// What is said when the picture is forgotten: in the middle of a list, how to go on without it.
    fn gone(&self, error: ApiError) -> ApiError {
        let Some((namespace, name)) = &self.from else {
            return error;
        };
        let newest = Continue {
            rv: -1,
            start: format!("{namespace}/{name}"),
            left: None,
        };
        let mut gone = ApiError::expired(INCONSISTENT);
        gone.details = json!({CONTINUE: newest.encode()});
        gone
    }
}

/// The revision that a request asks for; 0 for any.
fn revision(request: &Request<'_>) -> Result<Option<u64>, ApiError> {
    match request.query.text("resourceVersion") {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| ApiError::bad_request(format!("invalid resource version: {text}"))),
    }
}

/// 504 when a revision lies in the future.
fn not_older(request: &Request<'_>, least: u64) -> Result<(), ApiError> {
    let current = request.cluster.store().revision();
    if least <= current {
        return Ok(());
    }
    let message = format!("Timeout: Too large resource version: {least}, current: {current}");
    let mut error = ApiError::new(504, "Timeout", message);
    error.details = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    Err(error)
}

/// Refuses options that contradict each other.
pub fn validate(request: &Request<'_>) -> Result<(), ApiError> {
    let text = |key| request.query.text(key).unwrap_or_default();
    let matching = text("resourceVersionMatch");
    let watch = request.query.is_set("watch");
    let initial = request.query.text("sendInitialEvents").is_some();
    let mut causes = Vec::new();
    let mut forbid = |field: &str, why: &str| {
        causes.push((
            field.to_owned(),
            "FieldValueForbidden",
            format!("Forbidden: {why}"),
        ));
    };
    if watch {
        if initial && matching != "NotOlderThan" {
            forbid(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        if !initial && !matching.is_empty() {
            forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
    } else {
        if initial {
            forbid(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            );
        }
        if !matching.is_empty() && text("resourceVersion").is_empty() {
            forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        if matching == "Exact" && text("resourceVersion") == "0" {
            forbid(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            );
        }
    }
    if !matching.is_empty() && !text("continue").is_empty() {
        forbid(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        );
    }
    if !matches!(matching, "" | "Exact" | "NotOlderThan") {
        let why = format!(
            "Unsupported value: \"{matching}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
        );
        causes.push((
            "resourceVersionMatch".to_owned(),
            "FieldValueNotSupported",
            why,
        ));
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid("ListOptions", "meta.k8s.io", "", &causes))
    }
}

/// Where the next chunk begins, and of which picture: -1 of the newest.
struct Continue {
    rv: i64,
    start: String,
    /// How many objects there are from there on; not told of a list that selects.
    left: Option<usize>,
}

impl Continue {
    fn after(last: &Stored, revision: u64) -> Self {
        let (namespace, name) = last.place();
        Self {
            rv: i64::try_from(revision).unwrap_or(i64::MAX),
            start: format!("{namespace}/{name}\0"),
            left: None,
        }
    }

    fn place(&self) -> Place {
        let (namespace, name) = self.start.split_once('/').unwrap_or(("", &self.start));
        (namespace.to_owned(), name.to_owned())
    }

    fn encode(&self) -> String {
        let token = json!({
            "v": "meta.k8s.io/v1", "rv": self.rv, "start": self.start, "left": self.left,
        });
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let refused = |why: &str| ApiError::bad_request(format!("continue key is not valid{why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused(""))?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| refused(""))?;
        if token["v"] != "meta.k8s.io/v1" {
            return Err(refused(": server does not recognize this encoded version"));
        }
        let start = token["start"].as_str().unwrap_or_default().to_owned();
        let left = token["left"].as_u64();
        let left = left.and_then(|left| usize::try_from(left).ok());
        match token["rv"].as_i64() {
            Some(rv) if rv != 0 && !start.is_empty() => Ok(Self { rv, start, left }),
            _ => Err(refused("")),
        }
    }
}
