//! The way from stackgate's clients to a simulated API server: tries again what a server asks to have
//! tried again, and is where faults of the addons' delivery happen.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use kubesim::Cluster;
use tower_service::Service as _;

use super::faults::AddonFault;

/// kube's own policy, whose jitter comes from outside the run's seed: the first pause, the longest, and
/// how often it is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1000));
const RETRIES: u32 = 15;

type Answer = Response<kubesim::http::Body>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client of a cluster in this process, which need not be there yet: until then its connections are
/// refused, as they are while a control plane starts.
pub(super) fn client(
    cluster: impl Fn() -> Option<Cluster> + Send + Sync + 'static,
    addons: &Addons,
) -> Client {
    let wire = Wire {
        cluster: Arc::new(cluster),
        addons: addons.clone(),
    };
    Client::new(wire, "default")
}

/// Which faults of the addons' delivery are in force; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Addons(Arc<Mutex<Forces>>);

#[derive(Debug, Default)]
struct Forces {
    now: BTreeSet<AddonFault>,
    /// Those that have done something.
    happened: BTreeSet<AddonFault>,
}

impl Addons {
    /// From now on these go wrong, and no others.
    pub(super) fn set(&self, faults: BTreeSet<AddonFault>) {
        self.lock().now = faults;
    }

    /// Whether it has ever done something.
    pub(super) fn has_happened(&self, fault: AddonFault) -> bool {
        self.lock().happened.contains(&fault)
    }

    fn is(&self, fault: AddonFault) -> bool {
        self.lock().now.contains(&fault)
    }

    /// Whether it is so now; from then on it is not any more.
    fn once(&self, fault: AddonFault) -> bool {
        self.lock().now.remove(&fault)
    }

    fn note(&self, fault: AddonFault) {
        self.lock().happened.insert(fault);
    }

    fn lock(&self) -> MutexGuard<'_, Forces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Wire {
    cluster: Arc<dyn Fn() -> Option<Cluster> + Send + Sync>,
    addons: Addons,
}

impl tower_service::Service<Request<Body>> for Wire {
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut wire = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let mut pause = PAUSE.0;
            for _ in 0..RETRIES {
                let again = Request::from_parts(parts.clone(), Body::from(body.clone()));
                let answer = wire.ask(again).await?;
                let Some(wanted) = retry(&answer) else {
                    return Ok(answer);
                };
                tokio::time::sleep(wanted.unwrap_or(pause)).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            wire.ask(Request::from_parts(parts, Body::from(body))).await
        })
    }
}

/// Whether the server wants to be asked again, and after which pause when it says so.
fn retry(answer: &Answer) -> Option<Option<Duration>> {
    let again = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if !again.contains(&answer.status()) {
        return None;
    }
    let seconds = answer.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    Some(seconds.map(Duration::from_secs))
}

impl Wire {
    async fn ask(&mut self, request: Request<Body>) -> Result<Answer, BoxError> {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let mut service = (self.cluster)().ok_or_else(refused)?.service();
        let path = request.uri().path().to_owned();
        let applies = *request.method() == Method::PATCH;
        let removes = *request.method() == Method::DELETE;
        let workload = path.starts_with("/apis/apps/v1/namespaces/");
        // What stackgate makes for itself is none of the release's.
        let own = path.contains("/namespaces/stackgate-");
        let leaves = applies && workload && self.addons.is(AddonFault::LeftBehind);
        let skips = applies && self.addons.is(AddonFault::StageSkipped);
        let keeps = removes && !own && self.addons.is(AddonFault::NotPruned);
        if leaves || skips || keeps {
            let live = call(&mut service, bare(Method::GET, &path)?).await?;
            let there = live.status().is_success();
            if there && keeps {
                self.addons.note(AddonFault::NotPruned);
                return Ok(live);
            }
            if there && leaves {
                let would = call(&mut service, dry(request)?).await?;
                if would.status().is_success()
                    && generation(would).await? != generation(live).await?
                {
                    self.addons.note(AddonFault::LeftBehind);
                }
                return call(&mut service, bare(Method::GET, &path)?).await;
            }
            if !there && skips {
                self.addons.note(AddonFault::StageSkipped);
                let body = request.into_body().collect_bytes().await?;
                return Ok(created(kubesim::http::body(body)));
            }
        }
        let answer = call(&mut service, request).await?;
        if applies
            && answer.status().is_success()
            && path.contains("/daemonsets/")
            && self.addons.once(AddonFault::NetworkDeleted)
        {
            self.addons.note(AddonFault::NetworkDeleted);
            call(&mut service, bare(Method::DELETE, &path)?).await?;
        }
        Ok(answer)
    }
}

/// Asks the server; it is out of reach as one over a network is.
async fn call(
    service: &mut kubesim::http::Service,
    request: Request<Body>,
) -> Result<Answer, BoxError> {
    let answer = service.call(request).await;
    Ok(answer.map_err(std::io::Error::from)?)
}

fn bare(method: Method, path: &str) -> Result<Request<Body>, http::Error> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
}

/// The same request, which only asks what would be.
fn dry(request: Request<Body>) -> Result<Request<Body>, http::Error> {
    let (parts, body) = request.into_parts();
    let between = if parts.uri.query().is_some() {
        '&'
    } else {
        '?'
    };
    let mut builder = Request::builder()
        .method(parts.method)
        .uri(format!("{}{between}dryRun=All", parts.uri));
    if let Some(headers) = builder.headers_mut() {
        *headers = parts.headers;
    }
    builder.body(body)
}

/// How often an object's spec has been changed.
async fn generation(answer: Answer) -> Result<Option<i64>, BoxError> {
    let bytes = kubesim::http::bytes(answer.into_body()).await;
    let object: serde_json::Value = serde_json::from_slice(&bytes)?;
    Ok(object["metadata"]["generation"].as_i64())
}

/// What an apply is answered with that was carried out.
fn created(body: kubesim::http::Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::CREATED;
    answer
}
