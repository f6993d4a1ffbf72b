//! Programs of the management cluster that end although they should not.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::TryStreamExt;
use futures::future::join_all;

use super::container::RESTARTS;
use crate::engine::kind::docker::{self, Node};
use crate::engine::kind::names::{RUN_LABEL, of_run};
use crate::engine::{ENGINE, EngineError};
use crate::record::{Finding, ObjectRef, RunId};

/// How many of a program's last lines are shown.
const LINES: usize = 8;
/// What etcd says when its quota is used up, and what it tells who asks it.
const FULL: [&str; 2] = ["NOSPACE", "database space exceeded"];
/// Who says so: etcd itself once, the API server each time that it cannot renew its lease. Cluster API's managers
/// may speak of the etcd of a workload cluster.
const ETCD: &str = "etcd";
const CLIENT: &str = "kube-apiserver";
/// How far back in their logs it is looked for.
const LOOK_BACK: usize = 200;

/// Resolves when a program of the run's has ended for good. Never, while all is well.
pub(super) async fn first_death(docker: &Docker, run: &RunId) -> EngineError {
    let label = format!("{RUN_LABEL}={run}");
    let filters = HashMap::from([("event", vec!["die"]), ("label", vec![label.as_str()])]);
    let options = EventsOptionsBuilder::new().filters(&filters).build();
    let mut deaths = std::pin::pin!(docker.events(Some(options)));
    while let Ok(Some(_)) = deaths.try_next().await {
        if let Some(finding) = dead(docker, &parts(docker, run).await).await {
            return EngineError::Cause(Box::new(finding));
        }
    }
    // Docker does not tell; the deadline does.
    std::future::pending().await
}

/// That etcd is full, else the first program of the run's that has ended for good: of the former, the managers end,
/// too.
pub(in crate::engine::kind) async fn down(docker: &Docker, run: &RunId) -> Option<Finding> {
    let parts = parts(docker, run).await;
    match full(docker, &parts).await {
        Some(finding) => Some(finding),
        None => dead(docker, &parts).await,
    }
}

async fn dead(docker: &Docker, parts: &[Node]) -> Option<Finding> {
    let looks = parts.iter().map(|part| async move {
        let container = docker::inspect(docker, &part.id).await.ok()??;
        let message = ended(part, &container)?;
        Some(finding(docker, part, "management-program-ended", message).await)
    });
    join_all(looks).await.into_iter().flatten().next()
}

async fn full(docker: &Docker, parts: &[Node]) -> Option<Finding> {
    let named = |name: &str| {
        let mut parts = parts.iter();
        parts.find(|node| node.part.as_deref() == Some(name))
    };
    for name in [ETCD, CLIENT] {
        let Some(part) = named(name) else {
            continue;
        };
        let lines = docker::logs(docker, &part.id, LOOK_BACK).await;
        let lines = lines.unwrap_or_default();
        let Some(said) = lines.iter().rev().find(|line| is_full(line)) else {
            continue;
        };
        let message = "etcd of the management cluster is full: it takes no writes".to_owned();
        let part = named(ETCD).unwrap_or(part);
        let mut finding = finding(docker, part, "etcd-full", message).await;
        finding.evidence.insert(0, format!("{name}: {said}"));
        return Some(finding);
    }
    None
}

fn is_full(line: &str) -> bool {
    FULL.iter().any(|word| line.contains(word)) && !line.contains("disarmed")
}

async fn parts(docker: &Docker, run: &RunId) -> Vec<Node> {
    let mut nodes = docker::nodes(docker).await.unwrap_or_default();
    nodes.retain(|node| node.part.is_some() && node.cluster == of_run(run));
    nodes
}

/// Why a program does not run any more; none while Docker starts it again.
fn ended(part: &Node, container: &ContainerInspectResponse) -> Option<String> {
    let end = docker::end_of(container.state.as_ref()?)?;
    let restarts = container.restart_count.unwrap_or_default();
    let patient = container
        .host_config
        .as_ref()
        .and_then(|host| host.restart_policy.as_ref()?.maximum_retry_count)
        .is_some_and(|count| count > 0);
    if patient && restarts < RESTARTS {
        return None;
    }
    let name = part.part.as_deref().unwrap_or(&part.name);
    let again = match restarts {
        0 => String::new(),
        count => format!(", after it was started again {count} times"),
    };
    Some(format!("{name} of the management cluster {end}{again}"))
}

async fn finding(docker: &Docker, part: &Node, cause: &str, message: String) -> Finding {
    let lines = docker::logs(docker, &part.id, LINES).await;
    Finding {
        cause: cause.to_owned(),
        message,
        object: ObjectRef {
            cluster: ENGINE.to_owned(),
            kind: "container".to_owned(),
            namespace: None,
            name: part.name.clone(),
        },
        evidence: lines.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part() -> Node {
        Node {
            id: "1".to_owned(),
            name: "stackgate-7f3a09bc-etcd".to_owned(),
            cluster: "stackgate-7f3a09bc".to_owned(),
            part: Some("etcd".to_owned()),
            running: false,
            image: String::new(),
            volumes: Vec::new(),
        }
    }

    fn container(status: &str, restarts: i64, retries: i64) -> ContainerInspectResponse {
        serde_json::from_value(json!({
            "RestartCount": restarts,
            "State": {"Status": status, "ExitCode": 1, "Restarting": status == "restarting"},
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": retries}},
        }))
        .unwrap()
    }

    #[test]
    fn etcd_is_full_when_it_says_so() {
        for line in [
            r#"{"level":"warn","msg":"alarm raised","alarm":"NOSPACE","from":"8e9e05c52164694d"}"#,
            "etcdserver: mvcc: database space exceeded",
        ] {
            assert!(is_full(line), "{line}");
        }
        assert!(!is_full(
            r#"{"level":"info","msg":"serving client traffic securely"}"#
        ));
    }

    #[test]
    fn a_program_has_ended_when_nobody_starts_it_again() {
        let told =
            |status, restarts, retries| ended(&part(), &container(status, restarts, retries));
        assert_eq!(told("running", 0, 0), None);
        assert_eq!(told("restarting", 1, RESTARTS), None);
        assert_eq!(told("exited", 0, RESTARTS), None);
        assert_eq!(
            told("exited", 0, 0).as_deref(),
            Some("etcd of the management cluster has ended with exit code 1")
        );
        let again = told("exited", RESTARTS, RESTARTS).unwrap();
        assert!(
            again.ends_with("after it was started again 2 times"),
            "{again}"
        );
    }
}
