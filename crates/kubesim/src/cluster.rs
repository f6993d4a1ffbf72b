//! One simulated cluster: its store, its API, its controllers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::AbortHandle;

use crate::admission::{Admission, PodSecurity, Unanswering};
use crate::clock::Clock;
use crate::controller::{Key, Manager};
use crate::error::ApiError;
use crate::fault::Faults;
use crate::http::Transport;
use crate::kubelet::machine::Machines;
use crate::logs::Logs;
use crate::random::Random;
use crate::registry::Registry;
use crate::server::Server;
use crate::store::{Store, lock};

/// How many failures of controllers are remembered.
const FAILURES: usize = 200;

struct Inner {
    name: String,
    registry: Registry,
    machines: Machines,
    server: Server,
    task: Mutex<Option<AbortHandle>>,
    failures: Mutex<VecDeque<String>>,
    faults: Faults,
    transport: Mutex<Transport>,
}

/// A cluster; clones are the same.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&self.0.name).finish()
    }
}

impl Cluster {
    pub(crate) fn new(
        name: &str,
        clock: Clock,
        random: Random,
        faults: Faults,
        machines: Machines,
    ) -> Self {
        let registry = Registry::new(clock, random.clone());
        let unanswering = Unanswering::new(name, faults.clone());
        registry.admissions().add(Arc::new(unanswering));
        let pod_security = PodSecurity::new(registry.store().clone());
        registry.admissions().add(Arc::new(pod_security));
        Self(Arc::new(Inner {
            name: name.to_owned(),
            server: Server::new(&random),
            faults,
            transport: Mutex::new(Transport::new(&random)),
            registry,
            machines,
            task: Mutex::default(),
            failures: Mutex::default(),
        }))
    }

    /// Its name in the simulation.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its API, called in process: what controllers use.
    #[must_use]
    pub fn api(&self) -> &Registry {
        &self.0.registry
    }

    /// Asks this about every write from now on, after those that are asked already.
    pub fn admission(&self, admission: Arc<dyn Admission>) {
        self.0.registry.admissions().add(admission);
    }

    /// What goes wrong, with this cluster among others.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    pub(crate) fn transport(&self) -> MutexGuard<'_, Transport> {
        lock(&self.0.transport)
    }

    /// The machines that its kubelets run on.
    #[must_use]
    pub fn machines(&self) -> &Machines {
        &self.0.machines
    }

    /// Its API server: version, health, logs, kubelet configurations.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.0.server
    }

    /// From now on its API server is of this version, e.g. `v1.35.0`.
    pub fn set_version(&self, version: &str) {
        self.0.server.set_version(version);
    }

    /// What its containers have printed.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        self.0.server.logs()
    }

    /// Its objects.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.0.registry.store()
    }

    /// Its API as a `tower::Service`, e.g. for `kube::Client::new(cluster.service(), "default")`.
    #[must_use]
    pub fn service(&self) -> crate::http::Service {
        crate::http::Service::new(self.clone())
    }

    /// Whether its API server still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.0.task)
            .as_ref()
            .is_some_and(|task| !task.is_finished())
    }

    /// The last failures of its controllers, the newest last.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        lock(&self.0.failures).iter().cloned().collect()
    }

    pub(crate) fn run(&self, manager: Manager) {
        let task = tokio::spawn(manager.run());
        *lock(&self.0.task) = Some(task.abort_handle());
    }

    pub(crate) fn end(&self) {
        if let Some(task) = lock(&self.0.task).take() {
            task.abort();
        }
    }

    pub(crate) fn note_failure(&self, controller: &str, key: &Key, error: &ApiError) {
        let mut failures = lock(&self.0.failures);
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back(format!(
            "{controller} {}/{}: {error}",
            key.namespace, key.name
        ));
    }
}
