//! scs-0219, light: NetworkPolicies are heeded, shown by real traffic between pods.
//!
//! A client reaches a server; all ingress to the server is denied, then allowed again for the client's
//! label; then all egress of the client is denied. After each step the network has a while to follow.
//! The full proof is the conformance tests' own (`kaas-networking-check`).

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::checks::judgement::{Judgement, problem};
use crate::checks::sandbox::{self, Sandbox};
use crate::checks::tool_pod::{Ended, ToolPod};
use crate::checks::{Answer, Native, Parameters, Target, needs};

const NAME: &str = "scs-0219-network-policy";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(300),
    parameters: Parameters::NONE,
    needs: &[
        needs::SANDBOX,
        needs::CREATE_PODS,
        needs::PODS,
        needs::CREATE_NETWORK_POLICIES,
    ],
    run: |target| Box::pin(run(target)),
};

/// How long pods may take to start, image pull included.
const START: Duration = Duration::from_secs(120);
/// How often traffic is tried until it is as a policy demands: with the time that each try takes to
/// start a pod and to be refused, a network has some twenty seconds to follow.
const TRIES: usize = 5;
const PORT: &str = "8080";

async fn run(target: &Target<'_>) -> Result<Answer> {
    let sandbox = Sandbox::create(target, NAME).await?;
    let namespace = sandbox.namespace.clone();
    let steps = Steps {
        target,
        namespace: &namespace,
    };
    sandbox.around(steps.all()).await
}

struct Steps<'a> {
    target: &'a Target<'a>,
    namespace: &'a str,
}

impl Steps<'_> {
    async fn all(self) -> Result<Answer> {
        let server = ToolPod {
            name: "server",
            check: NAME,
            args: &["netexec", "--http-port=8080", "--udp-port=-1"],
            labels: &[("role", "server")],
            serves: true,
            ..ToolPod::default()
        };
        let address = server.serve(self.target, self.namespace, START).await?;
        let to = if address.contains(':') {
            format!("[{address}]:{PORT}")
        } else {
            format!("{address}:{PORT}")
        };
        let (reached, said) = self.traffic("before", &to, true).await?;
        if !reached {
            bail!(
                "without any NetworkPolicy the client cannot reach the server ({said}): nothing can be shown"
            );
        }
        let deny =
            json!({"podSelector": {"matchLabels": {"role": "server"}}, "policyTypes": ["Ingress"]});
        self.policy("deny-ingress", deny).await?;
        let (reached, _) = self.traffic("ingress-denied", &to, false).await?;
        if reached {
            return Ok(ignored(
                "deny-ingress",
                "a client still reaches a server all of whose ingress is denied",
            ));
        }
        let allow = json!({"podSelector": {"matchLabels": {"role": "server"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "client"}}}]}]});
        self.policy("allow-client", allow).await?;
        let (reached, said) = self.traffic("ingress-allowed", &to, true).await?;
        if !reached {
            return Ok(ignored(
                "allow-client",
                &format!("a client whose label is allowed does not reach the server: {said}"),
            ));
        }
        let deny =
            json!({"podSelector": {"matchLabels": {"role": "client"}}, "policyTypes": ["Egress"]});
        self.policy("deny-egress", deny).await?;
        let (reached, _) = self.traffic("egress-denied", &to, false).await?;
        if reached {
            return Ok(ignored(
                "deny-egress",
                "a client all of whose egress is denied still reaches a server",
            ));
        }
        Ok(Judgement::Pass(
            "denied and allowed traffic is what the policies say, for ingress and egress"
                .to_owned(),
        )
        .into())
    }

    async fn policy(&self, name: &str, spec: Value) -> Result<()> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.target.workload.clone(), self.namespace);
        let labels = sandbox::labels(&self.target.context.run, NAME);
        let policy = serde_json::from_value(
            json!({"metadata": {"name": name, "labels": labels}, "spec": spec}),
        )?;
        let created = api.create(&PostParams::default(), &policy).await;
        created.with_context(|| format!("failed to create NetworkPolicy {name}"))?;
        Ok(())
    }

    /// Whether a client reaches the server, tried until it is as `wanted`, and what it said.
    async fn traffic(&self, step: &str, to: &str, wanted: bool) -> Result<(bool, String)> {
        let mut last = (!wanted, String::new());
        for attempt in 0..TRIES {
            let name = format!("client-{step}-{attempt}");
            let client = ToolPod {
                name: &name,
                check: NAME,
                args: &["connect", "--timeout=3s", to],
                labels: &[("role", "client")],
                ..ToolPod::default()
            };
            let ended = client.run(self.target, self.namespace, START).await?;
            last = (ended.well, ended.said.clone());
            if did_not_run(&ended) {
                bail!("the client pod {name} {}", ended.said);
            }
            if ended.well == wanted {
                break;
            }
        }
        Ok(last)
    }
}

/// A client that never ran says nothing about the network.
fn did_not_run(ended: &Ended) -> bool {
    ended.said.starts_with("does not run")
}

fn ignored(policy: &str, what: &str) -> Answer {
    Judgement::Fail(vec![problem("workload", "NetworkPolicy", "", policy, what)]).into()
}
