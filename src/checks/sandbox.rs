//! A namespace of a check's own: the only place where a check may create anything.
//!
//! It is removed when the check's work ends, also by an error or a panic. What is cut off from
//! outside (deadline, interruption) cannot remove anything any more; its namespace is found by its
//! labels and removed by [`sweep`], and by the removal of everything that bears the run's label.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;

use super::Target;
use crate::record::RunId;

/// Label with the run's id, as on everything that a run creates.
const RUN: &str = "stackgate/run";
/// Label with the check's name, on what a check creates.
const CHECK: &str = "stackgate/check";
/// How names of check namespaces begin.
const PREFIX: &str = "stackgate-check-";
/// Label of a check's namespace while Kubernetes' e2e tests are run from it.
const TESTS: &str = "stackgate/e2e-tests";
/// Label that Kubernetes' e2e tests give to each of the namespaces that they create.
pub const TESTED: &str = "e2e-run";
/// How long a removal may take to be accepted.
const REMOVAL: Duration = Duration::from_secs(10);

/// Name of the service account that a check's pods use: the namespace's own comes a moment after
/// the namespace, and pods are refused until then.
pub const SERVICE_ACCOUNT: &str = "check";

/// Whether a namespace belongs to a check.
#[must_use]
pub fn is_name(namespace: &str) -> bool {
    namespace.starts_with(PREFIX)
}

/// Labels of what a check creates.
#[must_use]
pub fn labels(run: &RunId, check: &str) -> serde_json::Value {
    json!({RUN: run.as_str(), CHECK: check})
}

/// A namespace that is there.
pub struct Sandbox<'a> {
    target: &'a Target<'a>,
    /// Its name.
    pub namespace: String,
    /// What tells it from another one of the same name: it can own what lives in no namespace.
    pub uid: String,
    /// Whether e2e tests are run from it, whose namespaces go with it.
    tests: bool,
}

impl<'a> Sandbox<'a> {
    /// Creates a namespace with a name of its own for a check, on the workload cluster.
    ///
    /// # Errors
    /// When the API server refuses; then there is nothing to remove.
    pub async fn create(target: &'a Target<'a>, check: &str) -> Result<Self> {
        Self::new(target, check, false).await
    }

    /// The same, for a check that runs Kubernetes' e2e tests: the namespaces that these create and, when
    /// they are cut off, leave behind go with it.
    ///
    /// # Errors
    /// As [`Sandbox::create`].
    pub async fn for_tests(target: &'a Target<'a>, check: &str) -> Result<Self> {
        Self::new(target, check, true).await
    }

    async fn new(target: &'a Target<'a>, check: &str, tests: bool) -> Result<Self> {
        let namespace = format!("{PREFIX}{}", target.context.fresh_id());
        let mut labels = labels(&target.context.run, check);
        if tests {
            labels[TESTS] = json!("true");
        }
        let object: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace, "labels": labels}}))?;
        let created: Namespace = Api::all(target.workload.clone())
            .create(&PostParams::default(), &object)
            .await
            .context("failed to create a namespace for the check")?;
        let sandbox = Self {
            target,
            namespace,
            uid: created.metadata.uid.unwrap_or_default(),
            tests,
        };
        if let Err(error) = sandbox.add_account(&labels).await {
            sandbox.remove().await;
            return Err(error);
        }
        Ok(sandbox)
    }

    async fn add_account(&self, labels: &serde_json::Value) -> Result<()> {
        let account: ServiceAccount = serde_json::from_value(json!({
            "metadata": {"name": SERVICE_ACCOUNT, "labels": labels},
            "automountServiceAccountToken": false,
        }))?;
        Api::namespaced(self.target.workload.clone(), &self.namespace)
            .create(&PostParams::default(), &account)
            .await
            .context("failed to create a service account for the check")?;
        Ok(())
    }

    /// Does the check's work, and removes the namespace however it ends.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn around<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let done = AssertUnwindSafe(work).catch_unwind().await;
        self.remove().await;
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    async fn remove(&self) {
        if let Err(error) = remove(self.target, &self.namespace).await {
            self.target.context.note(format!(
                "failed to remove the check namespace {}: {error:#}; `stackgate clean` removes it",
                self.namespace
            ));
        }
        if self.tests {
            sweep_labelled(self.target, TESTED).await;
        }
    }
}

/// Asks for the namespace's removal; the cluster carries it out on its own.
async fn remove(target: &Target<'_>, namespace: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(target.workload.clone());
    let params = DeleteParams::background();
    let removal = target.context.scaled(REMOVAL);
    let asked = tokio::time::timeout(removal, api.delete(namespace, &params)).await;
    match asked.context("the API server does not answer")? {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes every check namespace of the run that is still there, and what e2e tests left that were cut off.
pub async fn sweep(target: &Target<'_>) {
    let mine = format!("{RUN}={},{CHECK}", target.context.run);
    let tested = sweep_labelled(target, &mine).await;
    if tested {
        sweep_labelled(target, TESTED).await;
    }
}

/// Removes namespaces with such labels, and says whether e2e tests were run from one of them.
async fn sweep_labelled(target: &Target<'_>, labels: &str) -> bool {
    let api: Api<Namespace> = Api::all(target.workload.clone());
    let mine = ListParams::default().labels(labels);
    let listed = tokio::time::timeout(target.context.scaled(REMOVAL), api.list(&mine)).await;
    let failed = |why: String| {
        target.context.note(format!(
            "failed to look for check namespaces to remove: {why}; `stackgate clean` removes them"
        ));
    };
    let namespaces = match listed {
        Ok(Ok(namespaces)) => namespaces,
        Ok(Err(error)) => {
            failed(error.to_string());
            return false;
        }
        Err(_) => {
            failed("the API server does not answer".to_owned());
            return false;
        }
    };
    let mut tested = false;
    for namespace in namespaces {
        let name = namespace.metadata.name.unwrap_or_default();
        let labelled = namespace.metadata.labels.unwrap_or_default();
        tested |= labelled.contains_key(TESTS);
        let ours = is_name(&name) || labelled.contains_key(TESTED);
        if namespace.metadata.deletion_timestamp.is_some() || !ours {
            continue;
        }
        if let Err(error) = remove(target, &name).await {
            failed(format!("{name}: {error:#}"));
        }
    }
    tested
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::world::{World, list, refusal};

    /// An API server that creates and deletes whatever is asked for, accounts only if `accounts`.
    fn world(accounts: bool) -> World {
        World::new(move |method, path| match method {
            "POST" if path.contains("serviceaccounts") && !accounts => refusal(403, "Forbidden"),
            "GET" => list(
                "NamespaceList",
                json!([
                    {"metadata": {"name": "stackgate-check-00000001"}},
                    {"metadata": {"name": "stackgate-check-00000002", "deletionTimestamp": "2026-05-01T10:00:00Z"}},
                    {"metadata": {"name": "not-a-checks-name"}},
                ]),
            ),
            _ => (200, json!({"metadata": {"name": "n"}})),
        })
    }

    fn deleted(world: &World) -> Vec<String> {
        let mut requests = world.requests();
        requests.retain(|request| request.starts_with("DELETE"));
        requests
    }

    #[tokio::test]
    async fn the_namespace_is_removed_after_success_error_and_panic() {
        let world = world(true);
        let target = world.target();
        let enter = || Sandbox::create(&target, "c");
        assert_eq!(
            enter()
                .await
                .unwrap()
                .around(async { Ok(7) })
                .await
                .unwrap(),
            7
        );
        let failed = enter()
            .await
            .unwrap()
            .around(async { Err::<(), _>(anyhow::anyhow!("no")) });
        assert_eq!(failed.await.unwrap_err().to_string(), "no");
        let sandbox = enter().await.unwrap();
        let name = sandbox.namespace.clone();
        assert!(is_name(&name));
        let panicked = AssertUnwindSafe(sandbox.around(async {
            panic!("out of luck");
            #[expect(unreachable_code, reason = "gives the panicking work its type")]
            Ok(())
        }));
        assert!(panicked.catch_unwind().await.is_err());
        assert_eq!(deleted(&world).len(), 3);
        assert_eq!(
            deleted(&world)[2],
            format!("DELETE /api/v1/namespaces/{name}?")
        );
    }

    #[tokio::test]
    async fn a_namespace_that_cannot_be_used_is_removed_at_once() {
        let world = world(false);
        let error = Sandbox::create(&world.target(), "c").await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "failed to create a service account for the check"
        );
        assert_eq!(deleted(&world).len(), 1);
    }

    #[tokio::test]
    async fn what_e2e_tests_left_goes_with_the_namespace_that_they_were_run_from() {
        for (labels, swept) in [(json!({TESTS: "true"}), true), (json!({}), false)] {
            let world = World::new(move |method, path| {
                if method != "GET" {
                    return (200, json!({"metadata": {"name": "n"}}));
                }
                let items = if path.contains(TESTED) {
                    json!([{"metadata": {"name": "pods-1", "labels": {TESTED: "u"}}}])
                } else {
                    // Its own removal has begun, which is no reason to forget the others.
                    json!([{"metadata": {"name": "stackgate-check-00000001", "labels": labels,
                        "deletionTimestamp": "2026-05-01T10:00:00Z"}}])
                };
                list("NamespaceList", items)
            });
            sweep(&world.target()).await;
            let expected = ["DELETE /api/v1/namespaces/pods-1?"];
            assert_eq!(deleted(&world), &expected[..usize::from(swept)]);
        }
    }

    #[tokio::test]
    async fn a_sweep_removes_what_the_run_left_and_nothing_else() {
        let world = world(true);
        sweep(&world.target()).await;
        let run = world.context.run.as_str();
        let listed = format!(
            "GET /api/v1/namespaces?&labelSelector=stackgate%2Frun%3D{run}%2Cstackgate%2Fcheck"
        );
        let delete = "DELETE /api/v1/namespaces/stackgate-check-00000001?".to_owned();
        assert_eq!(world.requests(), [listed, delete]);
    }
}
