//! One kind of one cluster, listed once and watched from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource as _};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::super::Kind;
use super::super::kinds::SECRET;
use super::super::watch::seen::Seen;
use super::logs::Telling;
use crate::record::{Id, Recording};

/// How long a list may take, with all its pages.
const LIST: Duration = Duration::from_secs(30);
/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// After how many seconds a watch is asked for again: one that has silently died is not missed for longer.
const WATCH: u32 = 300;
/// How long to wait before it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long, when it is not allowed or not there.
const REFUSED: Duration = Duration::from_secs(60);

/// The group of definitions of kinds.
const DEFINITIONS: &str = "apiextensions.k8s.io";

/// What the kinds of a cluster have in common.
pub(super) struct Shared {
    pub(super) cluster: &'static str,
    pub(super) client: Client,
    pub(super) recording: Recording,
    /// Who lists.
    pub(super) lists: Semaphore,
    /// A definition of a kind has changed.
    pub(super) defined: Notify,
    /// The Secrets are listed.
    pub(super) secrets: Notify,
    /// Whose logs are to be read before they are gone.
    pub(super) telling: mpsc::UnboundedSender<Telling>,
}

/// Follows a kind for ever.
pub(super) async fn follow(shared: Arc<Shared>, kind: Kind) {
    let resource = kind.resource();
    let mut following = Following {
        api: Api::all_with(shared.client.clone(), &resource),
        api_version: resource.api_version,
        name: if kind.group.is_empty() {
            kind.plural.to_string()
        } else {
            format!("{}.{}", kind.plural, kind.group)
        },
        kind,
        shared,
        restarts: BTreeMap::new(),
        cordoned: BTreeSet::new(),
    };
    loop {
        let pause = match following.once().await {
            Ok(()) => RETRY,
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404 | 405) => {
                REFUSED
            }
            Err(_) => RETRY,
        };
        tokio::time::sleep(pause).await;
    }
}

struct Following {
    shared: Arc<Shared>,
    kind: Kind,
    api: Api<Seen>,
    api_version: String,
    /// As recordings name it: `deployments.apps`.
    name: String,
    /// How often the containers of each pod have begun.
    restarts: BTreeMap<(String, String), i64>,
    /// The nodes that take no more pods.
    cordoned: BTreeSet<String>,
}

impl Following {
    /// Lists and watches until that fails.
    async fn once(&mut self) -> Result<(), kube::Error> {
        let mut version = {
            let shared = self.shared.clone();
            // The semaphore is never closed.
            let _permit = shared.lists.acquire().await;
            match tokio::time::timeout(LIST, self.api_list()).await {
                Ok(listed) => {
                    let (objects, version) = listed?;
                    for (namespace, name, object) in &objects {
                        self.look_closer(namespace, name, object);
                    }
                    let (cluster, name) = (self.shared.cluster, &self.name);
                    self.shared.recording.listed(cluster, name, objects);
                    version
                }
                Err(_) => return Ok(()),
            }
        };
        if self.kind == SECRET {
            self.shared.secrets.notify_one();
        }
        if self.kind.group == DEFINITIONS {
            self.shared.defined.notify_one();
        }
        let api = self.api.clone();
        loop {
            let params = WatchParams::default().timeout(WATCH);
            let mut watch = pin!(api.watch(&params, &version).await?);
            let begun = tokio::time::Instant::now();
            while let Some(event) = watch.try_next().await? {
                match self.take(event) {
                    Ok(Some(seen)) => version = seen,
                    Ok(None) => {}
                    Err(error) => return Err(error),
                }
            }
            // Watches end now and then; one that ends at once must not be begun without a pause.
            if begun.elapsed() < RETRY {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn api_list(&self) -> Result<(Vec<(String, String, Value)>, String), kube::Error> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = self.api.list(&params).await?;
            objects.extend(page.items.into_iter().map(|object| self.told(object)));
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params = params.continue_token(&token),
                _ => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Takes what a watch tells, and returns up to which version it is told then.
    fn take(&mut self, event: WatchEvent<Seen>) -> Result<Option<String>, kube::Error> {
        // With a node an API server may come or go, which serves what its version does.
        let moved = matches!(event, WatchEvent::Added(_) | WatchEvent::Deleted(_));
        let server = self.name == "nodes" && moved;
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(mark) => return Ok(Some(mark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        let version = object.meta().resource_version.clone();
        let (namespace, name, object) = self.told(object);
        self.look_closer(&namespace, &name, &object);
        let id = Id {
            cluster: self.shared.cluster.to_owned(),
            resource: self.name.clone(),
            namespace,
            name,
        };
        if gone {
            self.shared.recording.gone(&id);
        } else {
            self.shared.recording.object(id, object);
        }
        if self.kind.group == DEFINITIONS || server {
            self.shared.defined.notify_one();
        }
        Ok(version)
    }

    /// Items of a list come without apiVersion and kind.
    fn told(&self, object: Seen) -> (String, String, Value) {
        let meta = object.meta();
        let namespace = meta.namespace.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let mut json = object.json;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("apiVersion".to_owned(), self.api_version.clone().into());
            fields.insert("kind".to_owned(), self.kind.kind.to_string().into());
        }
        (namespace, name, json)
    }

    /// Has logs read that may be gone soon: those of a pod whose containers have begun anew, or ended badly, and those
    /// of a control plane whose node is cordoned, which is how Cluster API begins to replace its Machine.
    fn look_closer(&mut self, namespace: &str, name: &str, object: &Value) {
        let telling = match self.name.as_str() {
            "pods" => {
                let restarts = super::logs::failures(object);
                let key = (namespace.to_owned(), name.to_owned());
                let known = self.restarts.insert(key.clone(), restarts);
                (restarts > known.unwrap_or_default()).then_some(Telling::Failing(key.0, key.1))
            }
            "nodes" if object["spec"]["unschedulable"] == true => self
                .cordoned
                .insert(name.to_owned())
                .then(|| Telling::Leaving(name.to_owned())),
            "nodes" => {
                self.cordoned.remove(name);
                None
            }
            _ => None,
        };
        if let Some(telling) = telling {
            // Who reads them ends together with this.
            let _ = self.shared.telling.send(telling);
        }
    }
}
