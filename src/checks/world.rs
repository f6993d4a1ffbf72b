//! A cluster and a run for unit tests: an API server whose answers the test makes up.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Shared, Target};
use crate::cluster::{Context, Interrupt};
use crate::record::{Clock, Recorder, RunId, What, read};

/// What a test's checks live in.
pub struct World {
    pub context: Context,
    pub client: Client,
    shared: Shared,
    requests: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl World {
    /// `answer` is given the method and the path with its query.
    pub fn new(answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (requests.clone(), Arc::new(answer));
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let path = request.uri().to_string();
            log.lock()
                .unwrap()
                .push(format!("{} {path}", request.method()));
            // Nothing changes here.
            let watches = path.contains("watch=true");
            let (code, body) = if watches {
                (200, Value::Null)
            } else {
                answer(request.method().as_str(), &path)
            };
            let body = match body {
                Value::String(text) => text,
                json => json.to_string(),
            };
            let mut response = http::Response::new(Body::from(body.into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move {
                if watches {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(
            folder.path(),
            Clock::starting_at(jiff::Timestamp::UNIX_EPOCH),
            vec![],
        )
        .unwrap();
        Self {
            context: Context::new(RunId::random(), recorder, Interrupt::default(), 1.0),
            client: Client::new(service, "default"),
            shared: Shared::default(),
            requests,
            _folder: folder,
        }
    }

    /// The world as a check's target, without addons and management cluster.
    pub fn target(&self) -> Target<'_> {
        Target {
            context: &self.context,
            workload: &self.client,
            management: None,
            kubernetes: "v1.35.0",
            upgraded_from: None,
            addons: &[],
            dropped: &[],
            tools_image: "tools:v1",
            ok_to_fail: &[],
            parameters: &Value::Null,
            shared: &self.shared,
        }
    }

    /// Every request so far, as `METHOD path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Every event so far.
    pub fn events(&self) -> Vec<What> {
        let events = read(self.context.recorder.path()).unwrap();
        events.map(|event| event.unwrap().what).collect()
    }
}

/// The API server's way to say no.
pub fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "no", "reason": reason, "code": code});
    (code, status)
}

/// A list of objects.
pub fn list(kind: &str, items: Value) -> (u16, Value) {
    let list = json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
    (200, list)
}
