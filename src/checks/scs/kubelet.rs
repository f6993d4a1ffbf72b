//! scs-0217-v1 and scs-0215-v1 (drafts): how the kubelets are configured, as each says of itself.
//!
//! Read through the API server's node proxy (`/api/v1/nodes/NODE/proxy/configz`), which needs the right
//! to get `nodes/proxy`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;

use crate::checks::judgement::{Judgement, problem, read};
use crate::checks::shared::Configuration;
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::kinds;

const TIMEOUT: Duration = Duration::from_secs(60);
/// How long one kubelet may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How many kubelets are asked at the same time.
const SIDE_BY_SIDE: usize = 8;

/// Nobody reads from a kubelet without saying who he is.
pub const READ_ONLY_PORT: Native = Native {
    name: "scs-0217-kubelet-read-only-port",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::KUBELETS],
    run: |target| Box::pin(judge_each(target, read_only_port)),
};

/// Anonymous requests are refused.
pub const ANONYMOUS: Native = Native {
    name: "scs-0217-kubelet-anonymous-auth",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::KUBELETS],
    run: |target| Box::pin(judge_each(target, anonymous)),
};

/// Who may do what is asked of the API server.
pub const WEBHOOK: Native = Native {
    name: "scs-0217-kubelet-webhook-authorization",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::KUBELETS],
    run: |target| Box::pin(judge_each(target, webhook)),
};

/// Certificates are renewed before they end.
pub const ROTATION: Native = Native {
    name: "scs-0215-kubelet-certificate-rotation",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::KUBELETS],
    run: |target| Box::pin(judge_each(target, rotation)),
};

async fn judge_each(target: &Target<'_>, wrong: fn(&Value) -> Option<String>) -> Result<Answer> {
    let told = target
        .shared
        .kubelets
        .get_or_try_init(|| ask_all(target))
        .await?;
    Ok(judge(told, wrong).into())
}

/// Asks every kubelet, once for all checks.
async fn ask_all(target: &Target<'_>) -> Result<Vec<Configuration>> {
    let view = target.view(&[(kinds::NODE, "")]);
    read(target, "the nodes", &[&view]).await?;
    let within = target.context.scaled(ANSWER);
    let nodes = view.list(&kinds::NODE);
    // Collected first: a closure in the stream would not be general enough for a boxed future.
    let asked: Vec<_> = nodes
        .iter()
        .map(|node| ask(target.workload, node.name().to_owned(), within))
        .collect();
    stream::iter(asked)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await
}

async fn ask(client: &Client, node: String, within: Duration) -> Result<Configuration> {
    let path = format!("/api/v1/nodes/{node}/proxy/configz");
    let request = http::Request::get(&path).body(Vec::new())?;
    let told = tokio::time::timeout(within, client.request::<Value>(request)).await;
    let told = told.with_context(|| format!("the kubelet of {node} does not answer"))?;
    let mut told = told.with_context(|| format!("failed to get {path}"))?;
    Ok((node, told["kubeletconfig"].take()))
}

fn judge(kubelets: &[Configuration], wrong: fn(&Value) -> Option<String>) -> Judgement {
    if kubelets.is_empty() {
        return Judgement::Skip("there is no node".to_owned());
    }
    let problems = kubelets.iter().filter_map(|(node, configuration)| {
        let what = if configuration.is_object() {
            wrong(configuration)?
        } else {
            "its kubelet tells no configuration".to_owned()
        };
        Some(problem("workload", "Node", "", node, what))
    });
    Judgement::unless(problems.collect(), || {
        format!(
            "the kubelets of all {} nodes are configured so",
            kubelets.len()
        )
    })
}

fn read_only_port(kubelet: &Value) -> Option<String> {
    match kubelet["readOnlyPort"].as_i64() {
        None | Some(0) => None,
        Some(port) => Some(format!("readOnlyPort is {port}")),
    }
}

fn anonymous(kubelet: &Value) -> Option<String> {
    match &kubelet["authentication"]["anonymous"]["enabled"] {
        Value::Bool(false) => None,
        other => Some(format!(
            "authentication.anonymous.enabled is {other}, not false"
        )),
    }
}

fn webhook(kubelet: &Value) -> Option<String> {
    match &kubelet["authorization"]["mode"] {
        mode if mode == "Webhook" => None,
        other => Some(format!("authorization.mode is {other}, not Webhook")),
    }
}

fn rotation(kubelet: &Value) -> Option<String> {
    match &kubelet["rotateCertificates"] {
        Value::Bool(true) => None,
        other => Some(format!("rotateCertificates is {other}, not true")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::health::fixtures::problems;
    use crate::checks::world::{World, list};
    use crate::record::Outcome;

    fn kubelet() -> Value {
        json!({"authentication": {"anonymous": {"enabled": false}},
            "authorization": {"mode": "Webhook"}, "rotateCertificates": true})
    }

    #[test]
    fn each_setting_is_judged_on_every_node() {
        let mut bad = kubelet();
        bad["readOnlyPort"] = json!(10255);
        bad["authentication"]["anonymous"]["enabled"] = json!(true);
        bad["authorization"]["mode"] = json!("AlwaysAllow");
        bad["rotateCertificates"] = json!(false);
        let kubelets = [("a".to_owned(), kubelet()), ("b".to_owned(), bad)];
        for (wrong, shown) in [
            (
                read_only_port as fn(&Value) -> Option<String>,
                "readOnlyPort is 10255",
            ),
            (anonymous, "enabled is true"),
            (webhook, "mode is \"AlwaysAllow\""),
            (rotation, "rotateCertificates is false"),
        ] {
            assert_eq!(problems(&judge(&kubelets[..1], wrong)), "");
            let told = problems(&judge(&kubelets, wrong));
            assert!(
                told.starts_with("Node b: ") && told.contains(shown),
                "{told}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kubelet_that_cannot_be_asked_is_not_judged() {
        let world = World::new(|_, path| {
            if path.contains("/proxy/") {
                crate::checks::world::refusal(403, "Forbidden")
            } else {
                list("NodeList", json!([{"metadata": {"name": "a"}}]))
            }
        });
        let error = judge_each(&world.target(), anonymous).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("/api/v1/nodes/a/proxy/configz"),
            "{error:#}"
        );
        let world = World::new(|_, path| {
            if path.contains("/proxy/") {
                (200, json!({"kubeletconfig": kubelet()}))
            } else {
                list("NodeList", json!([{"metadata": {"name": "a"}}]))
            }
        });
        let answer = judge_each(&world.target(), anonymous).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Pass);
    }
}
