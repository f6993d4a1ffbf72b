//! Requests to a cluster without a client in between.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use kubesim::Cluster;
use serde_json::Value;
use tower_service::Service as _;

/// An answer.
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Asks with a method, a path, an `Accept` header and a body.
pub async fn ask(cluster: &Cluster, method: &str, path: &str, accept: &str, body: Value) -> Answer {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept);
    answered(cluster, request.body(Full::new(body)).unwrap()).await
}

/// Sends a body of a content type, e.g. a patch.
pub async fn send(cluster: &Cluster, method: &str, path: &str, kind: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind);
    let request = request.body(Full::new(Bytes::from(body.to_string())));
    answered(cluster, request.unwrap()).await
}

async fn answered(cluster: &Cluster, request: Request<Full<Bytes>>) -> Answer {
    let response = cluster.service().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        code: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// A `GET` for JSON.
pub async fn get(cluster: &Cluster, path: &str) -> Answer {
    ask(cluster, "GET", path, "application/json", Value::Null).await
}

/// The lines that a stream gives within a (virtual) while.
pub async fn lines(cluster: &Cluster, path: &str, accept: &str, within: Duration) -> Vec<String> {
    let request = Request::builder().uri(path).header("accept", accept);
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let response = cluster.service().call(request).await.unwrap();
    let mut body = response.into_body();
    let mut text = Vec::new();
    let end = tokio::time::Instant::now() + within;
    while let Ok(Some(frame)) = tokio::time::timeout_at(end, body.frame()).await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}
