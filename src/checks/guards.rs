//! `operator-guards`: the Cluster Stack Operator's webhooks refuse what no cluster may come to. Every request is a dry
//! run: whatever is answered, nothing changes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Answer, Judgement, ManagementTarget, Native, Parameters, Target};
use crate::cluster::{Kind, kinds};
use crate::record::Outcome;
use crate::stack::{ReleaseTag, Version};

/// The check.
pub const CHECK: Native = Native {
    name: "operator-guards",
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[],
    run: |target| Box::pin(run(target)),
};

/// What must be refused.
#[derive(Debug, PartialEq)]
struct Forbidden {
    /// In a few words.
    what: &'static str,
    kind: Kind,
    name: String,
    request: Request,
}

#[derive(Debug, PartialEq)]
enum Request {
    Create(Value),
    Patch(Value),
    Delete,
}

/// What there is to be guarded.
struct Guarded {
    cluster: Value,
    stacks: Vec<Value>,
    releases: Vec<Value>,
    addons: Vec<Value>,
}

async fn run(target: &Target<'_>) -> Result<Answer> {
    let skip = |reason: &str| Ok(Judgement::Skip(reason.to_owned()).into());
    let Some(management) = &target.management else {
        return skip("no management cluster is given");
    };
    let stacks = list(management, &kinds::CLUSTER_STACK).await?;
    if stacks.is_empty() {
        return skip("the Cluster Stack Operator delivers nothing here");
    }
    let cluster = api(management, &kinds::CLUSTER)
        .get(management.cluster)
        .await?;
    let guarded = Guarded {
        cluster: serde_json::to_value(cluster)?,
        stacks,
        releases: list(management, &kinds::CLUSTER_STACK_RELEASE).await?,
        addons: list(management, &kinds::CLUSTER_ADDON).await?,
    };
    let forbidden =
        forbidden(&guarded).context("the Cluster is of no release of a cluster stack")?;
    let (mut admitted, mut evidence) = (Vec::new(), Vec::new());
    for one in &forbidden {
        let what = one.what;
        match refusal(management, one).await? {
            Some(words) => evidence.push(format!("{what}: refused: {words}")),
            None => admitted.push(what),
        }
    }
    if admitted.is_empty() {
        let message = format!("{} of {} were refused", evidence.len(), forbidden.len());
        let outcome = Outcome::Pass;
        return Ok(Answer {
            outcome,
            message,
            evidence,
        });
    }
    let message = format!("not refused: {}", admitted.join("; "));
    evidence.splice(
        0..0,
        admitted.iter().map(|what| format!("{what}: admitted")),
    );
    let outcome = Outcome::Fail;
    Ok(Answer {
        outcome,
        message,
        evidence,
    })
}

fn api(management: &ManagementTarget<'_>, kind: &Kind) -> Api<DynamicObject> {
    let client = management.client.clone();
    Api::namespaced_with(client, management.namespace, &kind.resource())
}

/// The objects of a kind; none where it is not served.
async fn list(management: &ManagementTarget<'_>, kind: &Kind) -> Result<Vec<Value>> {
    match api(management, kind).list(&ListParams::default()).await {
        Ok(found) => Ok(found
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The words with which something is refused; none when it is not.
async fn refusal(management: &ManagementTarget<'_>, one: &Forbidden) -> Result<Option<String>> {
    let objects = api(management, &one.kind);
    let name = one.name.as_str();
    let answer = match &one.request {
        Request::Create(object) => {
            let object: DynamicObject = serde_json::from_value(object.clone())?;
            let params = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            objects.create(&params, &object).await.map(drop)
        }
        Request::Patch(patch) => {
            let params = PatchParams {
                dry_run: true,
                ..PatchParams::default()
            };
            objects
                .patch(name, &params, &Patch::Merge(patch))
                .await
                .map(drop)
        }
        Request::Delete => {
            let params = DeleteParams::default().dry_run();
            objects.delete(name, &params).await.map(drop)
        }
    };
    match answer {
        Ok(()) => Ok(None),
        Err(kube::Error::Api(status)) if is_refusal(status.code, &status.message) => {
            Ok(Some(status.message))
        }
        Err(error) => Err(error).with_context(|| format!("{}: no answer", one.what)),
    }
}

/// Whether it is a webhook that says no, whatever its code, or the schema.
fn is_refusal(code: u16, message: &str) -> bool {
    message.contains("denied the request") || code == 422
}

/// Everything that must be refused, as far as there is something for it.
fn forbidden(guarded: &Guarded) -> Result<Vec<Forbidden>> {
    let cluster = &guarded.cluster;
    let text = |object: &Value, pointer: &str| {
        let found = object.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let name = text(cluster, "/metadata/name");
    let class = text(cluster, "/spec/topology/classRef/name");
    let tag: ReleaseTag = class.parse()?;
    let version: Version = text(cluster, "/spec/topology/version").parse()?;
    if version.minor != tag.minor {
        bail!("class {class} is not of Kubernetes {version}");
    }
    let other = |change: fn(&mut Version)| {
        let mut other = version;
        change(&mut other);
        other.to_string()
    };
    let of = |kind: &Kind, what, name: &str, request| Forbidden {
        what,
        kind: kind.clone(),
        name: name.to_owned(),
        request,
    };
    let fresh = |spec: Value| {
        let namespace = &cluster["metadata"]["namespace"];
        json!({
            "apiVersion": cluster["apiVersion"], "kind": "Cluster",
            "metadata": {"name": format!("{name}-guard"), "namespace": namespace}, "spec": spec,
        })
    };
    let moved = |version: String| json!({"spec": {"topology": {"version": version}}});

    let plane = json!({"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "KubeadmControlPlane", "name": "a"});
    let bare = fresh(json!({"controlPlaneRef": plane}));
    let mut unlike = json!({"topology": cluster["spec"]["topology"]});
    unlike["topology"]["version"] = json!(other(|version| version.patch += 1));
    unlike["clusterNetwork"] = cluster["spec"]["clusterNetwork"].clone();
    let one = &kinds::CLUSTER;
    let mut all = vec![
        of(
            one,
            "a Cluster without a topology",
            &name,
            Request::Create(bare),
        ),
        of(
            one,
            "a Cluster of another version than its release",
            &name,
            Request::Create(fresh(unlike)),
        ),
        of(
            one,
            "an upgrade over a minor of Kubernetes",
            &name,
            Request::Patch(moved(other(|version| version.minor += 2))),
        ),
        of(
            one,
            "a way back to the minor before",
            &name,
            Request::Patch(moved(other(|version| {
                version.minor = version.minor.saturating_sub(1)
            }))),
        ),
    ];
    let minor = format!("{}.{}", version.major, version.minor);
    let stack = guarded
        .stacks
        .iter()
        .find(|stack| stack["spec"]["kubernetesVersion"] == *minor);
    if let Some(stack) = stack {
        let (one, name) = (&kinds::CLUSTER_STACK, text(stack, "/metadata/name"));
        let patch = |spec: Value| Request::Patch(json!({"spec": spec}));
        // The operator judges versions when a ClusterStack is made, and not those that are added later.
        let mut odd = json!({
            "apiVersion": one.resource().api_version, "kind": "ClusterStack", "spec": stack["spec"],
            "metadata": {"name": format!("{name}-guard"), "namespace": stack["metadata"]["namespace"]},
        });
        odd["spec"]["versions"] = json!(["one"]);
        all.extend([
            of(
                one,
                "another Kubernetes for a ClusterStack",
                &name,
                patch(json!({"kubernetesVersion": "1.99"})),
            ),
            of(
                one,
                "a ClusterStack with a version that is none",
                &name,
                Request::Create(odd),
            ),
            of(
                one,
                "the end of a ClusterStack in use",
                &name,
                Request::Delete,
            ),
        ]);
    }
    let tag = tag.to_string();
    if guarded
        .releases
        .iter()
        .any(|release| release["metadata"]["name"] == *tag)
    {
        let one = &kinds::CLUSTER_STACK_RELEASE;
        all.push(of(
            one,
            "the end of a release in use",
            &tag,
            Request::Delete,
        ));
    }
    let addon = guarded
        .addons
        .iter()
        .find(|addon| addon["spec"]["clusterRef"]["name"] == *name);
    if let Some(addon) = addon {
        let (one, name) = (&kinds::CLUSTER_ADDON, text(addon, "/metadata/name"));
        let patch = json!({"spec": {"clusterRef": {"name": "another"}}});
        all.push(of(
            one,
            "another Cluster for a ClusterAddon",
            &name,
            Request::Patch(patch),
        ));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> Guarded {
        Guarded {
            cluster: json!({
                "apiVersion": "cluster.x-k8s.io/v1beta2",
                "metadata": {"name": "c", "namespace": "n"},
                "spec": {"topology": {"classRef": {"name": "docker-demo-1-34-v1"}, "version": "v1.34.3"}},
            }),
            stacks: vec![json!({"metadata": {"name": "s"}, "spec": {"kubernetesVersion": "1.34"}})],
            releases: vec![json!({"metadata": {"name": "docker-demo-1-34-v1"}})],
            addons: vec![json!({"metadata": {"name": "a"}, "spec": {"clusterRef": {"name": "c"}}})],
        }
    }

    #[test]
    fn what_is_there_is_what_is_tried() {
        let all = forbidden(&guarded()).unwrap();
        assert_eq!(all.len(), 9);
        let Request::Patch(far) = &all[2].request else {
            panic!("{:?}", all[2]);
        };
        assert_eq!(far["spec"]["topology"]["version"], "v1.36.3");
        // Only what nobody has is left out.
        let bare = Guarded {
            stacks: Vec::new(),
            releases: Vec::new(),
            addons: Vec::new(),
            ..guarded()
        };
        assert_eq!(forbidden(&bare).unwrap().len(), 4);
        let mut odd = guarded();
        odd.cluster["spec"]["topology"]["version"] = json!("v1.35.0");
        assert!(forbidden(&odd).is_err());
    }

    #[test]
    fn a_webhook_that_does_not_answer_has_refused_nothing() {
        assert!(is_refusal(
            403,
            "admission webhook \"a\" denied the request: no"
        ));
        assert!(is_refusal(422, "spec.versions: Invalid value"));
        assert!(!is_refusal(
            500,
            "failed calling webhook \"a\": connection refused"
        ));
        assert!(!is_refusal(
            403,
            "clusters is forbidden: User \"a\" cannot create resource"
        ));
    }
}
