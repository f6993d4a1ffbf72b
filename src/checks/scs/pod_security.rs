//! scs-0217-v1 (draft): Pod Security admission is on: a namespace that asks for it refuses what its
//! level forbids. Asked by a dry run, so that nothing is started.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::checks::judgement::{Judgement, problem};
use crate::checks::sandbox::Sandbox;
use crate::checks::{Answer, Native, Parameters, Target, needs};

const NAME: &str = "scs-0217-pod-security";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// How Pod Security admission says no (`k8s.io/pod-security-admission/admission`).
const OWN_WORDS: &str = "violates PodSecurity \"baseline:";
/// How the API server begins to tell that a webhook says no.
const WEBHOOK: &str = "admission webhook \"";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::SANDBOX, needs::LABEL_SANDBOX, needs::CREATE_PODS],
    run: |target| Box::pin(run(target)),
};

async fn run(target: &Target<'_>) -> Result<Answer> {
    let sandbox = Sandbox::create(target, NAME).await?;
    let namespace = sandbox.namespace.clone();
    sandbox.around(ask(target.workload, &namespace)).await
}

async fn ask(client: &Client, namespace: &str) -> Result<Answer> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let label = kube::api::Patch::Merge(json!({"metadata": {"labels": {ENFORCE: "baseline"}}}));
    let labelled = namespaces
        .patch(namespace, &kube::api::PatchParams::default(), &label)
        .await;
    labelled.with_context(|| format!("failed to label the namespace {namespace}"))?;
    let plain = dry_run(client, namespace, false).await?;
    if let Some(refusal) = plain {
        bail!("an ordinary pod is refused, so that a refusal shows nothing: {refusal}");
    }
    Ok(judge(dry_run(client, namespace, true).await?)?.into())
}

/// What the API server says against a pod; none when it would take it.
async fn dry_run(client: &Client, namespace: &str, privileged: bool) -> Result<Option<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "asked-for"},
        "spec": {"serviceAccountName": crate::checks::sandbox::SERVICE_ACCOUNT, "containers": [
            {"name": "main", "image": "none", "securityContext": {"privileged": privileged}}]},
    }))?;
    let params = PostParams {
        dry_run: true,
        field_manager: None,
    };
    match pods.create(&params, &pod).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status))
            if status.code == 403 && !status.message.contains("cannot create") =>
        {
            Ok(Some(status.message.clone()))
        }
        Err(error) => Err(error).context("failed to ask for a pod by a dry run"),
    }
}

/// A refusal counts in Pod Security admission's own words alone: who else refuses answers before it is
/// asked, or in its place.
fn judge(refusal: Option<String>) -> Result<Judgement> {
    match refusal {
        Some(refusal) if refusal.contains(OWN_WORDS) && !refusal.contains(WEBHOOK) => {
            Ok(Judgement::Pass(format!(
                "a privileged pod is refused in a namespace with {ENFORCE}: baseline"
            )))
        }
        Some(refusal) => bail!(
            "a privileged pod is refused, but not by Pod Security admission, of which nothing is shown: {refusal}"
        ),
        None => Ok(Judgement::Fail(vec![problem(
            "workload",
            "API server",
            "",
            "Pod Security admission",
            format!("takes a privileged pod in a namespace with {ENFORCE}: baseline"),
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::world::{World, refusal};
    use crate::record::Outcome;

    fn world(refuses: &'static [&'static str]) -> World {
        World::new(move |method, path| match method {
            "POST" if path.contains("/pods") && !refuses.is_empty() => {
                let (code, mut status) = refusal(403, "Forbidden");
                status["message"] = json!(refuses[0]);
                (code, status)
            }
            _ => (200, json!({"metadata": {"name": "n"}})),
        })
    }

    #[tokio::test]
    async fn a_server_that_takes_everything_fails() {
        let world = world(&[]);
        let answer = run(&world.target()).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Fail, "{}", answer.message);
        let asked = world.requests();
        let dry = asked
            .iter()
            .filter(|request| request.contains("/pods?") && request.contains("dryRun=All"));
        assert_eq!(dry.count(), 2, "{asked:?}");
    }

    #[tokio::test]
    async fn a_server_that_refuses_any_pod_shows_nothing() {
        let world = world(&["violates PodSecurity \"baseline:latest\""]);
        let error = run(&world.target()).await.unwrap_err();
        assert!(
            error.to_string().contains("an ordinary pod is refused"),
            "{error:#}"
        );
    }

    #[test]
    fn a_refusal_counts_in_the_plugins_own_words_alone() {
        let own = "pods \"asked-for\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"main\" must not set securityContext.privileged=true)";
        assert!(matches!(
            judge(Some(own.to_owned())),
            Ok(Judgement::Pass(_))
        ));
        for other in [
            "admission webhook \"policy.example.org\" denied the request: no privileged pods",
            "admission webhook \"ps.example.org\" denied the request: violates PodSecurity \"baseline:latest\"",
            "pods \"asked-for\" is forbidden: exceeded quota",
        ] {
            let told = judge(Some(other.to_owned())).unwrap_err().to_string();
            assert!(
                told.contains("not by Pod Security admission") && told.ends_with(other),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn who_may_not_create_pods_cannot_judge() {
        let world = world(&["pods is forbidden: User \"x\" cannot create resource"]);
        assert!(run(&world.target()).await.is_err());
    }
}
