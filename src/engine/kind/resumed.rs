//! The clusters of a run whose process is gone: whether they are there, and another process at work on them.

use anyhow::{Context as _, Result, bail};

use super::record::RunRecord;
use super::{KindEngine, cleanup, docker, management};
use crate::cluster::Context;
use crate::engine::process::Process;
use crate::engine::{EngineError, Management};

impl KindEngine {
    /// What is left of the run by a process that is gone; the error says why nobody can go on with it.
    pub(super) async fn left(&self) -> Result<RunRecord> {
        let record: RunRecord = self.folder.load().with_context(|| {
            format!(
                "there is no record of the run in {}: it was cleaned, or made by somebody else, or on another machine",
                self.folder.path().display()
            )
        })?;
        if record.process.is_alive() && record.process != Process::current()? {
            bail!("process {} is at work on it", record.process.pid);
        }
        let nodes = docker::nodes(self.docker().await?).await?;
        for cluster in [&record.management, &record.workload] {
            let mut of_it = nodes.iter().filter(|node| node.cluster == *cluster);
            // The workload cluster need not be there yet.
            let wanted = *cluster == record.management || of_it.clone().next().is_some();
            if wanted && !of_it.any(|node| node.running) {
                bail!("no container of cluster {cluster} runs any more");
            }
        }
        Ok(record)
    }

    /// Takes over the clusters of a process that is gone.
    pub(super) async fn take_over(&self, context: &Context) -> Result<Management, EngineError> {
        let mut record = self.left().await?;
        record.process = Process::current()?;
        self.folder.save(&record)?;
        {
            let mut traces = super::lock(&self.traces);
            traces.network = cleanup::is_network_marked(&self.folder);
            traces.kept = (!record.removes_management).then_some(record.management);
        }
        let management = management::rejoin(context, &self.options, &self.folder).await?;
        *super::lock(&self.session) = Some((management.client.clone(), context.clone()));
        Ok(management)
    }
}
