//! scs-0219, light: NetworkPolicies are heeded, shown by real traffic between pods of two namespaces.
//!
//! A client in each namespace reaches a server; all ingress to the server is denied, then allowed again for the
//! other namespace's client by its labels; then all egress of that client is denied. At the end the policies go,
//! and both clients have to reach the server again: only then was it the policies that denied. After each step
//! the network has a while to follow. The full proof is the conformance tests' own (`kaas-networking-check`).

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

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
        needs::OWN_NETWORK_POLICIES,
    ],
    run: |target| Box::pin(run(target)),
};

/// How long pods may take to start, image pull included.
const START: Duration = Duration::from_secs(120);
/// For how long traffic is tried until it is as a policy demands, and how long a try may take to connect: as
/// long as the conformance tests of NetworkPolicy give a network to follow, and a connection within it.
const FOLLOW: Duration = Duration::from_secs(10);
const CONNECT: &str = "--timeout=1s";
/// How often it is tried at least, however long a pod takes to start.
const TRIES: usize = 2;
const PORT: &str = "8080";
/// The policies.
const DENY: &str = "deny-ingress";
const ALLOW: &str = "allow-client";
const KEEP: &str = "deny-egress";
/// What is wrong at the end.
const AFTER: &str = "the policies are gone, and a client that reached the server before them does not: it is not shown that it was they that denied";

async fn run(target: &Target<'_>) -> Result<Answer> {
    let sandbox = Sandbox::create(target, NAME).await?;
    let home = sandbox.namespace.clone();
    let work = async {
        let sandbox = Sandbox::create(target, NAME).await?;
        let away = sandbox.namespace.clone();
        let steps = Steps {
            target,
            home: &home,
            away: &away,
        };
        sandbox.around(steps.all()).await
    };
    sandbox.around(work).await
}

struct Steps<'a> {
    target: &'a Target<'a>,
    /// Where the server and a client are.
    home: &'a str,
    /// Where the other client is.
    away: &'a str,
}

/// What a step expects of the traffic.
struct Step<'a> {
    name: &'a str,
    /// The policy that was made or taken back last.
    policy: &'a str,
    /// What is wrong where the client of the server's own namespace does not do as this says.
    near: Option<(bool, &'a str)>,
    /// The same of the other namespace's client.
    far: Option<(bool, &'a str)>,
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
        let address = server.serve(self.target, self.home, START).await?;
        let to = if address.contains(':') {
            format!("[{address}]:{PORT}")
        } else {
            format!("{address}:{PORT}")
        };
        let before = async |namespace, whose| {
            let (reached, said) = self.traffic("before", namespace, &to, true).await?;
            ensure!(
                reached,
                "without any NetworkPolicy a client of {whose} namespace cannot reach the server ({said}): nothing can be shown"
            );
            Ok(())
        };
        try_join(before(self.home, "its own"), before(self.away, "another")).await?;
        let server = json!({"matchLabels": {"role": "server"}});
        let client = json!({"matchLabels": {"role": "client"}});
        let from = json!({"podSelector": client,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.away}}});
        let deny = json!({"podSelector": server, "policyTypes": ["Ingress"]});
        let allow = json!({"podSelector": server, "policyTypes": ["Ingress"], "ingress": [{"from": [from]}]});
        let keep = json!({"podSelector": client, "policyTypes": ["Egress"]});

        self.policy(self.home, DENY, deny).await?;
        let step = Step {
            name: "denied",
            policy: DENY,
            near: Some((
                false,
                "a client still reaches a server all of whose ingress is denied",
            )),
            far: Some((
                false,
                "a client of another namespace still reaches a server all of whose ingress is denied",
            )),
        };
        if let Some(ignored) = self.step(&step, &to).await? {
            return Ok(ignored);
        }
        self.policy(self.home, ALLOW, allow).await?;
        let step = Step {
            name: "allowed",
            policy: ALLOW,
            near: Some((
                false,
                "a client still reaches a server that another namespace's clients alone may reach",
            )),
            far: Some((
                true,
                "a client whose labels are allowed does not reach the server",
            )),
        };
        if let Some(ignored) = self.step(&step, &to).await? {
            return Ok(ignored);
        }
        self.policy(self.away, KEEP, keep).await?;
        let step = Step {
            name: "kept",
            policy: KEEP,
            near: None,
            far: Some((
                false,
                "a client all of whose egress is denied still reaches a server",
            )),
        };
        if let Some(ignored) = self.step(&step, &to).await? {
            return Ok(ignored);
        }
        for (namespace, policy) in [(self.home, DENY), (self.home, ALLOW), (self.away, KEEP)] {
            self.take_back(namespace, policy).await?;
        }
        let step = Step {
            name: "after",
            policy: "(none)",
            near: Some((true, AFTER)),
            far: Some((true, AFTER)),
        };
        if let Some(still) = self.step(&step, &to).await? {
            return Ok(still);
        }
        Ok(Judgement::Pass(
            "denied and allowed traffic is what the policies say, for ingress and egress, within a namespace and between two; without them all of it passes again"
                .to_owned(),
        )
        .into())
    }

    /// What is wrong with the traffic after a step; none when it is as it has to be.
    async fn step(&self, step: &Step<'_>, to: &str) -> Result<Option<Answer>> {
        let ask = async |namespace, wanted: Option<(bool, &str)>| {
            let Some((wanted, wrong)) = wanted else {
                return Ok(None);
            };
            let (reached, said) = self.traffic(step.name, namespace, to, wanted).await?;
            let said = said.trim();
            let told = if said.is_empty() {
                wrong.to_owned()
            } else {
                format!("{wrong}: {said}")
            };
            anyhow::Ok((reached != wanted).then(|| ignored(step.policy, &told)))
        };
        let (near, far) = try_join(ask(self.home, step.near), ask(self.away, step.far)).await?;
        Ok(near.or(far))
    }

    async fn policy(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.target.workload.clone(), namespace);
        let labels = sandbox::labels(&self.target.context.run, NAME);
        let policy = serde_json::from_value(
            json!({"metadata": {"name": name, "labels": labels}, "spec": spec}),
        )?;
        let created = api.create(&PostParams::default(), &policy).await;
        created.with_context(|| format!("failed to create NetworkPolicy {name}"))?;
        Ok(())
    }

    async fn take_back(&self, namespace: &str, name: &str) -> Result<()> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.target.workload.clone(), namespace);
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("failed to delete NetworkPolicy {name}"))?;
        Ok(())
    }

    /// Whether a client reaches the server, tried until it is as `wanted`, and what it said.
    async fn traffic(
        &self,
        step: &str,
        namespace: &str,
        to: &str,
        wanted: bool,
    ) -> Result<(bool, String)> {
        let mut last = (!wanted, String::new());
        let began = Instant::now();
        let follow = self.target.context.scaled(FOLLOW);
        for attempt in 0.. {
            let name = format!("client-{step}-{attempt}");
            let client = ToolPod {
                name: &name,
                check: NAME,
                args: &["connect", CONNECT, to],
                labels: &[("role", "client")],
                ..ToolPod::default()
            };
            let ended = client.run(self.target, namespace, START).await?;
            last = (ended.well, ended.said.clone());
            if did_not_run(&ended) {
                bail!("the client pod {name} {}", ended.said);
            }
            if ended.well == wanted || attempt + 1 >= TRIES && began.elapsed() >= follow {
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
