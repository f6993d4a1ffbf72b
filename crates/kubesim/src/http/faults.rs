//! What goes wrong between a client and the API server: connections, refusals, watches, pauses.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Method, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tokio::time::Instant;

use super::query::Query;
use super::respond::{self, Body};
use crate::admission::Unanswering;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::fault::Fault;
use crate::random::Random;

/// How long an API server that goes away stays away.
const AWAY: Duration = Duration::from_secs(30);
/// The longest pause before a slow answer.
const SLOW: Duration = Duration::from_secs(2);
/// Which share of requests meets a fault that hits some of them.
const SOME: f64 = 0.3;
/// A cut watch ends after at most so many events.
const EVENTS: usize = 5;

/// The API server was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable(&'static str);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unreachable {}

impl From<Unreachable> for std::io::Error {
    /// As a connection over a network fails.
    fn from(error: Unreachable) -> Self {
        let kind = match error {
            REFUSED => std::io::ErrorKind::ConnectionRefused,
            _ => std::io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Nobody listens.
const REFUSED: Unreachable = Unreachable("tcp connect error: Connection refused");

/// What the faults of one cluster's connections remember.
#[derive(Debug)]
pub(crate) struct Transport {
    random: Random,
    away_since: Option<Instant>,
}

impl Transport {
    pub(crate) fn new(random: &Random) -> Self {
        Self {
            random: random.fork("transport"),
            away_since: None,
        }
    }
}

/// A request as far as it matters here.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub query: &'a Query,
}

impl Asked<'_> {
    fn is_watch(&self) -> bool {
        self.method == Method::GET && self.query.is_set("watch")
    }

    fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(self.method)
    }
}

/// Answers a request, or lets it meet what is in force on the cluster.
pub(super) async fn around(
    cluster: &Cluster,
    asked: &Asked<'_>,
    answer: impl FnOnce() -> Response<Body>,
) -> Result<Response<Body>, Unreachable> {
    reach(cluster)?;
    if cluster.faults().are_any() {
        if is(cluster, Fault::Slow) {
            let pause = cluster.transport().random.between(Duration::ZERO, SLOW);
            cluster.faults().note(Fault::Slow);
            tokio::time::sleep(pause).await;
            reach(cluster)?;
        }
        if let Some(refusal) = refusal(cluster, asked) {
            return Ok(refusal);
        }
    }
    let answer = answer();
    // A watch that begins in peace may be hit later.
    if asked.is_watch() && answer.status().is_success() {
        return Ok(answer.map(|body| watched(cluster.clone(), body)));
    }
    Ok(answer)
}

fn is(cluster: &Cluster, fault: Fault) -> bool {
    cluster.faults().is_on(fault, cluster.name())
}

/// Whether a request meets a fault that hits some of them.
fn some(cluster: &Cluster, fault: Fault) -> bool {
    let hit = is(cluster, fault) && cluster.transport().random.chance(SOME);
    if hit {
        cluster.faults().note(fault);
    }
    hit
}

fn reach(cluster: &Cluster) -> Result<(), Unreachable> {
    if !cluster.is_running() || is_away(cluster) {
        return Err(REFUSED);
    }
    if is(cluster, Fault::CertificateExpired) {
        cluster.faults().note(Fault::CertificateExpired);
        return Err(Unreachable(
            "invalid peer certificate: certificate expired: verified against the current time",
        ));
    }
    Ok(())
}

/// Whether the API server is away: once, from the moment at which somebody notices.
fn is_away(cluster: &Cluster) -> bool {
    is(cluster, Fault::ApiServerAway) && {
        let mut transport = cluster.transport();
        let since = *transport.away_since.get_or_insert_with(Instant::now);
        cluster.faults().note(Fault::ApiServerAway);
        since.elapsed() < AWAY
    }
}

fn refusal(cluster: &Cluster, asked: &Asked<'_>) -> Option<Response<Body>> {
    if some(cluster, Fault::Throttled) {
        let error = ApiError::new(
            429,
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        );
        let mut response = respond::refusal(&error);
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(response);
    }
    if asked.is_watch()
        && asked.query.text("resourceVersion") != Some("0")
        && some(cluster, Fault::Gone)
    {
        let status = ApiError::new(
            410,
            "Expired",
            "The resourceVersion for the provided watch is too old.",
        );
        let event = json!({"type": "ERROR", "object": status.status()});
        return Some(respond::bytes(
            200,
            "application/json",
            Bytes::from(format!("{event}\n")),
        ));
    }
    if !asked.is_write() {
        return None;
    }
    if is(cluster, Fault::WebhookDown) {
        cluster.faults().note(Fault::WebhookDown);
        let error = Unanswering::error();
        return Some(respond::refusal(&error));
    }
    let updates = asked.method == Method::PUT || asked.method == Method::PATCH;
    if updates && some(cluster, Fault::Conflict) {
        let error = ApiError::new(
            409,
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        );
        return Some(respond::refusal(&error));
    }
    None
}

struct Watched {
    cluster: Cluster,
    body: Body,
    told: usize,
    /// After how many events it is cut, once it is to be.
    cut: Option<usize>,
}

/// A watch's body as faults leave it.
fn watched(cluster: Cluster, body: Body) -> Body {
    let watched = Watched {
        cluster,
        body,
        told: 0,
        cut: None,
    };
    let frames = stream::unfold(watched, |mut watched| async move {
        let frame = watched.next().await?;
        Some((Ok(frame), watched))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Watched {
    async fn next(&mut self) -> Option<Frame<Bytes>> {
        loop {
            let faults = self.cluster.faults().clone();
            if faults.are_any() {
                if reach(&self.cluster).is_err() {
                    return None;
                }
                if is(&self.cluster, Fault::WatchCut) {
                    let random = &mut self.cluster.transport().random;
                    let cut = self.cut.get_or_insert_with(|| 1 + random.below(EVENTS));
                    if self.told >= *cut {
                        faults.note(Fault::WatchCut);
                        return None;
                    }
                }
            }
            let frame = tokio::select! {
                biased;
                () = faults.changed() => continue,
                frame = self.body.frame() => frame?,
            };
            let Ok(frame) = frame;
            self.told += 1;
            if some(&self.cluster, Fault::EventLost) {
                continue;
            }
            return Some(frame);
        }
    }
}
