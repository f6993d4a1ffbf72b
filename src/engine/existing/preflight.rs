//! Whether a management cluster that is somebody's has what a run needs, and lets it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::{Api, GroupVersionKind, PostParams};
use kube::{Client, discovery};
use serde_json::json;

use super::Problem;
use crate::cluster::kinds::{
    CLUSTER, CLUSTER_CLASS, KUBEADM_CONTROL_PLANE, MACHINE, MACHINE_DEPLOYMENT, SECRET,
};
use crate::cluster::{Kind, without_secrets};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// What the gate follows in the run's namespace, whatever a stack creates.
const WATCHED: [Kind; 6] = [
    CLUSTER,
    CLUSTER_CLASS,
    KUBEADM_CONTROL_PLANE,
    MACHINE,
    MACHINE_DEPLOYMENT,
    SECRET,
];
/// What is done with what is created, and with what is followed.
const WRITE: [&str; 3] = ["create", "patch", "delete"];
const READ: [&str; 3] = ["get", "list", "watch"];

/// Every problem at once; creates nothing.
pub(super) async fn problems(
    client: &Client,
    context: &str,
    created: &BTreeSet<(String, String)>,
) -> Vec<Problem> {
    let why = match tokio::time::timeout(ANSWER, client.apiserver_version()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(without_secrets(&error)),
        Err(_) => Some(format!("no answer within {} s", ANSWER.as_secs())),
    };
    if let Some(why) = why {
        return vec![Problem {
            what: format!("the management cluster of context '{context}' does not answer: {why}"),
            remedy: "see that it is up and its kubeconfig still holds, or name another: --kubeconfig FILE --context NAME".to_owned(),
        }];
    }
    let watched = WATCHED.map(|kind| {
        let resource = kind.resource();
        (resource.api_version, resource.kind)
    });
    let written = async |kind| Ok((resource(client, kind).await?, &WRITE[..]));
    let read = async |kind| Ok((resource(client, kind).await?, &READ[..]));
    let (written, read) = futures::join!(
        join_all(created.iter().map(written)),
        join_all(watched.iter().map(read)),
    );
    let mut wanted: BTreeSet<(&str, String, String)> = ["create", "get", "delete"]
        .into_iter()
        .map(|verb| (verb, String::new(), "namespaces".to_owned()))
        .collect();
    let mut problems = Vec::new();
    for kind in written.into_iter().chain(read) {
        match kind {
            Ok(((group, plural), verbs)) => wanted.extend(
                verbs
                    .iter()
                    .map(|verb| (*verb, group.clone(), plural.clone())),
            ),
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    // One that cannot be asked is told when it comes to it.
    let denied = join_all(
        wanted
            .iter()
            .map(|(verb, group, plural)| is_denied(client, verb, group, plural)),
    )
    .await;
    let denied: Vec<String> = wanted
        .iter()
        .zip(denied)
        .filter(|(_, denied)| *denied)
        .map(|((verb, group, plural), _)| match group.as_str() {
            "" => format!("{verb} {plural}"),
            group => format!("{verb} {plural}.{group}"),
        })
        .collect();
    if !denied.is_empty() {
        problems.push(Problem {
            what: format!(
                "the user of context '{context}' may not {}",
                denied.join(", ")
            ),
            remedy: "use an account that may, in every namespace: the run makes one of its own"
                .to_owned(),
        });
    }
    problems
}

/// A cluster that cannot be asked at all.
pub(super) fn unusable(context: &str, error: &anyhow::Error) -> Problem {
    Problem {
        what: format!("the management cluster of context '{context}' cannot be used: {error:#}"),
        remedy: "name another: --kubeconfig FILE --context NAME".to_owned(),
    }
}

/// Group and plural of a kind, or that it is not served.
async fn resource(
    client: &Client,
    (api_version, kind): &(String, String),
) -> Result<(String, String), Problem> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    match tokio::time::timeout(ANSWER, discovery::pinned_kind(client, &gvk)).await {
        Ok(Ok((resource, _))) => Ok((resource.group, resource.plural)),
        Ok(Err(error)) => Err(unserved(api_version, kind, &without_secrets(&error))),
        Err(_) => Err(unserved(
            api_version,
            kind,
            &format!("no answer within {} s", ANSWER.as_secs()),
        )),
    }
}

fn unserved(api_version: &str, kind: &str, why: &str) -> Problem {
    Problem {
        what: format!("the management cluster does not serve {kind} of {api_version}, which the stack needs: {why}"),
        remedy: "install the provider that brings it, e.g. with clusterctl init, in a version that serves it".to_owned(),
    }
}

async fn is_denied(client: &Client, verb: &str, group: &str, plural: &str) -> bool {
    let review =
        json!({"spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": plural}}});
    let Ok(review) = serde_json::from_value::<SelfSubjectAccessReview>(review) else {
        return false;
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = tokio::time::timeout(ANSWER, api.create(&PostParams::default(), &review)).await;
    asked.is_ok_and(|asked| {
        asked.is_ok_and(|review| review.status.is_some_and(|status| !status.allowed))
    })
}
