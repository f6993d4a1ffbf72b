//! scs-0217-v1 (draft): requests are authorised by Node and by one more method.
//!
//! Flags say which, or name a file whose content the API does not show. Then the API server is asked what
//! it would decide (SubjectAccessReview, which stores nothing): for a stranger, for a node about itself,
//! and for somebody whom RBAC alone lets do something.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::components::{Component, judge, replicas, unseen};
use crate::checks::judgement::{Judgement, problem};
use crate::checks::{Answer, Native, Parameters, Target, needs};

const API_SERVER: &str = "kube-apiserver";
/// Who is in no group but that of all who are known.
const STRANGER: &str = "stackgate:stranger";
const EVERYBODY: &str = "system:authenticated";
/// How RBAC begins its reasons; the Node authorizer gives none.
const BY_RBAC: &str = "RBAC:";

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0217-authorization-methods",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::PODS, needs::ASK_ACCESS],
    run: |target| Box::pin(run(target)),
};

async fn run(target: &Target<'_>) -> Result<Answer> {
    let servers = replicas(target, API_SERVER).await?;
    let (by_file, by_flags): (Vec<Component>, Vec<Component>) = servers
        .into_iter()
        .partition(|one| one.has("authorization-config"));
    let Some(first) = by_file.first() else {
        return Ok(judge(API_SERVER, &by_flags, modes).into());
    };
    if !by_flags.is_empty() && unseen(API_SERVER, &by_flags).is_none() {
        let flags = judge(API_SERVER, &by_flags, modes);
        if matches!(flags, Judgement::Fail(_)) {
            return Ok(flags.into());
        }
    }
    let node = first.pod.str("/spec/nodeName");
    let answers = Answers {
        stranger: ask(target, STRANGER, &[EVERYBODY], about("secrets", "")).await?,
        node: ask(
            target,
            &format!("system:node:{node}"),
            &["system:nodes", EVERYBODY],
            about("nodes", node),
        )
        .await?,
        known: ask(
            target,
            STRANGER,
            &[EVERYBODY],
            json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}}),
        )
        .await?,
    };
    Ok(answers.judge(first.flag("authorization-config")).into())
}

/// What the flag says.
fn modes(server: &Component) -> Vec<String> {
    let modes = server.list("authorization-mode");
    let told = modes.join(",");
    let mut wrong = Vec::new();
    if !modes.contains(&"Node") {
        wrong.push(format!("--authorization-mode is '{told}', without Node"));
    }
    let others = ["ABAC", "RBAC", "Webhook"];
    if !modes.iter().any(|mode| others.contains(mode)) {
        wrong.push(format!(
            "--authorization-mode is '{told}', without RBAC, ABAC or Webhook"
        ));
    }
    if modes.contains(&"AlwaysAllow") {
        wrong.push("--authorization-mode names AlwaysAllow".to_owned());
    }
    wrong
}

/// What the API server decides; none when nobody allows it, else the reason.
struct Answers {
    /// A stranger wants to read a Secret.
    stranger: Option<String>,
    /// A node wants to read itself.
    node: Option<String>,
    /// A stranger wants what Kubernetes' own bindings allow everybody.
    known: Option<String>,
}

impl Answers {
    fn judge(&self, file: &str) -> Judgement {
        let mut wrong = Vec::new();
        let mut add = |what: String| {
            wrong.push(problem("workload", "API server", "", "authorization", what));
        };
        if self.stranger.is_some() {
            add(format!("by {file}, a stranger may read Secrets"));
        }
        match &self.node {
            None => add(format!(
                "by {file}, no node may read itself: Node is not among the methods"
            )),
            Some(why) if why.starts_with(BY_RBAC) => add(format!(
                "by {file}, it is RBAC that lets a node read itself ({why}): Node is not shown to be among the methods"
            )),
            Some(_) => {}
        }
        if self.known.is_none() {
            add(format!(
                "by {file}, nobody allows what Kubernetes' own roles allow everybody: RBAC is not among the methods, nor another one that says so"
            ));
        }
        Judgement::unless(wrong, || {
            let rbac = self
                .known
                .as_ref()
                .is_some_and(|why| why.starts_with(BY_RBAC));
            let second = if rbac { "RBAC" } else { "another method" };
            format!("{file} is not shown, but Node and {second} were seen to decide")
        })
    }
}

fn about(resource: &str, name: &str) -> Value {
    json!({"resourceAttributes": {"verb": "get", "version": "v1", "resource": resource, "name": name}})
}

async fn ask(
    target: &Target<'_>,
    user: &str,
    groups: &[&str],
    about: Value,
) -> Result<Option<String>> {
    let mut spec = about;
    spec["user"] = json!(user);
    spec["groups"] = json!(groups);
    let review: SubjectAccessReview = serde_json::from_value(json!({"spec": spec}))?;
    let asked = Api::all(target.workload.clone())
        .create(&PostParams::default(), &review)
        .await;
    let review = asked.context("failed to ask what a user may do")?;
    let status = review.status.unwrap_or_default();
    Ok(status.allowed.then(|| status.reason.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::told;
    use super::*;
    use crate::checks::health::fixtures::problems;
    use crate::checks::world::{World, list};
    use crate::record::Outcome;

    #[test]
    fn two_methods_of_authorization_are_wanted() {
        let judge = |flags: &[&str]| told(API_SERVER, flags, modes);
        assert_eq!(judge(&["--authorization-mode=Node,RBAC"]), "");
        assert_eq!(judge(&["--authorization-mode", "Node,RBAC"]), "");
        assert!(judge(&["--authorization-mode=RBAC"]).contains("without Node"));
        assert!(judge(&["--authorization-mode=Node"]).contains("without RBAC"));
        assert!(judge(&["--authorization-mode=Node,RBAC,AlwaysAllow"]).contains("AlwaysAllow"));
    }

    #[test]
    fn a_file_is_judged_by_what_is_decided() {
        let rbac = || Some("RBAC: allowed by ClusterRoleBinding \"x\"".to_owned());
        let good = || Answers {
            stranger: None,
            node: Some(String::new()),
            known: rbac(),
        };
        let told = |answers: Answers| problems(&answers.judge("/authz.yaml"));
        assert_eq!(told(good()), "");
        let open = Answers {
            stranger: Some(String::new()),
            ..good()
        };
        assert!(told(open).contains("a stranger may read Secrets"));
        let closed = Answers {
            node: None,
            ..good()
        };
        assert!(told(closed).contains("Node is not among the methods"));
        let bound = Answers {
            node: rbac(),
            ..good()
        };
        assert!(told(bound).contains("it is RBAC that lets a node"));
        let alone = Answers {
            known: None,
            ..good()
        };
        assert!(told(alone).contains("RBAC is not among the methods"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_file_has_the_methods_the_api_server_is_asked() {
        let world = World::new(|_, path| {
            if path.contains("subjectaccessreviews") {
                return (201, json!({"spec": {}, "status": {"allowed": false}}));
            }
            list(
                "PodList",
                json!([{"metadata": {"name": "a", "namespace": "kube-system",
                    "labels": {"component": API_SERVER}},
                "spec": {"nodeName": "cp-1", "containers": [
                    {"name": "a", "command": ["kube-apiserver", "--authorization-config=/a.yaml"]}]}}]),
            )
        });
        let answer = run(&world.target()).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Fail, "{}", answer.message);
        assert!(
            answer
                .evidence
                .iter()
                .any(|line| line.contains("by /a.yaml, no node may read itself"))
        );
        let asked = world.requests();
        let asked = asked
            .iter()
            .filter(|one| one.contains("subjectaccessreviews"));
        assert_eq!(asked.count(), 3);
    }
}
