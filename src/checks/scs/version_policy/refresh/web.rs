//! Where the version data is fetched from: the web, or a test's answers.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri, header};
use jiff::Timestamp;
use kube::client::Body;
use kube::{Client, Config};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that answers addresses.
pub trait Web {
    /// Gets what is at an address; anything but a success is an error.
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String>>;
}

/// The web itself, by the HTTP client that talks to clusters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Internet;

impl Web for Internet {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            tokio::time::timeout(PATIENCE, get(url))
                .await
                .unwrap_or_else(|_| bail!("no answer within {} s", PATIENCE.as_secs()))
        })
    }
}

async fn get(url: &str) -> Result<String> {
    let uri: Uri = url.parse()?;
    let (Some(scheme), Some(host)) = (uri.scheme(), uri.authority()) else {
        bail!("not an address with scheme and host");
    };
    let base = Uri::builder()
        .scheme(scheme.clone())
        .authority(host.clone())
        .path_and_query("/")
        .build()?;
    let client = Client::try_from(Config::new(base)).context("failed to make an HTTP client")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(
            header::USER_AGENT,
            concat!("stackgate/", env!("CARGO_PKG_VERSION")),
        )
        .body(Body::empty())?;
    let response = client.send(request).await?;
    if let Some(why) = refusal(&response) {
        bail!(why);
    }
    let body = response.into_body().collect_bytes().await?;
    Ok(String::from_utf8(body.to_vec())?)
}

/// Why a response is no answer; of a rate limit, when it ends.
fn refusal<B>(response: &Response<B>) -> Option<String> {
    let status = response.status();
    if status == StatusCode::OK {
        return None;
    }
    let told = |name: &str| response.headers().get(name)?.to_str().ok();
    let spent = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && told("x-ratelimit-remaining") == Some("0"));
    if !spent {
        return Some(format!("answered {status}"));
    }
    let reset = told("x-ratelimit-reset").and_then(|text| text.parse().ok());
    let until = reset.and_then(|second| Timestamp::from_second(second).ok());
    let until = until.map_or_else(String::new, |until| format!(", until {until}"));
    Some(format!("answered {status}: its rate limit is spent{until}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_the_end_of_a_rate_limit() {
        let response = |status: u16, headers: &[(&str, &str)]| {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            refusal(&response.body(()).unwrap())
        };
        assert_eq!(response(200, &[]), None);
        assert_eq!(response(404, &[]).unwrap(), "answered 404 Not Found");
        let spent = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1767225600"),
        ];
        assert_eq!(
            response(403, &spent).unwrap(),
            "answered 403 Forbidden: its rate limit is spent, until 2026-01-01T00:00:00Z"
        );
        assert_eq!(response(403, &[]).unwrap(), "answered 403 Forbidden");
        assert_eq!(
            response(429, &[]).unwrap(),
            "answered 429 Too Many Requests: its rate limit is spent"
        );
    }
}
