//! Where clusters come from; the only room that knows which engine is at work.

mod access;
pub mod config;
pub mod embedded;
pub mod existing;
mod journal;
pub mod kind;
mod names;
mod private;
mod process;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;

use crate::cluster::{Context, Handshakes, Interrupted, Object};
use crate::record::{Blocker, ContainerUse, Finding, Phase, Reach, Redactor};

/// In the place of a cluster's name, of what is the engine's own: what is wrong with it says nothing about
/// the stack under test.
pub const ENGINE: &str = "engine";

/// Something that keeps a run from starting, with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, e.g. `Docker does not answer at /var/run/docker.sock`.
    pub what: String,
    /// What to do now, e.g. `start it: systemctl start docker`.
    pub remedy: String,
}

/// A management cluster that answers, with its providers.
pub struct Management {
    /// Talks to it.
    pub client: Client,
    /// A kubeconfig file for it, readable by the user alone.
    pub kubeconfig: PathBuf,
    /// The run's own namespace in it.
    pub namespace: String,
}

/// Why an engine could not do what it was asked to; never the fault of the stack under test.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine, Docker, kind, or the providers.
    #[error("{0:#}")]
    Infrastructure(anyhow::Error),
    /// A cause with a name, e.g. `manager-crashed`.
    #[error("{}", .0.message)]
    Cause(Box<Finding>),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<anyhow::Error> for EngineError {
    fn from(error: anyhow::Error) -> Self {
        Self::Infrastructure(error)
    }
}

/// What a kept cluster needs to be used, told at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is, e.g. `management cluster stackgate-7f3a09bc`.
    pub what: String,
    /// The command that reaches it, e.g. `export KUBECONFIG=…`.
    pub command: String,
}

/// Clusters that people can reach.
pub struct Opened {
    /// How each is reached.
    pub clusters: Vec<Reach>,
    /// What serves them; they are out of reach when it is dropped.
    pub served: Box<dyn Any>,
}

impl Default for Opened {
    /// No cluster.
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            served: Box::new(()),
        }
    }
}

/// What can be done to clusters in the middle of an upgrade.
#[derive(Clone, Copy, Debug)]
pub enum Disturbance<'a> {
    /// The Cluster Stack Operator's process ends, and begins again.
    RestartOperator,
    /// The kubelet of a Machine stops, as in a crash: its containers stay, and its Node is not Ready any more.
    StopKubelet(&'a Object),
}

/// Where clusters come from. Everything after it is the same code for every engine.
pub trait Engine: Send + Sync {
    /// The engine's name, as in `--engine`.
    fn name(&self) -> &'static str;

    /// A kubeconfig file of the workload cluster, for programs; none where it is in reach of this
    /// process alone, or not connected yet.
    fn workload_kubeconfig(&self) -> Option<PathBuf> {
        None
    }

    /// Every problem at once; creates nothing.
    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>>;

    /// Makes (or reuses) the management cluster, with Cluster API answering, and the run's namespace.
    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>>;

    /// Talks to a workload cluster, from its kubeconfig as its Secret gives it, whose address need not
    /// work from here.
    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, anyhow::Result<Client>>;

    /// The way to the workload cluster's servers, as far as it goes from here; none while there is no cluster.
    fn handshakes(&self) -> Option<Arc<dyn Handshakes>>;

    /// The run enters a phase. What an engine makes of it must not wait.
    fn entered(&self, _phase: Phase) {}

    /// What a rehearsal was asked to let go wrong and what never did: with any of these an open gate would
    /// show nothing.
    fn unmet(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does something to the clusters that an upgrade has to get over.
    fn disturb<'a>(&'a self, _disturbance: Disturbance<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
        let name = self.name();
        Box::pin(async move { anyhow::bail!("engine {name} disturbs no upgrade") })
    }

    /// Lets people reach the clusters that there are while the run is paused, with kubeconfig files that the user
    /// alone can read. `folder` is such a place, and goes with the pause.
    fn open<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, anyhow::Result<Opened>>;

    /// A folder for the user alone that goes with the run; none where there is none, or not yet.
    fn private(&self) -> Option<PathBuf> {
        None
    }

    /// Whether the clusters of a run whose process is gone are there, so that another one can go on with it.
    /// Changes nothing; the error says why not.
    fn remains(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { anyhow::bail!("simulated clusters end with their process") })
    }

    /// Takes over the clusters of a run whose process is gone.
    fn rejoin<'a>(
        &'a self,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async {
            self.remains().await?;
            Err(anyhow::anyhow!("the clusters cannot be taken over").into())
        })
    }

    /// How each of the run's containers is now, and what it uses; none where an engine has no containers.
    fn containers(&self) -> BoxFuture<'_, Option<Vec<(String, ContainerUse)>>> {
        Box::pin(async { None })
    }

    /// Facts about the environment for the reports: provider, versions, digests, host.
    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>>;

    /// Looks at the machines themselves (node logs, container states) for a cause of what blocks that
    /// waiting will not mend. `machines` are Cluster API's Machines of the run.
    fn investigate<'a>(
        &'a self,
        blockers: &'a [Blocker],
        machines: &'a [std::sync::Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>>;

    /// Saves what only the engine can see (node journals, container states and what they use) into a folder,
    /// without what is secret.
    fn collect<'a>(
        &'a self,
        folder: &'a Path,
        redactor: &'a Redactor,
    ) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Removes everything that the run created; idempotent. With `keep`, removes nothing and tells
    /// how to reach what stays.
    fn teardown<'a>(
        &'a self,
        context: &'a Context,
        keep: bool,
    ) -> BoxFuture<'a, anyhow::Result<Vec<Kept>>>;

    /// What the run created and that is still there, by name; empty after a teardown.
    fn leftovers(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>>;
}
