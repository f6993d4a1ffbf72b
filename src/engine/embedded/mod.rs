//! Clusters in this process: simulated Kubernetes and Cluster API, in virtual time, the same for the
//! same seed. A run on them is a rehearsal, not a gate on real clusters.

pub mod faults;
mod patches;
mod scenarios;
mod wire;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use kubesim::{Options, Simulation, capi, controllers};
use serde_json::json;

use super::{Engine, EngineError, Kept, Management, Problem};
use crate::cluster::{Context, Object};
use crate::record::{Blocker, Finding, Phase, RunId};
use faults::{Act, Injected};
use wire::Addons;

/// The management cluster's name in the simulation.
const MANAGEMENT: &str = "management";

/// What a run asks of the engine.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The run.
    pub run: RunId,
    /// What all randomness comes from.
    pub seed: u64,
    /// What is made to go wrong, and when.
    pub faults: Vec<Injected>,
    /// The workload cluster's name.
    pub workload_cluster: String,
}

/// The engine `embedded`.
pub struct EmbeddedEngine {
    options: EmbeddedOptions,
    addons: Addons,
    /// The clusters, once there are any.
    simulation: Mutex<Option<Simulation>>,
    entered: Mutex<Vec<Phase>>,
}

impl EmbeddedEngine {
    /// An engine for one run; does nothing yet.
    #[must_use]
    pub fn new(options: EmbeddedOptions) -> Self {
        Self {
            options,
            addons: Addons::default(),
            simulation: Mutex::default(),
            entered: Mutex::default(),
        }
    }

    fn simulation(&self) -> Option<Simulation> {
        lock(&self.simulation).clone()
    }

    /// The run's own namespace on the management cluster.
    fn namespace(&self) -> String {
        format!("stackgate-{}", self.options.run)
    }

    /// The workload cluster's name in the simulation.
    fn workload(&self) -> String {
        capi::workload_name(&self.namespace(), &self.options.workload_cluster)
    }

    async fn prepare(&self, context: &Context) -> Result<Management> {
        let simulation = Simulation::new(&Options {
            seed: self.options.seed,
            epoch: context.now(),
        });
        let providers = capi::Options {
            templates: Some(Arc::new(patches::Patches)),
            ..capi::Options::default()
        };
        let mut all = controllers::all();
        all.extend(capi::controllers(&providers));
        let cluster = simulation.add_cluster(MANAGEMENT, all);
        capi::install(&cluster, &providers);
        *lock(&self.simulation) = Some(simulation.clone());
        for phase in lock(&self.entered).iter() {
            self.inject(&simulation, *phase);
        }
        let there = cluster.clone();
        let client = wire::client(move || Some(there.clone()), &Addons::default());
        let namespace = self.namespace();
        let object: Namespace = serde_json::from_value(json!({
            "metadata": {"name": namespace, "labels": {"stackgate/run": self.options.run.as_str()}},
        }))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("failed to create namespace {namespace}"))?;
        Ok(Management {
            client,
            // Nothing outside this process reaches it.
            kubeconfig: std::path::PathBuf::new(),
            namespace,
        })
    }

    /// Lets go wrong what is to go wrong from a phase on.
    fn inject(&self, simulation: &Simulation, phase: Phase) {
        let name = self.workload();
        let workload = simulation.cluster(&name);
        for injected in &self.options.faults {
            let Act::Simulated(fault) = injected.fault.act else {
                continue;
            };
            if phase == Phase::CheckBefore
                && let Some(cluster) = &workload
            {
                scenarios::prepare(fault, cluster);
            }
            if injected.phase != phase {
                continue;
            }
            if let Some(cluster) = &workload {
                scenarios::begin(fault, cluster);
            }
            match scope(injected) {
                Scope::Everywhere => simulation.faults().inject(fault),
                Scope::Workload => simulation.faults().inject_on(fault, &name),
            }
        }
    }

    /// A client of the cluster that a kubeconfig is for.
    fn client_of(&self, kubeconfig: &str) -> Result<Client> {
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig)
            // The parser's message may quote the text, which is a secret.
            .map_err(|_| anyhow!("failed to read the kubeconfig: it is not YAML"))?;
        let server = kubeconfig
            .clusters
            .first()
            .and_then(|named| named.cluster.as_ref()?.server.clone())
            .context("failed to read the kubeconfig: expected clusters[0].cluster.server")?;
        let simulation = self.simulation().context("there are no clusters yet")?;
        let cluster = move || capi::workload(&simulation, &server);
        Ok(wire::client(cluster, &self.addons))
    }
}

/// Which clusters a fault hits.
enum Scope {
    Everywhere,
    Workload,
}

/// Accidents of a connection hit the workload cluster alone where they would otherwise only show that
/// the management cluster cannot be asked.
fn scope(injected: &Injected) -> Scope {
    use kubesim::Fault::{ApiServerAway, CertificateExpired, ClockSkew, WebhookDown};
    match injected.fault.act {
        Act::Simulated(ApiServerAway | CertificateExpired | ClockSkew | WebhookDown) => {
            Scope::Workload
        }
        _ => Scope::Everywhere,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for EmbeddedEngine {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn provider(&self) -> &'static str {
        // The simulated Machines are those of CAPD.
        "docker"
    }

    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>> {
        // It needs nothing but this process.
        Box::pin(async { Vec::new() })
    }

    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async { Ok(self.prepare(context).await?) })
    }

    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(async { self.client_of(kubeconfig) })
    }

    fn entered(&self, phase: Phase) {
        lock(&self.entered).push(phase);
        let here = self.options.faults.iter().filter(|one| one.phase == phase);
        let addons: BTreeSet<_> = here
            .filter_map(|injected| match injected.fault.act {
                Act::Addons(fault) => Some(fault),
                Act::Simulated(_) => None,
            })
            .collect();
        self.addons.set(addons);
        if let Some(simulation) = self.simulation() {
            self.inject(&simulation, phase);
        }
    }

    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        Box::pin(async {
            let faults: Vec<String> = self
                .options
                .faults
                .iter()
                .map(ToString::to_string)
                .collect();
            let mut properties = vec![("seed".to_owned(), self.options.seed.to_string())];
            if !faults.is_empty() {
                properties.push(("faults".to_owned(), faults.join(", ")));
            }
            properties
        })
    }

    fn investigate<'a>(
        &'a self,
        _: &'a [Blocker],
        _: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        // There is no machine beneath the API: what there is to see, the clusters show.
        Box::pin(async { None })
    }

    fn collect<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn teardown<'a>(
        &'a self,
        context: &'a Context,
        keep: bool,
    ) -> BoxFuture<'a, Result<Vec<Kept>>> {
        Box::pin(async move {
            if keep {
                context.note("nothing can be kept: simulated clusters end with this process");
            }
            if let Some(simulation) = self.simulation() {
                simulation.end();
            }
            Ok(Vec::new())
        })
    }

    fn leftovers(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            Ok(self
                .simulation()
                .map(|it| it.clusters())
                .unwrap_or_default())
        })
    }
}
