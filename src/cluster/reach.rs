//! Riding out an API server that is away for a moment: a control plane of one machine is, while its machine
//! is replaced or its API server starts anew, and so is an admission webhook whose pod moves.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower_service::Service;

/// For how long one absence is ridden out. Who is away for longer is not there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pauses between attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// What API servers answer while an admission webhook is out of reach.
pub const WEBHOOK_AWAY: &str = "failed calling webhook";

/// Whether an error says that an admission webhook is out of reach, which refuses every write.
#[must_use]
pub fn is_webhook_away(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains(WEBHOOK_AWAY))
}

/// How well an API server is reached; clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Reach(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Since when nothing answers.
    server: Option<Instant>,
    /// Since when no write passes the admission webhooks.
    webhook: Option<Instant>,
    /// When it was last so.
    last: Option<Instant>,
}

/// Who is away.
#[derive(Clone, Copy)]
enum Away {
    Server,
    Webhook,
}

impl Reach {
    /// A client that asks again while a request certainly did nothing: the server was not reached, or a
    /// webhook that was out of reach kept it from being carried out; at most for a minute of one absence,
    /// whichever requests meet it.
    #[must_use]
    pub fn patient(&self, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let patient = Patient {
            client: client.clone(),
            reach: self.clone(),
        };
        Client::new(patient, namespace)
    }

    /// Whether somebody was away at some time since then.
    #[must_use]
    pub fn was_lost_since(&self, then: Instant) -> bool {
        self.known().last.is_some_and(|last| last >= then)
    }

    /// Somebody is away; whether it is worth to ask again.
    fn lost(&self, who: Away) -> bool {
        let now = Instant::now();
        let known = &mut *self.known();
        known.last = Some(now);
        let since = match who {
            Away::Server => &mut known.server,
            Away::Webhook => &mut known.webhook,
        };
        now - *since.get_or_insert(now) < PATIENCE
    }

    fn found(&self, by: &Method) {
        let mut known = self.known();
        known.server = None;
        if !is_read(by) {
            known.webhook = None;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Patient {
    client: Client,
    reach: Reach,
}

impl Service<Request<Body>> for Patient {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { client, reach } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let mut pause = PAUSE.0;
            loop {
                let again = Request::from_parts(parts.clone(), Body::from(body.clone()));
                let (outcome, away) = match client.send(again).await {
                    Ok(answer) => webhook_away(answer).await?,
                    Err(error) => {
                        let away = is_unreached(&error, &parts.method).then_some(Away::Server);
                        (Err(error), away)
                    }
                };
                match away {
                    None => {
                        reach.found(&parts.method);
                        return outcome;
                    }
                    Some(who) if !reach.lost(who) => return outcome,
                    Some(_) => {}
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        })
    }
}

type Outcome = (Result<Response<Body>, kube::Error>, Option<Away>);

/// An answer, and whether it says that a webhook is away.
async fn webhook_away(answer: Response<Body>) -> Result<Outcome, kube::Error> {
    if answer.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return Ok((Ok(answer), None));
    }
    let (parts, body) = answer.into_parts();
    let body = body.collect_bytes().await?;
    let away = String::from_utf8_lossy(&body).contains(WEBHOOK_AWAY);
    let answer = Response::from_parts(parts, Body::from(body));
    Ok((Ok(answer), away.then_some(Away::Webhook)))
}

fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

/// Whether a request did not reach its server. What was written may have been carried out once there was a
/// connection, so that only what is read is asked for again then.
fn is_unreached(error: &kube::Error, method: &Method) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
    };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return match error.kind() {
                ConnectionRefused | HostUnreachable | NetworkUnreachable => true,
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut
                | UnexpectedEof => is_read(method),
                _ => false,
            };
        }
        source = error.source();
    }
    // The connection ended in the middle of an answer.
    matches!(error, kube::Error::HyperError(_)) && is_read(method)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use kube::api::PostParams;
    use serde_json::json;

    use super::*;

    /// A server that fails like this for some seconds from its first request on.
    fn server(seconds: u64, fails: fn() -> Result<(u16, String), Error>) -> Client {
        let began: Arc<Mutex<Option<Instant>>> = Arc::default();
        let service = tower::service_fn(move |_: Request<Body>| {
            let since = *began.lock().unwrap().get_or_insert_with(Instant::now);
            let answer = if since.elapsed() < Duration::from_secs(seconds) {
                fails()
            } else {
                Ok((200, json!({"metadata": {"name": "n"}}).to_string()))
            };
            let answer = answer.map(|(code, text)| {
                let mut response = Response::new(Body::from(text.into_bytes()));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                response
            });
            std::future::ready(answer)
        });
        Client::new(service, "default")
    }

    fn refused() -> Result<(u16, String), Error> {
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn reset() -> Result<(u16, String), Error> {
        Err(ErrorKind::ConnectionReset.into())
    }

    fn no_webhook() -> Result<(u16, String), Error> {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
            "reason": "InternalError", "message": "Internal error occurred: failed calling webhook \"a\": no"});
        Ok((500, status.to_string()))
    }

    async fn get(client: &Client) -> Result<Namespace, kube::Error> {
        Api::<Namespace>::all(client.clone()).get("n").await
    }

    async fn create(client: &Client) -> Result<Namespace, kube::Error> {
        let api = Api::<Namespace>::all(client.clone());
        api.create(&PostParams::default(), &Namespace::default())
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_minute_without_a_server_is_ridden_out_and_known() {
        let (reach, began) = (Reach::default(), Instant::now());
        let client = reach.patient(&server(30, refused));
        create(&client).await.unwrap();
        get(&client).await.unwrap();
        assert!(reach.was_lost_since(began));
        assert!(!reach.was_lost_since(Instant::now()));
        let waited = began.elapsed().as_secs();
        assert!((30..33).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_come_back_is_waited_for_once_by_all_together() {
        let (reach, began) = (Reach::default(), Instant::now());
        let client = reach.patient(&server(3600, refused));
        let (one, other) = futures::join!(get(&client), create(&client));
        assert!(one.is_err() && other.is_err());
        get(&client).await.unwrap_err();
        assert!(began.elapsed() < PATIENCE + 2 * PAUSE.1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_carried_out_is_not_asked_for_twice() {
        let reach = Reach::default();
        let client = reach.patient(&server(5, reset));
        create(&client).await.unwrap_err();
        get(&client).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_that_comes_back_is_waited_for_and_another_failure_is_none() {
        let (reach, began) = (Reach::default(), Instant::now());
        let client = reach.patient(&server(20, no_webhook));
        create(&client).await.unwrap();
        assert!(began.elapsed().as_secs() >= 20 && reach.was_lost_since(began));
        let gone = Reach::default().patient(&server(3600, no_webhook));
        assert!(is_webhook_away(&create(&gone).await.unwrap_err()));
        let broken = Reach::default();
        let client = broken.patient(&server(3600, || Ok((500, "{}".to_owned()))));
        let began = Instant::now();
        create(&client).await.unwrap_err();
        assert!(!broken.was_lost_since(began));
    }
}
