//! Responses: objects, Statuses, and bodies that go on.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::Value;

use super::request::Request;
use super::shape::Show;
use crate::error::ApiError;
use crate::protobuf;
use crate::store::Stored;

/// The body of a response.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A response with a body that is there at once.
pub fn bytes(code: u16, kind: &'static str, body: Bytes) -> Response<Body> {
    with(code, kind, Full::new(body).boxed_unsync())
}

/// A response with any body.
pub fn with(code: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A response in JSON.
pub fn json(code: u16, value: &Value) -> Response<Body> {
    // A Value always serialises: its keys are strings.
    let body = serde_json::to_vec(value).unwrap_or_default();
    bytes(code, "application/json", Bytes::from(body))
}

/// A refusal.
pub fn refusal(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, &error.status());
    if let Some(seconds) = error.details["retryAfterSeconds"].as_u64() {
        let value = header::HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// Tells warnings with a response: quoted as in RFC 7234; what cannot stand in a header is left out.
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let text: String = warning.chars().filter(|c| !c.is_control()).collect();
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// A response in plain text.
pub fn text(code: u16, text: String) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", Bytes::from(text))
}

/// A stored object as the request's client gets it.
///
/// # Errors
/// When it cannot be converted to the version that was asked for.
pub fn stored(
    code: u16,
    stored: &Stored,
    request: &Request<'_>,
) -> Result<Response<Body>, ApiError> {
    let body = Show::of(request)?.one(stored, true)?;
    Ok(bytes(code, "application/json", body))
}

/// The object in a request's body: JSON, or the protobuf that Go clients prefer.
///
/// # Errors
/// 400 when it is none.
pub fn object(body: &Bytes) -> Result<Value, ApiError> {
    if body.starts_with(protobuf::MAGIC) {
        return protobuf::read(body);
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("failed to read the object: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(ApiError::bad_request("expected an object"))
    }
}
