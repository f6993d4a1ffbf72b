//! Pods of the tools image (agnhost) that a check starts in its own namespace: to do one thing and
//! end, or to serve until the namespace goes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};

use super::judgement::watched;
use super::sandbox::{self, SERVICE_ACCOUNT};
use super::{Target, pods};
use crate::cluster::{Progress, WaitError, kinds};
use crate::record::Blocker;

/// How long a deletion may take to be carried out.
const REMOVAL: Duration = Duration::from_secs(60);

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct ToolPod<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// The check, for the label.
    pub check: &'a str,
    /// Arguments of agnhost.
    pub args: &'a [&'a str],
    /// More labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// A claim that is mounted at `/data`.
    pub claim: Option<&'a str>,
    /// Whether it serves, and is started again when it ends.
    pub serves: bool,
}

/// How a pod ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether its program was content.
    pub well: bool,
    /// What it said last, or why it did not run.
    pub said: String,
}

impl ToolPod<'_> {
    fn object(&self, target: &Target<'_>) -> Value {
        let mut labels = sandbox::labels(&target.context.run, self.check);
        for (key, value) in self.labels {
            labels[*key] = json!(value);
        }
        let mut pod = json!({
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "restartPolicy": if self.serves { "Always" } else { "Never" },
                "terminationGracePeriodSeconds": 0,
                "serviceAccountName": SERVICE_ACCOUNT,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "fsGroup": 65534,
                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "agnhost",
                    "image": target.tools_image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": self.args,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        if let Some(claim) = self.claim {
            pod["spec"]["volumes"] =
                json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
            pod["spec"]["containers"][0]["volumeMounts"] =
                json!([{"name": "data", "mountPath": "/data"}]);
            // Not every volume knows owners (`fsGroup`): folders of a node are root's, who may write there even
            // without a single capability.
            pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
            pod["spec"]["securityContext"]["runAsUser"] = json!(0);
        }
        pod
    }

    /// Creates the pod.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create(&self, target: &Target<'_>, namespace: &str) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(target.workload.clone(), namespace);
        let pod = serde_json::from_value(self.object(target))?;
        let created = api.create(&PostParams::default(), &pod).await;
        created.with_context(|| format!("failed to create the check pod {}", self.name))?;
        Ok(())
    }

    /// Creates the pod and waits until it has ended.
    ///
    /// # Errors
    /// When it cannot be created, its image is not to be had, or it cannot be watched: then nothing is
    /// known. A pod that does not come to run is an [`Ended`] that is not well.
    pub async fn run(
        &self,
        target: &Target<'_>,
        namespace: &str,
        within: Duration,
    ) -> Result<Ended> {
        self.create(target, namespace).await?;
        let _waits = target.shared.pace.wait_for_pods();
        let view = target.view(&[(kinds::POD, namespace)]);
        let what = format!("check {}: pod {}", self.check, self.name);
        let waited = watched(target, &what, within, &[&view], || {
            let Some(pod) = view.get(&kinds::POD, namespace, self.name) else {
                return Progress::Blocked(super::judgement::unread(&[&view]));
            };
            match pod.str("/status/phase") {
                "Succeeded" | "Failed" => Progress::Done(pod),
                _ => Progress::Blocked(vec![
                    pods::trouble(&pod).unwrap_or_else(|| pod.blocker("has not ended")),
                ]),
            }
        })
        .await?;
        match waited {
            Ok(pod) => {
                let well = pod.str("/status/phase") == "Succeeded";
                let message = "/status/containerStatuses/0/state/terminated/message";
                let said = pod.str(message).trim().to_owned();
                Ok(Ended { well, said })
            }
            Err(WaitError::Deadline { blockers, .. }) => {
                let pod = view.get(&kinds::POD, namespace, self.name);
                let trouble = blockers.first().map(Blocker::to_string).unwrap_or_default();
                if pod.is_some_and(|pod| pods::lacks_image(&pod)) {
                    bail!("the check pod's own image is not to be had: {trouble}");
                }
                Ok(Ended {
                    well: false,
                    said: format!("does not run: {trouble}"),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a pod that serves, and waits until it is Ready: then its address.
    ///
    /// # Errors
    /// When it cannot be created or does not become Ready in time.
    pub async fn serve(
        &self,
        target: &Target<'_>,
        namespace: &str,
        within: Duration,
    ) -> Result<String> {
        self.create(target, namespace).await?;
        let _waits = target.shared.pace.wait_for_pods();
        let view = target.view(&[(kinds::POD, namespace)]);
        let what = format!("check {}: pod {}", self.check, self.name);
        let address = watched(target, &what, within, &[&view], || {
            match view.get(&kinds::POD, namespace, self.name) {
                Some(pod) if pods::is_ready(&pod) && !pod.str("/status/podIP").is_empty() => {
                    Progress::Done(pod.str("/status/podIP").to_owned())
                }
                Some(pod) => Progress::Blocked(vec![
                    pods::trouble(&pod).unwrap_or_else(|| pod.blocker("has no address")),
                ]),
                None => Progress::Blocked(super::judgement::unread(&[&view])),
            }
        })
        .await??;
        Ok(address)
    }

    /// What the pod wrote.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn log(&self, target: &Target<'_>, namespace: &str) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(target.workload.clone(), namespace);
        let log = api.logs(self.name, &LogParams::default()).await;
        log.with_context(|| format!("failed to read the log of the check pod {}", self.name))
    }

    /// Deletes the pod and waits until it is gone, so that its volume is free.
    ///
    /// # Errors
    /// When it cannot be deleted, or stays.
    pub async fn remove(&self, target: &Target<'_>, namespace: &str) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(target.workload.clone(), namespace);
        let deleted = api
            .delete(self.name, &DeleteParams::default().grace_period(0))
            .await;
        deleted.with_context(|| format!("failed to delete the check pod {}", self.name))?;
        let _waits = target.shared.pace.wait_for_pods();
        let view = target.view(&[(kinds::POD, namespace)]);
        let what = format!("check {}: pod {} is gone", self.check, self.name);
        watched(target, &what, REMOVAL, &[&view], || {
            let mut blockers = super::judgement::unread(&[&view]);
            let pod = view.get(&kinds::POD, namespace, self.name);
            blockers.extend(pod.map(|pod| pod.blocker("is still there")));
            Progress::unless(blockers)
        })
        .await??;
        Ok(())
    }
}
