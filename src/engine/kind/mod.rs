//! Clusters in Docker containers: a management cluster made by kind, workload clusters by Cluster API's
//! docker provider (CAPD).

mod access;
mod balancer;
mod causes;
mod certificates;
mod cleanup;
mod create;
mod disturb;
mod docker;
mod facts;
mod host;
mod images;
mod kept;
mod kind_config;
mod light;
mod management;
mod names;
mod nodes;
mod operator;
mod preflight;
mod providers;
mod record;
mod resumed;
mod variables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use bollard::Docker;
use futures::future::BoxFuture;
use kube::Client;
use kube::config::Kubeconfig;
use serde_json::Value;
use tokio::sync::OnceCell;

pub use cleanup::{clean, clean_kept, others};
pub use names::kept_name_problem;
pub use operator::OperatorOptions;

use super::config::Config;
use super::private::PrivateFolder;
use super::process::Process;
use super::{Disturbance, Engine, EngineError, Kept, Management, Opened, Problem};
use crate::cluster::{Context, Handshakes, Interrupted, Network, Object};
use crate::record::{Blocker, ContainerUse, Finding, Redactor, RunId};
use crate::stack::Infrastructure;
use record::RunRecord;

/// The workload cluster's kubeconfig in the private folder.
const WORKLOAD_KUBECONFIG: &str = "workload.kubeconfig";

/// What happens to the management cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagementMode {
    /// It is made for the run, and goes with it.
    Fresh,
    /// It is made without nodes, as containers of its programs, and goes with the run.
    Light,
    /// It is made, and stays under this name.
    Keep(String),
    /// The one that was kept under this name is used.
    Reuse(String),
}

/// What a run asks of the engine.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// The run.
    pub run: RunId,
    /// kind's own configuration of the management cluster.
    pub kind_config: PathBuf,
    /// The node image of the management cluster.
    pub node_image: String,
    /// The infrastructure provider that the stack is for.
    pub infrastructure: Infrastructure,
    /// The version of Cluster API that the stack asks for, e.g. `v1.12.5`.
    pub components_version: String,
    /// Every other image that the stack needs from Docker: node images, load balancer.
    pub images: Vec<String>,
    /// What happens to the management cluster.
    pub management: ManagementMode,
    /// The Cluster Stack Operator, where it delivers.
    pub operator: Option<OperatorOptions>,
    /// The workload cluster's name, which ends in `-` and the run's id.
    pub workload_cluster: String,
    /// What the machine offers.
    pub config: Config,
}

impl KindOptions {
    /// The management cluster's name in kind.
    fn management_cluster(&self) -> String {
        match &self.management {
            ManagementMode::Fresh | ManagementMode::Light => names::of_run(&self.run),
            ManagementMode::Keep(name) | ManagementMode::Reuse(name) => names::kept_cluster(name),
        }
    }
}

/// The engine `kind`.
pub struct KindEngine {
    options: KindOptions,
    folder: PrivateFolder,
    docker: OnceCell<Docker>,
    /// Read in the preflight, used once.
    manifests: Mutex<Option<Vec<Value>>>,
    /// Talks to the management cluster and to the reader, once there is one.
    session: Mutex<Option<causes::Session>>,
    causes: causes::Causes,
    traces: Mutex<cleanup::Traces>,
    /// Machines whose kubelets were stopped on purpose.
    stopped: Mutex<BTreeSet<String>>,
}

/// kind's and Docker's own words when a cluster or a container of that name is there already.
const TAKEN: [&str; 2] = [
    "already exist for a cluster with the name",
    "is already in use by container",
];

impl KindEngine {
    /// An engine for one run; does nothing yet.
    #[must_use]
    pub fn new(options: KindOptions) -> Self {
        Self {
            folder: PrivateFolder::of(&options.run),
            options,
            docker: OnceCell::new(),
            manifests: Mutex::default(),
            session: Mutex::default(),
            causes: causes::Causes::default(),
            traces: Mutex::default(),
            stopped: Mutex::default(),
        }
    }

    async fn docker(&self) -> Result<&Docker> {
        self.docker
            .get_or_try_init(docker::connect)
            .await
            .context("failed to reach Docker")
    }

    fn run(&self) -> &RunId {
        &self.options.run
    }

    async fn prepare(&self, context: &Context) -> Result<Management, EngineError> {
        let docker = self.docker().await?;
        self.folder.create()?;
        let mut record = RunRecord {
            process: Process::current()?,
            management: self.options.management_cluster(),
            removes_management: matches!(
                self.options.management,
                ManagementMode::Fresh | ManagementMode::Light
            ),
            workload: self.options.workload_cluster.clone(),
        };
        self.folder.save(&record)?;
        if let ManagementMode::Keep(name) = &self.options.management {
            self.claim(docker, name, &mut record).await?;
        }
        lock(&self.traces).network = cleanup::mark_network(docker, &self.folder).await?;
        let manifests = lock(&self.manifests).take();
        let client =
            management::prepare(context, docker, &self.options, &self.folder, manifests).await;
        let keeps = matches!(self.options.management, ManagementMode::Keep(_));
        if keeps && client.as_ref().is_err_and(is_taken) {
            // Somebody out of sight was faster; what is there is theirs.
            record.removes_management = false;
            self.folder.save(&record)?;
        }
        let client = client?;
        if let ManagementMode::Reuse(_) = self.options.management {
            lock(&self.traces).kept = Some(record.management.clone());
        }
        let management = management::enter(context, &client, &self.options, &self.folder).await?;
        *lock(&self.session) = Some((management.client.clone(), context.clone()));
        if keeps {
            // Complete: from now on it outlives the run.
            record.removes_management = false;
            self.folder.save(&record)?;
            lock(&self.traces).kept = Some(record.management);
        }
        Ok(management)
    }

    /// Claims the name under which the cluster is to be kept: until it is complete, what is there under
    /// it goes with this run. When two runs claim it at the same moment, neither gets it.
    async fn claim(&self, docker: &Docker, name: &str, record: &mut RunRecord) -> Result<()> {
        let nodes = docker::nodes(docker).await?;
        if nodes.iter().any(|node| node.cluster == record.management) {
            bail!(
                "failed to make management cluster {name}: it is there already, or another run is making it; use it: --management reuse {name}, or remove it: stackgate clean --kept {name}"
            );
        }
        record.removes_management = true;
        self.folder.save(record)?;
        let claimant = cleanup::claimant(PrivateFolder::records(), self.run(), &record.management);
        if let Some(other) = claimant {
            record.removes_management = false;
            self.folder.save(record)?;
            bail!(
                "failed to make management cluster {name}: run {other} is making it, or ended while it was; wait for it, or remove what it left: stackgate clean {other}"
            );
        }
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        if !self.folder.exists() {
            // Nothing was begun.
            return Ok(());
        }
        let docker = self.docker().await?;
        let claims = cleanup::claims(self.run(), true);
        let owned = cleanup::owned(docker, self.run(), &claims).await?;
        let traces = {
            let mut traces = lock(&self.traces);
            traces
                .volumes
                .extend(owned.into_iter().flat_map(|node| node.volumes));
            traces.clone()
        };
        let clusters = traces.clusters();
        if traces.kept.is_some() {
            // Cluster API goes on working in a cluster that stays, so containers may come anew until the
            // namespace is gone.
            let (released, removed) = futures::join!(
                kept::release(docker, self.run(), &clusters),
                cleanup::remove_containers(docker, self.run(), &claims)
            );
            released.and(removed)?;
        }
        cleanup::remove_containers(docker, self.run(), &claims).await?;
        light::remove_network(docker, self.run()).await?;
        cleanup::remove_network(docker, &self.folder).await?;
        self.folder.remove()
    }

    fn kept(&self) -> Vec<Kept> {
        let cluster = self.options.management_cluster();
        let mut kept = Vec::new();
        for (what, file) in [
            (
                format!("management cluster {cluster}"),
                management::KUBECONFIG,
            ),
            (
                format!("workload cluster {}", self.options.workload_cluster),
                WORKLOAD_KUBECONFIG,
            ),
        ] {
            let path = self.folder.file(file);
            if path.exists() {
                kept.push(Kept {
                    what,
                    command: format!("export KUBECONFIG={}", path.display()),
                });
            }
        }
        kept
    }

    /// The cluster that was made to be kept.
    fn kept_management(&self) -> Option<Kept> {
        let ManagementMode::Keep(name) = &self.options.management else {
            return None;
        };
        let complete = self
            .folder
            .load()
            .is_some_and(|record: RunRecord| !record.removes_management)
            && lock(&self.traces).kept.is_some();
        complete.then(|| Kept {
            what: format!("management cluster {name} for later runs"),
            command: format!(
                "use it: --management reuse {name}; remove it: stackgate clean --kept {name}"
            ),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a cluster could not be made because there is one of its name.
fn is_taken(error: &EngineError) -> bool {
    let told = error.to_string();
    TAKEN.iter().any(|words| told.contains(words))
}

impl Engine for KindEngine {
    fn name(&self) -> &'static str {
        "kind"
    }

    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>> {
        Box::pin(async {
            let (problems, manifests) = preflight::problems(&self.options).await;
            *lock(&self.manifests) = manifests;
            problems
        })
    }

    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async {
            // Dropping what is under way ends kind and what it started.
            tokio::select! {
                biased;
                () = context.interrupt.raised() => Err(Interrupted.into()),
                management = self.prepare(context) => management,
            }
        })
    }

    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(async {
            let cluster = &self.options.workload_cluster;
            let reachable = access::reachable(self.docker().await?, cluster, kubeconfig).await?;
            if self.folder.exists() {
                self.folder
                    .write(WORKLOAD_KUBECONFIG, reachable.as_bytes())?;
            }
            access::client(&reachable).await
        })
    }

    fn disturb<'a>(&'a self, disturbance: Disturbance<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.disturb_now(disturbance))
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Opened>> {
        // They are reached all the time, with what lies in the private folder.
        let clusters = self
            .folder
            .reaches([management::KUBECONFIG, WORKLOAD_KUBECONFIG]);
        Box::pin(async {
            Ok(Opened {
                clusters,
                ..Opened::default()
            })
        })
    }

    fn containers(&self) -> BoxFuture<'_, Option<Vec<(String, ContainerUse)>>> {
        Box::pin(async {
            let used = async {
                let docker = self.docker().await?;
                let claims = cleanup::claims(self.run(), true);
                let nodes = cleanup::owned(docker, self.run(), &claims).await?;
                anyhow::Ok(nodes::uses(docker, nodes).await)
            };
            // Who does not answer now is asked again.
            Some(used.await.unwrap_or_default())
        })
    }

    fn private(&self) -> Option<PathBuf> {
        self.folder.exists().then(|| self.folder.path().to_owned())
    }

    fn remains(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.left().await.map(drop) })
    }

    fn rejoin<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(self.take_over(context))
    }

    fn workload_kubeconfig(&self) -> Option<PathBuf> {
        let file = self.folder.file(WORKLOAD_KUBECONFIG);
        file.is_file().then_some(file)
    }

    fn handshakes(&self) -> Option<Arc<dyn Handshakes>> {
        let kubeconfig = Kubeconfig::read_from(self.workload_kubeconfig()?).ok()?;
        Some(Arc::new(Network::of(&kubeconfig)))
    }

    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        Box::pin(async {
            match self.docker().await {
                Ok(docker) => facts::properties(docker, &self.options).await,
                Err(_) => Vec::new(),
            }
        })
    }

    fn investigate<'a>(
        &'a self,
        _: &'a [Blocker],
        machines: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        Box::pin(async {
            let docker = self.docker().await.ok()?;
            if self.options.management == ManagementMode::Light
                && let Some(down) = light::down(docker, self.run()).await
            {
                return Some(down);
            }
            let session = lock(&self.session).clone();
            if let Some(session) = &session
                && let Some(refused) = balancer::refused(session, &names::of_run(self.run())).await
            {
                return Some(refused);
            }
            let machines = self.undisturbed(machines);
            let found = self.causes.find(docker, session.as_ref(), &machines).await;
            if let Some((_, context)) = session {
                for hint in self.causes.news() {
                    context.note(hint);
                }
            }
            found
        })
    }

    fn collect<'a>(
        &'a self,
        folder: &'a Path,
        redactor: &'a Redactor,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let docker = self.docker().await?;
            let claims = cleanup::claims(self.run(), true);
            let mut nodes = cleanup::owned(docker, self.run(), &claims).await?;
            if let ManagementMode::Keep(_) | ManagementMode::Reuse(_) = self.options.management {
                let cluster = self.options.management_cluster();
                nodes.extend(
                    docker::nodes(docker)
                        .await?
                        .into_iter()
                        .filter(|node| node.cluster == cluster),
                );
                nodes.sort_by(|a, b| a.name.cmp(&b.name));
                nodes.dedup();
            }
            nodes::collect(docker, &nodes, folder, redactor).await
        })
    }

    fn teardown<'a>(
        &'a self,
        _context: &'a Context,
        keep: bool,
    ) -> BoxFuture<'a, Result<Vec<Kept>>> {
        Box::pin(async move {
            if keep {
                return Ok(self.kept());
            }
            let kept = self.kept_management();
            self.remove().await?;
            Ok(kept.into_iter().collect())
        })
    }

    fn leftovers(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let claims = cleanup::claims(self.run(), true);
            let traces = lock(&self.traces).clone();
            cleanup::leftovers(self.docker().await?, self.run(), &claims, &traces).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_took_is_told_from_other_failures() {
        let error = |told: &str| {
            EngineError::from(anyhow::anyhow!("{told}").context("failed to create cluster a"))
        };
        for taken in [
            "ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"a\"",
            "docker: Error response from daemon: Conflict. The container name \"/a-control-plane\" is already in use by container \"1\".",
        ] {
            assert!(is_taken(&error(taken)), "{taken}");
        }
        assert!(!is_taken(&error("ERROR: failed to init node with kubeadm")));
        assert!(!is_taken(&EngineError::Interrupted(Interrupted)));
    }
}
