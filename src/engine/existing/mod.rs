//! A management cluster that is somebody's, given by a kubeconfig: the run lives in a namespace of its own there, and
//! nothing else is touched. Whatever infrastructure provider it has makes the workload cluster.

mod preflight;
mod removal;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OnceCell;

pub use removal::clean;

use super::names::{RUN_LABEL, of_run, run_of};
use super::private::PrivateFolder;
use super::process::Process;
use super::{Engine, EngineError, Kept, Management, Opened, Problem, access};
use crate::cluster::kinds::{DEPLOYMENT, NAMESPACE};
use crate::cluster::{Context, Handshakes, Interrupted, Network, Object};
use crate::record::{Blocker, Finding, Redactor, RunId};
use crate::stack::Disturbance;

/// The kubeconfigs in the private folder.
const KUBECONFIG: &str = "kubeconfig";
const WORKLOAD_KUBECONFIG: &str = "workload.kubeconfig";
/// The label of Cluster API's providers (`clusterctl` sets it).
const PROVIDER: &str = "cluster.x-k8s.io/provider";

/// What a run asks of the engine.
#[derive(Clone, Debug)]
pub struct ExistingOptions {
    /// The run.
    pub run: RunId,
    /// Reaches the management cluster, with its current context.
    pub kubeconfig: Kubeconfig,
    /// The workload cluster's name, for the reader.
    pub workload_cluster: String,
    /// `apiVersion` and `kind` of what the run will create there.
    pub created: BTreeSet<(String, String)>,
    /// How long the workload cluster may take to go.
    pub teardown: Duration,
}

/// The engine `existing`.
pub struct ExistingEngine {
    options: ExistingOptions,
    folder: PrivateFolder,
    /// Given, or made from the kubeconfig when it is first needed.
    client: OnceCell<Client>,
}

/// What a run tells those who come after it. Written before anything is made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunRecord {
    /// The process that runs it.
    process: Process,
    /// The management cluster, for the reader: the context of its kubeconfig.
    context: String,
}

/// Where a run on this engine has its private folder: beside those of the engine that owns containers.
fn folder_of(run: &RunId) -> PrivateFolder {
    PrivateFolder::named(&format!("{}{SUFFIX}", of_run(run)))
}

/// The kubeconfig with which a run that is not over reaches its management cluster.
#[must_use]
pub fn kubeconfig_of(run: &RunId) -> PathBuf {
    folder_of(run).file(KUBECONFIG)
}

/// Why no upgrade is disturbed in this way on this engine.
#[must_use]
pub fn refusal(disturbance: Disturbance) -> String {
    let why = match disturbance {
        Disturbance::OperatorRestartedAtAddons | Disturbance::OperatorRestartedAtMachines => {
            "the Cluster Stack Operator there is somebody's, and works for other clusters, too"
        }
        Disturbance::WorkerUnready => {
            "the machines are the provider's, so that no kubelet can be stopped from here"
        }
    };
    format!(
        "upgrade.disturbance {} cannot be done with engine existing: {why}",
        disturbance.name()
    )
}

/// The run of a private folder on this engine.
fn run_of_folder(name: &str) -> Option<RunId> {
    run_of(name.strip_suffix(SUFFIX)?)
}

const SUFFIX: &str = "-existing";

impl ExistingEngine {
    /// An engine for one run; does nothing yet.
    #[must_use]
    pub fn new(options: ExistingOptions) -> Self {
        Self {
            folder: folder_of(&options.run),
            options,
            client: OnceCell::new(),
        }
    }

    /// The same with a client that is there already.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = OnceCell::new_with(Some(client));
        self
    }

    async fn client(&self) -> Result<&Client> {
        let make = async || access::client_of(self.options.kubeconfig.clone()).await;
        self.client.get_or_try_init(make).await
    }

    fn context(&self) -> &str {
        let context = self.options.kubeconfig.current_context.as_deref();
        context.unwrap_or_default()
    }

    /// Writes down whose run this is.
    fn record(&self) -> Result<()> {
        self.folder.save(&RunRecord {
            process: Process::current()?,
            context: self.context().to_owned(),
        })
    }

    /// Whether another process can go on with the run; the error says why not.
    async fn left(&self) -> Result<()> {
        let shown = self.folder.path().display();
        let record: RunRecord = self.folder.load().with_context(|| {
            format!("there is no record of the run in {shown}: it was cleaned, or made by somebody else, or on another machine")
        })?;
        ensure!(
            !record.process.is_alive() || record.process == Process::current()?,
            "process {} is still at work on it",
            record.process.pid
        );
        let namespace = of_run(&self.options.run);
        ensure!(
            removal::is_there(self.client().await?, &namespace).await?,
            "its namespace {namespace} is gone from the management cluster of context '{}'",
            self.context()
        );
        Ok(())
    }

    async fn take_over(&self) -> Result<Management> {
        self.left().await?;
        self.record()?;
        Ok(Management {
            client: self.client().await?.clone(),
            kubeconfig: self.folder.file(KUBECONFIG),
            namespace: of_run(&self.options.run),
        })
    }

    async fn prepare(&self) -> Result<Management> {
        let client = self.client().await?;
        self.folder.create()?;
        self.record()?;
        // JSON is YAML.
        let kubeconfig =
            serde_json::to_vec(&self.options.kubeconfig).context("failed to write a kubeconfig")?;
        let kubeconfig = self.folder.write(KUBECONFIG, &kubeconfig)?;
        let namespace = of_run(&self.options.run);
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": NAMESPACE.kind,
            "metadata": {"name": namespace, "labels": {RUN_LABEL: self.options.run.as_str()}},
        }))?;
        let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &NAMESPACE.resource());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| {
                format!(
                    "failed to create namespace {namespace} in the management cluster of context '{}'",
                    self.context()
                )
            })?;
        Ok(Management {
            client: client.clone(),
            kubeconfig,
            namespace,
        })
    }

    async fn facts(&self) -> Result<Vec<(String, String)>> {
        let client = self.client().await?;
        let mut facts = vec![("management".to_owned(), "existing".to_owned())];
        let version = client.apiserver_version().await?;
        facts.push(("management.kubernetes".to_owned(), version.git_version));
        let deployments: Api<DynamicObject> = Api::all_with(client.clone(), &DEPLOYMENT.resource());
        let labelled = ListParams::default().labels(PROVIDER);
        for deployment in deployments.list(&labelled).await? {
            let labels = deployment.metadata.labels.unwrap_or_default();
            let images = deployment
                .data
                .pointer("/spec/template/spec/containers")
                .and_then(|containers| containers.as_array())
                .into_iter()
                .flatten()
                .filter_map(|container| container["image"].as_str());
            let images: Vec<&str> = images.collect();
            if let Some(provider) = labels.get(PROVIDER) {
                facts.push((format!("provider.{provider}"), images.join(", ")));
            }
        }
        Ok(facts)
    }

    fn kept(&self) -> Vec<Kept> {
        let namespace = of_run(&self.options.run);
        let parts = [
            (
                format!(
                    "namespace {namespace} in the management cluster of context '{}'",
                    self.context()
                ),
                KUBECONFIG,
            ),
            (
                format!("workload cluster {}", self.options.workload_cluster),
                WORKLOAD_KUBECONFIG,
            ),
        ];
        let there = parts.into_iter().filter_map(|(what, file)| {
            let path = self.folder.file(file);
            path.exists().then(|| Kept {
                what,
                command: format!("export KUBECONFIG={}", path.display()),
            })
        });
        there.collect()
    }
}

impl Engine for ExistingEngine {
    fn name(&self) -> &'static str {
        "existing"
    }

    fn workload_kubeconfig(&self) -> Option<PathBuf> {
        let file = self.folder.file(WORKLOAD_KUBECONFIG);
        file.is_file().then_some(file)
    }

    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>> {
        Box::pin(async {
            match self.client().await {
                Ok(client) => {
                    preflight::problems(client, self.context(), &self.options.created).await
                }
                Err(error) => vec![preflight::unusable(self.context(), &error)],
            }
        })
    }

    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = context.interrupt.raised() => Err(Interrupted.into()),
                management = self.prepare() => Ok(management?),
            }
        })
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Opened>> {
        // They are reached all the time, with what lies in the private folder.
        let clusters = self.folder.reaches([KUBECONFIG, WORKLOAD_KUBECONFIG]);
        Box::pin(async {
            Ok(Opened {
                clusters,
                ..Opened::default()
            })
        })
    }

    fn private(&self) -> Option<PathBuf> {
        self.folder.exists().then(|| self.folder.path().to_owned())
    }

    fn remains(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.left())
    }

    fn rejoin<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async { Ok(self.take_over().await?) })
    }

    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(async {
            self.folder
                .write(WORKLOAD_KUBECONFIG, kubeconfig.as_bytes())?;
            access::client(kubeconfig).await
        })
    }

    fn handshakes(&self) -> Option<Arc<dyn Handshakes>> {
        let kubeconfig = Kubeconfig::read_from(self.workload_kubeconfig()?).ok()?;
        Some(Arc::new(Network::of(&kubeconfig)))
    }

    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        // What cannot be told is left out.
        Box::pin(async { self.facts().await.unwrap_or_default() })
    }

    fn investigate<'a>(
        &'a self,
        _: &'a [Blocker],
        _: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        // The machines are the provider's; nothing but what the clusters say is in reach.
        Box::pin(async { None })
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
            if !self.folder.exists() {
                // Nothing was begun.
                return Ok(Vec::new());
            }
            if keep {
                return Ok(self.kept());
            }
            let deadline = context.scaled(self.options.teardown);
            removal::remove(self.client().await?, &self.options.run, deadline).await?;
            self.folder.remove()?;
            Ok(Vec::new())
        })
    }

    fn leftovers(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let mut left = Vec::new();
            if self.folder.exists() {
                left.push(format!("folder {}", self.folder.path().display()));
            }
            let namespace = of_run(&self.options.run);
            if removal::is_there(self.client().await?, &namespace).await? {
                left.push(format!("namespace {namespace}"));
            }
            Ok(left)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disturbance_would_take_is_told() {
        let told = refusal(Disturbance::WorkerUnready);
        assert!(told.starts_with("upgrade.disturbance workerUnready cannot be done"));
        assert!(
            refusal(Disturbance::OperatorRestartedAtAddons).contains("works for other clusters")
        );
    }

    #[test]
    fn its_folders_are_nobody_elses() {
        let run: RunId = "7f3a09bc".parse().unwrap();
        let folder = folder_of(&run);
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "stackgate-7f3a09bc-existing");
        assert_eq!(run_of_folder(name), Some(run));
        assert_eq!(run_of(name), None);
        assert_eq!(run_of_folder("stackgate-7f3a09bc"), None);
    }
}
