//! An API server for unit tests that serves ConfigMaps: lists them and tells watches of their changes,
//! or does what a broken one does.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{Context, Interrupt, Kind, View};
use crate::record::{Clock, Recorder, RunId, What, read};

/// How long the server takes to say what it says late: longer than a watch is waited for.
const LATE: Duration = Duration::from_secs(1);

/// What the server serves.
pub const CONFIG_MAP: Kind = Kind::new("", "v1", "ConfigMap", "configmaps");

/// How the server answers from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    #[default]
    Well,
    /// Lists never come; watches stay silent.
    Hangs,
    /// With an error.
    Refuses,
    /// Lists come; watches are forbidden.
    ForbidsWatches,
    /// The same, but it takes a while to say so.
    ForbidsWatchesLate,
}

#[derive(Clone, Default)]
struct State {
    mode: Mode,
    revision: u64,
    objects: Vec<Value>,
    /// What watches are told, by revision.
    events: Vec<(u64, Value)>,
    lists: usize,
    watches: usize,
    /// How often the connections of all watches have died.
    deaths: usize,
}

/// The server; clones are the same.
#[derive(Clone)]
pub struct Server(watch::Sender<State>);

impl Server {
    /// One that is well and holds nothing.
    pub fn new() -> Self {
        Self(watch::Sender::new(State {
            revision: 1,
            ..State::default()
        }))
    }

    /// Changes how it answers; requests under way stay as they are.
    pub fn turn(&self, mode: Mode) {
        self.0.send_modify(|state| state.mode = mode);
    }

    /// Adds an object and tells the watches.
    pub fn add(&self, name: &str) {
        self.put(name, true);
    }

    /// Adds an object whose event gets lost.
    pub fn add_silently(&self, name: &str) {
        self.put(name, false);
    }

    /// Removes an object whose event gets lost.
    pub fn remove_silently(&self, name: &str) {
        self.0.send_modify(|state| {
            state.revision += 1;
            let own = |object: &Value| object["metadata"]["name"] == name;
            state.objects.retain(|object| !own(object));
        });
    }

    /// The watches so far are told nothing any more, without an end.
    pub fn kill_watches(&self) {
        self.0.send_modify(|state| state.deaths += 1);
    }

    fn put(&self, name: &str, tell: bool) {
        self.0.send_modify(|state| {
            state.revision += 1;
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": name, "namespace": "demo", "resourceVersion": state.revision.to_string()}});
            state.objects.push(object.clone());
            if tell {
                let event = json!({"type": "ADDED", "object": object});
                state.events.push((state.revision, event));
            }
        });
    }

    /// How often it was asked for a list.
    pub fn lists(&self) -> usize {
        self.0.borrow().lists
    }

    /// How often it was asked for a watch.
    pub fn watches(&self) -> usize {
        self.0.borrow().watches
    }

    /// A view of it, as one of `cluster`.
    pub fn view(&self, cluster: &'static str) -> View {
        View::start(cluster, &self.client(), &[(CONFIG_MAP, "demo")])
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(&request.uri().to_string()).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, path: &str) -> Response<Body> {
        let watches = path.contains("watch=true");
        self.0.send_modify(|state| match watches {
            true => state.watches += 1,
            false => state.lists += 1,
        });
        let state = self.0.borrow().clone();
        match state.mode {
            Mode::Hangs => pending().await,
            Mode::Refuses => {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "message": "etcd is on holiday", "reason": "ServiceUnavailable", "code": 503});
                response(503, status.to_string())
            }
            Mode::ForbidsWatches | Mode::ForbidsWatchesLate if watches => {
                if state.mode == Mode::ForbidsWatchesLate {
                    tokio::time::sleep(LATE).await;
                }
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "message": "you cannot watch", "reason": "Forbidden", "code": 403});
                response(403, status.to_string())
            }
            Mode::Well if watches => self.events(since(path)).await,
            Mode::Well | Mode::ForbidsWatches | Mode::ForbidsWatchesLate => {
                let list = json!({"kind": "ConfigMapList", "apiVersion": "v1",
                    "metadata": {"resourceVersion": state.revision.to_string()},
                    "items": state.objects});
                response(200, list.to_string())
            }
        }
    }

    /// A watch that ends after the next events: clients begin the next one from there.
    async fn events(&self, since: u64) -> Response<Body> {
        let mut states = self.0.subscribe();
        let news = |state: &State| {
            let new = state.events.iter().filter(|(at, _)| *at > since);
            new.map(|(_, event)| format!("{event}\n"))
                .collect::<String>()
        };
        let deaths = states.borrow().deaths;
        let told = states
            .wait_for(|state| state.deaths == deaths && !news(state).is_empty())
            .await;
        // The sender lives in self, so waiting cannot fail.
        let told = told.map(|state| news(&state)).unwrap();
        response(200, told)
    }
}

fn response(code: u16, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn since(path: &str) -> u64 {
    let query = path.split_once('?').unwrap().1;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("resourceVersion="))
        .and_then(|revision| revision.parse().ok())
        .unwrap()
}

/// A run to wait in.
pub struct Run {
    pub context: Context,
    _folder: TempDir,
}

impl Run {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(
            folder.path(),
            Clock::starting_at(jiff::Timestamp::UNIX_EPOCH),
            vec![],
        )
        .unwrap();
        Self {
            context: Context::new(RunId::random(), recorder, Interrupt::default(), 1.0),
            _folder: folder,
        }
    }

    /// Every event so far.
    pub fn events(&self) -> Vec<What> {
        let events = read(self.context.recorder.path()).unwrap();
        events.map(|event| event.unwrap().what).collect()
    }
}
