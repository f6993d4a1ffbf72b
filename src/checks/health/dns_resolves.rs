//! `dns-resolves`: from a pod on every node, cluster DNS resolves the API's Service, and it answers.
//!
//! The check pod calls `agnhost connect kubernetes.default.svc:443` (kubernetes/kubernetes
//! `test/images/agnhost/connect`): it resolves the name by the pod's own `resolv.conf`, so the
//! cluster's domain is completed by its search list, and tells a failed look-up (`DNS: …`) from a
//! failed connection (`TIMEOUT`, `REFUSED`, `OTHER`). What it says becomes the container's
//! termination message, so that no log has to be read. A node fails when two attempts in a row do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::checks::judgement::{Judgement, problem, read, unread, watched};
use crate::checks::sandbox::{self, SERVICE_ACCOUNT, Sandbox};
use crate::checks::{Answer, Native, Parameters, Target, needs, pods};
use crate::cluster::{Object, Progress, WaitError, kinds};
use crate::record::Blocker;

const NAME: &str = "dns-resolves";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(120),
    parameters: Parameters::NONE,
    needs: &[
        needs::NODES,
        needs::SANDBOX,
        needs::CREATE_PODS,
        needs::PODS,
    ],
    run: |target| Box::pin(run(target)),
};

/// For how long pods may start, and two attempts may take.
const SETTLE: Duration = Duration::from_secs(90);
/// How many nodes are told of that have not answered yet.
const TOLD: usize = 10;
/// The Service that every cluster has.
const SERVICE: &str = "kubernetes.default.svc";

async fn run(target: &Target<'_>) -> Result<Answer> {
    let seen = target.view(&[(kinds::NODE, "")]);
    read(target, "the nodes", &[&seen]).await?;
    let (nodes, tolerant) = hosts(&seen.list(&kinds::NODE));
    if nodes.is_empty() {
        bail!("there is no node to ask from");
    }
    let sandbox = Sandbox::create(target, NAME).await?;
    let namespace = sandbox.namespace.clone();
    sandbox
        .around(ask(target, &namespace, &nodes, tolerant))
        .await
}

/// The nodes to ask from: those that take any pod; where none does (a control plane alone), all,
/// with pods that tolerate everything.
fn hosts(nodes: &[Arc<Object>]) -> (Vec<String>, bool) {
    let takes_pods = |node: &&Arc<Object>| {
        let repels =
            |taint: &Value| matches!(pods::text(taint, "/effect"), "NoSchedule" | "NoExecute");
        let cordoned = node
            .at("/spec/unschedulable")
            .is_some_and(|value| value == true);
        !cordoned && !node.array("/spec/taints").iter().any(repels)
    };
    let names = |nodes: &mut dyn Iterator<Item = &Arc<Object>>| {
        nodes.map(|n| n.name().to_owned()).collect()
    };
    let open: Vec<String> = names(&mut nodes.iter().filter(takes_pods));
    if open.is_empty() {
        (names(&mut nodes.iter()), true)
    } else {
        (open, false)
    }
}

async fn ask(
    target: &Target<'_>,
    namespace: &str,
    nodes: &[String],
    tolerant: bool,
) -> Result<Answer> {
    let api: Api<Pod> = Api::namespaced(target.workload.clone(), namespace);
    for (index, node) in nodes.iter().enumerate() {
        let pod = serde_json::from_value(check_pod(target, index, node, tolerant))?;
        let created = api.create(&PostParams::default(), &pod).await;
        created.with_context(|| format!("failed to create the check pod for node {node}"))?;
    }
    let view = target.view(&[(kinds::POD, namespace)]);
    let system = target.view(&[(kinds::POD, "kube-system")]);
    let probe = |index: usize| Probe {
        node: nodes[index].clone(),
        pod: view.get(&kinds::POD, namespace, &pod_name(index)),
    };
    // Nodes that have not answered yet; on a large cluster each change is about one of very many.
    let mut asked: Vec<usize> = (0..nodes.len()).collect();
    let waits = target.shared.pace.wait_for_pods();
    let waited = watched(
        target,
        "check dns-resolves",
        SETTLE,
        &[&view, &system],
        || {
            let mut blockers = unread(&[&view, &system]);
            let mut waiting = 0;
            while waiting < asked.len().min(TOLD) {
                match probe(asked[waiting]).pending() {
                    Some(blocker) => {
                        blockers.push(blocker);
                        waiting += 1;
                    }
                    None => {
                        asked.remove(waiting);
                    }
                }
            }
            Progress::unless(blockers)
        },
    )
    .await?;
    drop(waits);
    match waited {
        // By then each pod has had its time; what it says now counts.
        Ok(()) | Err(WaitError::Deadline { .. }) if unread(&[&view, &system]).is_empty() => {}
        Ok(()) => bail!("the cluster stopped answering"),
        Err(error) => return Err(error.into()),
    }
    let mut dns = system.list(&kinds::POD);
    dns.retain(|pod| pod.label("k8s-app") == Some("kube-dns"));
    let probes: Vec<Probe> = (0..nodes.len()).map(probe).collect();
    Ok(judge(&probes, &dns)?.into())
}

fn pod_name(index: usize) -> String {
    format!("dns-{index}")
}

fn check_pod(target: &Target<'_>, index: usize, node: &str, tolerant: bool) -> Value {
    let tolerations = if tolerant {
        json!([{"operator": "Exists"}])
    } else {
        json!([])
    };
    let on_node =
        json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    json!({
        "metadata": {"name": pod_name(index), "labels": sandbox::labels(&target.context.run, NAME)},
        "spec": {
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 0,
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // By affinity, not by name, so that the scheduler is asked as for any other pod.
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [on_node]}}},
            "tolerations": tolerations,
            // Dead DNS is told in seconds: each name of the search list is tried in turn.
            "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "2"}]},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "agnhost",
                "image": target.tools_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["connect", "--timeout=5s", format!("{SERVICE}:443")],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// A node and the check pod that was sent there.
struct Probe {
    node: String,
    pod: Option<Arc<Object>>,
}

impl Probe {
    fn status(&self, pointer: &str) -> Option<&Value> {
        self.pod
            .as_ref()?
            .array("/status/containerStatuses")
            .first()?
            .pointer(pointer)
    }

    fn phase(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| pod.str("/status/phase"))
    }

    fn has_succeeded(&self) -> bool {
        self.phase() == "Succeeded"
    }

    /// What the last attempt that failed said; none when none did.
    fn failure(&self) -> Option<&str> {
        let ended = self
            .status("/state/terminated")
            .or_else(|| self.status("/lastState/terminated"))?;
        (ended["exitCode"].as_i64() != Some(0)).then(|| {
            pods::text(ended, "/message")
                .lines()
                .next()
                .unwrap_or_default()
                .trim()
        })
    }

    /// What is still waited for; none when the pod has ended, or failed twice.
    fn pending(&self) -> Option<Blocker> {
        let restarted = self.status("/restartCount").and_then(Value::as_i64) >= Some(1);
        let runs = self.status("/state/running").is_some();
        let over = matches!(self.phase(), "Succeeded" | "Failed")
            || (restarted && !runs && self.failure().is_some());
        if over {
            return None;
        }
        let unknown = || problem("workload", "Node", "", &self.node, "check pod not seen yet");
        Some(self.pod.as_ref().map_or_else(unknown, |pod| {
            pods::trouble(pod).unwrap_or_else(|| pod.blocker("has not ended"))
        }))
    }
}

/// A check pod whose own image is not to be had says nothing about DNS: that is an error.
fn judge(probes: &[Probe], dns: &[Arc<Object>]) -> Result<Judgement> {
    let mut problems = Vec::new();
    let mut no_image = None;
    for probe in probes.iter().filter(|probe| !probe.has_succeeded()) {
        let trouble = probe.pod.as_ref().and_then(|pod| pods::trouble(pod));
        match probe.failure() {
            Some(said) => problems.push(failed(&probe.node, said)),
            None if probe.pod.as_ref().is_some_and(|pod| pods::lacks_image(pod)) => {
                no_image = trouble
            }
            None => {
                let mut blocker = problem(
                    "workload",
                    "Node",
                    "",
                    &probe.node,
                    "the check pod does not run",
                );
                blocker.message = trouble
                    .map(|trouble| trouble.to_string())
                    .unwrap_or_default();
                problems.push(blocker);
            }
        }
    }
    if let Some(first) = problems.first_mut() {
        // The likeliest cause belongs into the first sentence.
        first.message = format!("{}; {}", first.message, dns_state(dns));
        problems.extend(dns.iter().filter_map(|pod| pods::trouble(pod)));
    } else if let Some(trouble) = no_image {
        bail!("the check pod's own image is not to be had: {trouble}");
    }
    Ok(Judgement::unless(problems, || {
        let nodes = super::count(probes.len(), "node");
        format!("{SERVICE} is resolved and answers from {nodes}")
    }))
}

fn failed(node: &str, said: &str) -> Blocker {
    let condition = match said.split(':').next().unwrap_or_default() {
        "DNS" => format!("cannot resolve {SERVICE}"),
        "TIMEOUT" | "REFUSED" | "OTHER" => format!("resolves {SERVICE}, but cannot reach it"),
        _ => "the check pod failed".to_owned(),
    };
    let mut blocker = problem("workload", "Node", "", node, condition);
    blocker.message = if said.is_empty() {
        "without a word"
    } else {
        said
    }
    .to_owned();
    blocker
}

fn dns_state(dns: &[Arc<Object>]) -> String {
    if dns.is_empty() {
        return "there is no cluster DNS pod (kube-system, k8s-app=kube-dns)".to_owned();
    }
    let ready = dns.iter().filter(|pod| pods::is_ready(pod)).count();
    let state = format!(
        "{ready} of {} ready",
        super::count(dns.len(), "cluster DNS pod")
    );
    match dns.iter().find_map(|pod| pods::trouble(pod)) {
        // Its own words are long, and evidence on their own.
        Some(trouble) => format!(
            "{state}: {}",
            Blocker {
                message: String::new(),
                ..trouble
            }
        ),
        None => state,
    }
}

#[cfg(test)]
mod tests;
