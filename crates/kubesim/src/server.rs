//! What a cluster's API server is, beside its objects: its version, how it is, its kubelets' logs and
//! configuration.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

#[cfg(feature = "openapi")]
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::authorization::User;
use crate::logs::Logs;
use crate::random::Random;
use crate::store::lock;

/// The version that a cluster has when nobody says otherwise.
pub const VERSION: &str = "v1.35.0";

/// How long kubeadm's certificates are good.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Debug)]
struct State {
    version: String,
    /// Parts that are not well, and why.
    ill: BTreeMap<String, String>,
    kubelet: Value,
    kubelets: BTreeMap<String, Value>,
    tokens: BTreeMap<String, User>,
    certificates: Duration,
    /// Why nothing can be written.
    frozen: Option<String>,
    stands_at: Option<Timestamp>,
}

/// An API server beside its objects.
#[derive(Debug)]
pub struct Server {
    state: Mutex<State>,
    random: Mutex<Random>,
    watched: Notify,
    logs: Logs,
    #[cfg(feature = "openapi")]
    documents: Mutex<BTreeMap<String, (String, Bytes)>>,
}

impl Server {
    pub(crate) fn new(random: &Random) -> Self {
        Self {
            state: Mutex::new(State {
                version: VERSION.to_owned(),
                ill: BTreeMap::new(),
                kubelet: kubelet_configuration(),
                kubelets: BTreeMap::new(),
                tokens: BTreeMap::new(),
                certificates: YEAR,
                frozen: None,
                stands_at: None,
            }),
            random: Mutex::new(random.fork("api-server")),
            watched: Notify::new(),
            logs: Logs::default(),
            #[cfg(feature = "openapi")]
            documents: Mutex::default(),
        }
    }

    /// Its version, e.g. `v1.35.0`.
    #[must_use]
    pub fn version(&self) -> String {
        lock(&self.state).version.clone()
    }

    /// From now on it is of this version.
    pub fn set_version(&self, version: &str) {
        version.clone_into(&mut lock(&self.state).version);
    }

    /// From now on a part of `/readyz` and `/livez` is not well (with why), or well again (none).
    pub fn set_part(&self, part: &str, ill: Option<&str>) {
        let mut state = lock(&self.state);
        match ill {
            Some(why) => state.ill.insert(part.to_owned(), why.to_owned()),
            None => state.ill.remove(part),
        };
    }

    /// Why a part is not well.
    #[must_use]
    pub fn ill(&self, part: &str) -> Option<String> {
        lock(&self.state).ill.get(part).cloned()
    }

    /// The kubelet's configuration on a node.
    #[must_use]
    pub fn kubelet_configuration(&self, node: &str) -> Value {
        let state = lock(&self.state);
        let own = state.kubelets.get(node);
        own.unwrap_or(&state.kubelet).clone()
    }

    /// Sets the kubelet's configuration, on one node or wherever there is none of its own.
    pub fn set_kubelet_configuration(&self, node: Option<&str>, configuration: Value) {
        let mut state = lock(&self.state);
        match node {
            Some(node) => drop(state.kubelets.insert(node.to_owned(), configuration)),
            None => state.kubelet = configuration,
        }
    }

    /// From their issue on the certificates that its servers show are good for so long.
    #[must_use]
    pub fn certificate_period(&self) -> Duration {
        lock(&self.state).certificates
    }

    /// Sets for how long these certificates are good.
    pub fn set_certificate_period(&self, period: Duration) {
        lock(&self.state).certificates = period;
    }

    pub(crate) fn freeze(&self, why: &str) {
        lock(&self.state).frozen = Some(why.to_owned());
    }

    /// Why nothing can be written; none where it can.
    pub(crate) fn frozen(&self) -> Option<String> {
        lock(&self.state).frozen.clone()
    }

    pub(crate) fn stand_at(&self, moment: Option<Timestamp>) {
        lock(&self.state).stands_at = moment;
    }

    pub(crate) fn stands_at(&self) -> Option<Timestamp> {
        lock(&self.state).stands_at
    }

    /// A client begins a watch.
    pub(crate) fn note_watch(&self) {
        if lock(&self.state).frozen.is_some() {
            self.watched.notify_one();
        }
    }

    pub(crate) async fn watched(&self) {
        self.watched.notified().await;
    }

    /// From now on who bears this token is this user.
    pub fn add_token(&self, token: &str, user: User) {
        lock(&self.state).tokens.insert(token.to_owned(), user);
    }

    /// Whose token it is.
    #[must_use]
    pub fn user_of(&self, token: &str) -> Option<User> {
        lock(&self.state).tokens.get(token).cloned()
    }

    /// A document that was made for a state.
    #[cfg(feature = "openapi")]
    pub(crate) fn document(&self, name: &str, state: &str) -> Option<Bytes> {
        let documents = lock(&self.documents);
        let (made_for, document) = documents.get(name)?;
        (made_for == state).then(|| document.clone())
    }

    /// Keeps a document for as long as the state is the same.
    #[cfg(feature = "openapi")]
    pub(crate) fn keep_document(&self, name: &str, state: &str, document: Bytes) {
        lock(&self.documents).insert(name.to_owned(), (state.to_owned(), document));
    }

    /// What containers have printed.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Draws from the server's own randomness.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut lock(&self.random))
    }
}

/// What kubeadm writes, with the kubelet's defaults.
fn kubelet_configuration() -> Value {
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "staticPodPath": "/etc/kubernetes/manifests",
        "address": "0.0.0.0",
        "port": 10250,
        "readOnlyPort": 0,
        "rotateCertificates": true,
        "serverTLSBootstrap": false,
        "protectKernelDefaults": false,
        "authentication": {
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
            "webhook": {"enabled": true, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": false},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
        },
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "streamingConnectionIdleTimeout": "4h0m0s",
        "nodeStatusUpdateFrequency": "10s",
        "nodeLeaseDurationSeconds": 40,
        "cgroupDriver": "systemd",
        "maxPods": 110,
        "podPidsLimit": -1,
        "evictionHard": {
            "imagefs.available": "15%", "memory.available": "100Mi",
            "nodefs.available": "10%", "nodefs.inodesFree": "5%",
        },
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        "makeIPTablesUtilChains": true,
        "seccompDefault": false,
        "tlsMinVersion": "VersionTLS12",
        "enableServer": true,
        "enableDebuggingHandlers": true,
        "failSwapOn": true,
    })
}
