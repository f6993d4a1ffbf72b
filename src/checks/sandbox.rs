//! A namespace of a check's own: the only place where a check may create anything.
//!
//! It is removed when the check's work ends, also by an error or a panic. What is cut off from
//! outside (deadline, interruption) cannot remove anything any more; its namespace was noted, and is removed
//! by [`sweep`]. It bears the run's label, too.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
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
/// How names of the namespaces begin in which a run measures while the checks run.
pub const PROBES: &str = "stackgate-probe-";
/// Label that Kubernetes' e2e tests give to each of the namespaces that they create.
pub const TESTED: &str = "e2e-run";
/// How long a removal may take to be accepted: more than an API server that is away is waited for.
const REMOVAL: Duration = Duration::from_secs(75);

/// Name of the service account that a check's pods use: the namespace's own comes a moment after
/// the namespace, and pods are refused until then.
pub const SERVICE_ACCOUNT: &str = "check";

/// Whether a namespace is stackgate's own: a check's, or that of the probes.
#[must_use]
pub fn is_name(namespace: &str) -> bool {
    namespace.starts_with(PREFIX) || namespace.starts_with(PROBES)
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
        target
            .shared
            .removable
            .get_or_try_init(|| may_remove(target))
            .await?;
        let namespace = format!("{PREFIX}{}", target.context.fresh_id());
        let labels = labels(&target.context.run, check);
        let object: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace, "labels": labels}}))?;
        // Noted before it is there: the answer to its creation may never be heard.
        target.shared.namespaces().insert(namespace.clone());
        let created = Api::all(target.workload.clone())
            .create(&PostParams::default(), &object)
            .await;
        if created.is_err() {
            target.shared.namespaces().remove(&namespace);
        }
        let created: Namespace = created.context("failed to create a namespace for the check")?;
        let sandbox = Self {
            target,
            namespace,
            uid: created.metadata.uid.unwrap_or_default(),
            tests: false,
        };
        if let Err(error) = sandbox.add_account(&labels).await {
            sandbox.remove().await;
            return Err(error);
        }
        Ok(sandbox)
    }

    /// The same, for a check that runs Kubernetes' e2e tests: the namespaces that these create and, when
    /// they are cut off, leave behind go with it.
    ///
    /// # Errors
    /// As [`Sandbox::create`].
    pub async fn for_tests(target: &'a Target<'a>, check: &str) -> Result<Self> {
        let sandbox = Self::create(target, check).await?;
        target.shared.tests.store(true, Relaxed);
        Ok(Self {
            tests: true,
            ..sandbox
        })
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
        // What does not go now is swept up, or told, when the round ends.
        let _ = remove(self.target, &self.namespace).await;
        if self.tests {
            remove_tests(self.target).await;
        }
    }
}

/// Asks whether what is to be created may be removed again.
async fn may_remove(target: &Target<'_>) -> Result<()> {
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({
        "spec": {"resourceAttributes": {"verb": "delete", "resource": "namespaces"}},
    }))?;
    let asked = Api::all(target.workload.clone())
        .create(&PostParams::default(), &review)
        .await;
    // Who cannot be told is told when it comes to it.
    let denied = asked.is_ok_and(|review| review.status.is_some_and(|status| !status.allowed));
    ensure!(
        !denied,
        "may not delete namespaces: nothing is created that could not be removed"
    );
    Ok(())
}

/// Asks for the namespace's removal; the cluster carries it out on its own.
async fn remove(target: &Target<'_>, namespace: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(target.workload.clone());
    let params = DeleteParams::background();
    let removal = target.context.scaled(REMOVAL);
    let asked = tokio::time::timeout(removal, api.delete(namespace, &params)).await;
    match asked.context("the API server does not answer")? {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error.into()),
    }
    target.shared.namespaces().remove(namespace);
    Ok(())
}

fn tell_left(target: &Target<'_>, namespace: &str, error: &anyhow::Error) {
    let remedy = if target.management.is_some() {
        "`stackgate clean` removes it".to_owned()
    } else {
        format!("remove it with: kubectl delete namespace {namespace}")
    };
    target.context.note(format!(
        "failed to remove the check namespace {namespace}: {error:#}; {remedy}"
    ));
}

/// Removes what checks of the round created and could not remove any more.
pub async fn sweep(target: &Target<'_>) {
    let left = target.shared.namespaces().clone();
    for namespace in left {
        if let Err(error) = remove(target, &namespace).await {
            tell_left(target, &namespace, &error);
        }
    }
    if target.shared.tests.load(Relaxed) {
        remove_tests(target).await;
    }
}

/// Removes the namespaces of the e2e tests.
async fn remove_tests(target: &Target<'_>) {
    target.shared.tests.store(false, Relaxed);
    let api: Api<Namespace> = Api::all(target.workload.clone());
    let theirs = ListParams::default().labels(TESTED);
    let listed = tokio::time::timeout(target.context.scaled(REMOVAL), api.list(&theirs)).await;
    let why = match listed {
        Ok(Ok(namespaces)) => {
            for namespace in namespaces {
                let name = namespace.metadata.name.unwrap_or_default();
                if namespace.metadata.deletion_timestamp.is_none()
                    && let Err(error) = remove(target, &name).await
                {
                    tell_left(target, &name, &error);
                }
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the API server does not answer".to_owned(),
    };
    target.context.note(format!(
        "failed to look for namespaces of e2e tests: {why}; remove them with: kubectl delete namespaces -l {TESTED}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::world::{World, list, refusal};

    /// An API server that creates and deletes whatever is asked for, accounts only if `accounts`.
    fn world(accounts: bool) -> World {
        World::new(move |method, path| match method {
            "POST" if path.contains("serviceaccounts") && !accounts => refusal(403, "Forbidden"),
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
        let world = World::new(|method, _| match method {
            "GET" => list(
                "NamespaceList",
                json!([
                    {"metadata": {"name": "pods-1"}},
                    {"metadata": {"name": "pods-2", "deletionTimestamp": "2026-05-01T10:00:00Z"}},
                ]),
            ),
            _ => (200, json!({"metadata": {"name": "n"}})),
        });
        let target = world.target();
        let done = Sandbox::for_tests(&target, "c").await.unwrap();
        done.around(async { Ok(()) }).await.unwrap();
        assert_eq!(deleted(&world)[1..], ["DELETE /api/v1/namespaces/pods-1?"]);
        sweep(&target).await;
        assert_eq!(deleted(&world).len(), 2, "there is nothing left to do");
        drop(Sandbox::for_tests(&target, "c").await.unwrap());
        sweep(&target).await;
        assert_eq!(deleted(&world).len(), 4);
        assert_eq!(deleted(&world)[3..], ["DELETE /api/v1/namespaces/pods-1?"]);
    }

    #[tokio::test]
    async fn a_sweep_removes_what_was_cut_off_and_nothing_else() {
        let world = world(true);
        let target = world.target();
        let removed = Sandbox::create(&target, "c").await.unwrap();
        removed.around(async { Ok(()) }).await.unwrap();
        let cut_off = Sandbox::create(&target, "c").await.unwrap();
        let name = cut_off.namespace.clone();
        drop(cut_off);
        sweep(&target).await;
        assert_eq!(
            deleted(&world)[1..],
            [format!("DELETE /api/v1/namespaces/{name}?")]
        );
        sweep(&target).await;
        assert_eq!(deleted(&world).len(), 2);
    }

    #[tokio::test]
    async fn nothing_is_created_that_could_not_be_removed() {
        let world = World::new(|_, _| (201, json!({"spec": {}, "status": {"allowed": false}})));
        let error = Sandbox::create(&world.target(), "c").await.err().unwrap();
        assert!(
            error.to_string().starts_with("may not delete namespaces"),
            "{error}"
        );
        let asked = world.requests();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].contains("selfsubjectaccessreviews"), "{asked:?}");
    }

    #[tokio::test]
    async fn what_could_not_be_created_is_not_removed() {
        let world = World::new(|_, _| refusal(403, "Forbidden"));
        let target = world.target();
        assert!(Sandbox::create(&target, "c").await.is_err());
        sweep(&target).await;
        assert!(deleted(&world).is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_removed_is_told_with_the_way_to_do_it() {
        let world = World::new(|method, _| match method {
            "DELETE" => refusal(500, "InternalError"),
            _ => (200, json!({"metadata": {"name": "n"}})),
        });
        let target = world.target();
        let sandbox = Sandbox::create(&target, "c").await.unwrap();
        let name = sandbox.namespace.clone();
        sandbox.around(async { Ok(()) }).await.unwrap();
        sweep(&target).await;
        let told = format!("{:?}", world.events());
        assert!(
            told.contains(&format!("kubectl delete namespace {name}")),
            "{told}"
        );
    }
}
