//! What is done to the clusters in the middle of an upgrade, when a scenario asks for it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::{KindEngine, ManagementMode, docker, light, lock, operator};
use crate::cluster::Object;
use crate::engine::Disturbance;
use crate::stack::OPERATOR_NAMESPACE;

impl KindEngine {
    pub(super) async fn disturb_now(&self, disturbance: Disturbance<'_>) -> Result<()> {
        match disturbance {
            Disturbance::RestartOperator => self.restart_operator().await,
            Disturbance::StopKubelet(machine) => {
                let name = machine.name();
                // Before it is stopped: from then on it is no cause of anything.
                lock(&self.stopped).insert(name.to_owned());
                let command = ["systemctl", "stop", "kubelet"];
                let done = docker::exec(self.docker().await?, name, &command).await?;
                done.success(&format!("stop the kubelet of {name}"))?;
                Ok(())
            }
        }
    }

    /// Its Deployment makes a new Pod of each that is deleted; where there are no Pods, its container starts again.
    async fn restart_operator(&self) -> Result<()> {
        if self.options.management == ManagementMode::Light {
            return light::restart(self.docker().await?, self.run(), operator::PART).await;
        }
        let session = lock(&self.session).clone();
        let (client, _) = session.context("there is no management cluster yet")?;
        let pods: Api<Pod> = Api::namespaced(client, OPERATOR_NAMESPACE);
        let all = ListParams::default();
        pods.delete_collection(&DeleteParams::default(), &all)
            .await
            .with_context(|| format!("failed to delete the Pods in {OPERATOR_NAMESPACE}"))?;
        Ok(())
    }

    /// Machines without those whose kubelets were stopped on purpose.
    pub(super) fn undisturbed(&self, machines: &[Arc<Object>]) -> Vec<Arc<Object>> {
        let stopped = lock(&self.stopped);
        let others = machines.iter().filter(|one| !stopped.contains(one.name()));
        others.cloned().collect()
    }
}
