//! Clusters in this process: simulated Kubernetes and Cluster API, in virtual time, the same for the
//! same seed. A run on them is a rehearsal, not a gate on real clusters.

mod asker;
pub mod faults;
mod handshakes;
mod operator;
mod patches;
mod scenarios;
mod serve;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use kubesim::cso::{self, Operator};
use kubesim::resource::builtin::NAMESPACES;
use kubesim::{ApiError, Cluster, Fault, Options, Simulation, capi, controllers};
use serde_json::json;

use super::{Disturbance, Engine, EngineError, Kept, Management, Opened, Problem, journal};
use crate::cluster::{Context, Handshakes, Object};
use crate::record::{Blocker, Finding, Phase, Redactor, RunId};
use crate::stack::{Infrastructure, Release, Version};
pub use asker::Tools;
use faults::{Act, AddonFault, Injected, OperatorFault};
pub use handshakes::Simulated;
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
    /// Which images no registry has.
    pub missing_images: Vec<String>,
    /// The workload cluster's name.
    pub workload_cluster: String,
    /// The infrastructure provider of the management cluster.
    pub infrastructure: Infrastructure,
}

/// The engine `embedded`.
pub struct EmbeddedEngine {
    options: EmbeddedOptions,
    addons: Addons,
    /// The Cluster Stack Operator and the names of the classes of its releases, where it delivers.
    operator: Option<(Operator, Vec<String>)>,
    /// The clusters, once there are any.
    simulation: Mutex<Option<Simulation>>,
    entered: Mutex<Vec<Phase>>,
    /// What became of the scenarios that faults need to show.
    staged: Mutex<Staged>,
}

/// What became of the scenarios that faults need to show.
#[derive(Debug, Default)]
struct Staged {
    /// Whether an addon was deleted behind the operator's back.
    drifted: bool,
    /// What could not be set up, by the fault's name.
    failed: BTreeMap<&'static str, String>,
    /// What others made in the workload cluster, and had not removed when it went.
    left: Vec<String>,
}

impl EmbeddedEngine {
    /// An engine for one run; does nothing yet.
    #[must_use]
    pub fn new(options: EmbeddedOptions) -> Self {
        Self {
            options,
            addons: Addons::default(),
            operator: None,
            simulation: Mutex::default(),
            entered: Mutex::default(),
            staged: Mutex::default(),
        }
    }

    /// The same with a Cluster Stack Operator on the management cluster, whose registry has these
    /// releases, beside this version of Cluster API.
    #[must_use]
    pub fn with_operator(mut self, releases: &[Release], cluster_api: Version) -> Self {
        let classes = releases.iter().map(|release| release.class_name.clone());
        self.operator = Some((operator::operator(releases, cluster_api), classes.collect()));
        self
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
            ..Options::default()
        });
        simulation.programs().install("agnhost", Arc::new(Tools));
        for image in &self.options.missing_images {
            simulation.images().remove(image);
        }
        // A name that never resolves (RFC 2606).
        simulation.images().cut_off("registry.invalid");
        let mut providers = capi::Options {
            infrastructure: match self.options.infrastructure {
                Infrastructure::Docker => capi::provider::DOCKER,
                Infrastructure::OpenStack => capi::provider::OPENSTACK,
            },
            templates: Some(Arc::new(patches::Patches)),
            ..capi::Options::default()
        };
        let mut all = controllers::all();
        if let Some((operator, _)) = &self.operator {
            providers.extensions.push(Arc::new(operator.clone()));
            all.extend(cso::controllers(operator));
        }
        all.extend(capi::controllers(&providers));
        let cluster = simulation.add_cluster(MANAGEMENT, all);
        capi::install(&cluster, &providers);
        if let Some((operator, _)) = &self.operator {
            cso::install(&cluster, operator).context("failed to install the operator")?;
        }
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
            let here = injected.phase == phase;
            let fault = match injected.fault.act {
                Act::Simulated(fault) => fault,
                Act::Addons(fault) if here => {
                    self.hit_operator(addon_fault(fault));
                    continue;
                }
                Act::Operator(fault) if here => {
                    self.operate(injected, fault, workload.as_ref());
                    continue;
                }
                Act::Addons(_) | Act::Operator(_) => continue,
            };
            if phase == Phase::CheckBefore
                && let Some(cluster) = &workload
            {
                self.stage(injected, scenarios::prepare(fault, cluster));
            }
            if !here {
                continue;
            }
            if let Some(cluster) = &workload {
                self.stage(injected, scenarios::begin(fault, cluster));
            }
            match scope(injected) {
                Scope::Everywhere => simulation.faults().inject(fault),
                Scope::Workload => simulation.faults().inject_on(fault, &name),
            }
        }
    }

    /// Notes what became of a scenario.
    fn stage(&self, injected: &Injected, staged: Result<(), ApiError>) {
        if let Err(error) = staged {
            let failed = &mut lock(&self.staged).failed;
            failed.insert(injected.fault.name, error.message);
        }
    }

    /// What checks and probes made in the workload cluster and did not remove, though they could have. It goes
    /// with the simulation; with a real cluster it would stay.
    fn unremoved(&self, simulation: &Simulation) -> Vec<String> {
        let name = self.workload();
        let Some(cluster) = simulation.cluster(&name) else {
            return Vec::new();
        };
        let faults = simulation.faults();
        // Nobody can remove anything through an API server that is not trusted, or that refuses every write.
        let closed = [Fault::CertificateExpired, Fault::WebhookDown];
        if closed.iter().any(|fault| faults.is_on(*fault, &name)) {
            return Vec::new();
        }
        let namespaces = cluster.api().list(&NAMESPACES, None);
        let made = namespaces.iter().filter(|one| {
            let metadata = &one["metadata"];
            let ours = metadata["labels"].get("stackgate/run").is_some();
            ours && metadata["deletionTimestamp"].is_null()
        });
        made.map(|one| format!("namespace {}", one["metadata"]["name"]).replace('"', ""))
            .collect()
    }

    /// Whether a fault has done anything.
    fn has_happened(&self, injected: &Injected) -> bool {
        let operator = self.operator.as_ref().map(|(operator, _)| operator);
        let of_operator = |fault| operator.is_some_and(|operator| operator.has_happened(fault));
        match injected.fault.act {
            Act::Simulated(fault) => self
                .simulation()
                .is_some_and(|simulation| simulation.faults().has_happened(fault)),
            Act::Addons(fault) => {
                self.addons.has_happened(fault) || of_operator(addon_fault(fault))
            }
            Act::Operator(OperatorFault::Own(fault)) => of_operator(fault),
            Act::Operator(OperatorFault::Remembers) => {
                operator.is_some_and(Operator::has_overlooked_a_hook)
            }
            Act::Operator(OperatorFault::Drift) => lock(&self.staged).drifted,
        }
    }

    fn hit_operator(&self, fault: cso::Fault) {
        if let Some((operator, _)) = &self.operator {
            operator.inject(fault);
        }
    }

    /// What goes wrong with the operator, or with what it would have to look after.
    fn operate(&self, injected: &Injected, fault: OperatorFault, workload: Option<&Cluster>) {
        match fault {
            OperatorFault::Own(fault) => self.hit_operator(fault),
            OperatorFault::Remembers => {
                if let Some((operator, classes)) = &self.operator {
                    for class in classes {
                        let cluster = &self.options.workload_cluster;
                        operator.note_hook(&self.namespace(), cluster, class);
                    }
                }
            }
            OperatorFault::Drift => {
                if let Some(cluster) = workload {
                    let drifted = scenarios::drift(cluster);
                    lock(&self.staged).drifted = drifted.as_ref().is_ok_and(|drifted| *drifted);
                    self.stage(injected, drifted.map(drop));
                }
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

/// What goes wrong with addons, when it is the operator that delivers them.
fn addon_fault(fault: AddonFault) -> cso::Fault {
    match fault {
        AddonFault::LeftBehind => cso::Fault::SkipsSynced,
        AddonFault::StageSkipped => cso::Fault::TemplatesFail,
        AddonFault::NotPruned => cso::Fault::PrunesNothing,
        AddonFault::NetworkDeleted => cso::Fault::PrunesFirstStage,
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

    fn handshakes(&self) -> Option<Arc<dyn Handshakes>> {
        let cluster = self.simulation()?.cluster(&self.workload())?;
        Some(Arc::new(Simulated(cluster)))
    }

    fn entered(&self, phase: Phase) {
        lock(&self.entered).push(phase);
        let here = self.options.faults.iter().filter(|one| one.phase == phase);
        let addons: BTreeSet<_> = here
            .filter_map(|injected| match injected.fault.act {
                Act::Addons(fault) => Some(fault),
                Act::Simulated(_) | Act::Operator(_) => None,
            })
            .collect();
        self.addons.set(addons);
        if let Some(simulation) = self.simulation() {
            self.inject(&simulation, phase);
        }
    }

    fn disturb<'a>(&'a self, disturbance: Disturbance<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let simulation = self.simulation().context("there are no clusters yet")?;
            let cluster = |name: &str| {
                let cluster = simulation.cluster(name);
                cluster.with_context(|| format!("there is no cluster {name}"))
            };
            match disturbance {
                Disturbance::RestartOperator => {
                    let (operator, _) = self.operator.as_ref().context("there is no operator")?;
                    operator.restart(&cluster(MANAGEMENT)?);
                }
                Disturbance::StopKubelet(machine) => {
                    let machines = cluster(&self.workload())?;
                    let name = machine.name();
                    anyhow::ensure!(machines.machines().has(name), "there is no machine {name}");
                    machines.machines().stop_kubelet(name);
                }
            }
            Ok(())
        })
    }

    fn unmet(&self) -> Vec<String> {
        let idle = self.options.faults.iter();
        let idle = idle.filter(|injected| !self.has_happened(injected));
        let faults = idle.map(|injected| {
            let why = lock(&self.staged).failed.get(injected.fault.name).cloned();
            let why = why.map(|why| format!(": it could not be set up: {why}"));
            format!(
                "fault {injected} was given and never happened{}",
                why.unwrap_or_default()
            )
        });
        let simulation = self.simulation();
        let wanted = |image: &&String| {
            let images = simulation.as_ref().map(Simulation::images);
            images.is_some_and(|images| images.was_refused(image))
        };
        let images = self.options.missing_images.iter();
        let unwanted = images.filter(|image| !wanted(image)).map(|image| {
            format!("no registry was to have image {image}, and nothing had to pull it")
        });
        faults.chain(unwanted).collect()
    }

    fn open<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Opened>> {
        let simulation = self.simulation();
        let cluster = |name: &str| simulation.as_ref()?.cluster(name);
        let clusters = [
            ("management", cluster(MANAGEMENT)),
            ("workload", cluster(&self.workload())),
        ];
        Box::pin(serve::open(folder, clusters))
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
            let missing = &self.options.missing_images;
            if !missing.is_empty() {
                properties.push(("missing images".to_owned(), missing.join(", ")));
            }
            properties
        })
    }

    fn investigate<'a>(
        &'a self,
        _: &'a [Blocker],
        machines: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        // All but the words of kubelets that do not start, the clusters show.
        let simulation = self.simulation();
        Box::pin(async move {
            let simulation = simulation?;
            machines.iter().find_map(|machine| {
                // An infrastructure machine is called as its Machine.
                let journal = simulation.kubelet_journal(machine.name());
                journal::unknown_flag(machine, machine.name(), &journal)
            })
        })
    }

    fn collect<'a>(&'a self, _: &'a Path, _: &'a Redactor) -> BoxFuture<'a, Result<()>> {
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
                lock(&self.staged).left = self.unremoved(&simulation);
                simulation.end();
            }
            Ok(Vec::new())
        })
    }

    fn leftovers(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let mut left = lock(&self.staged).left.clone();
            left.extend(self.simulation().into_iter().flat_map(|it| it.clusters()));
            Ok(left)
        })
    }
}
