//! `addons-live`: the live addon objects are those that the release renders, and what the release
//! before had beyond them is gone.
//!
//! That a Cluster Stack Operator or a delivery says "applied" is a claim: objects were seen to stay at
//! release N behind a ClusterAddon that says N+1 and Ready (SovereignCloudStack/cluster-stacks#202).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersion;
use kube::discovery::{ApiCapabilities, Scope, pinned_group};
use serde_json::Value;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target};
use crate::cluster::compare::compare;
use crate::cluster::{Kind, Object};
use crate::record::Blocker;

const NAME: &str = "addons-live";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[],
    run: |target| Box::pin(run(target)),
};

/// What is being deleted may have finalizers to wait for.
const SETTLE: Duration = Duration::from_secs(30);
/// Where namespaced addon objects go that name no namespace, as the Cluster Stack Operator does.
const NAMESPACE: &str = "kube-system";
/// How many objects are fetched at the same time.
const SIDE_BY_SIDE: usize = 8;

/// A rendered object and what is live in its place.
struct Pair<'a> {
    rendered: &'a Value,
    live: Live,
}

enum Live {
    Found(Arc<Object>),
    Missing,
    /// The API server does not know the kind.
    NotServed,
}

type Served = BTreeMap<String, Vec<(ApiResource, ApiCapabilities)>>;

async fn run(target: &Target<'_>) -> Result<Answer> {
    if target.addons.is_empty() && target.dropped.is_empty() {
        let reason = "no release is given that renders addon objects to compare with";
        return Ok(Judgement::Skip(reason.to_owned()).into());
    }
    let served = served(target).await?;
    let rendered = pairs(target, &served, target.addons).await?;
    let mut dropped = pairs(target, &served, target.dropped).await?;
    let leaving: Vec<(Kind, String)> = dropped
        .iter()
        .filter_map(|pair| match &pair.live {
            Live::Found(object) if object.is_deleting() => {
                let (resource, _) = resource(&served, pair.rendered)?;
                Some((Kind::discovered(resource), object.namespace().to_owned()))
            }
            _ => None,
        })
        .collect();
    if leaving.is_empty() {
        return Ok(judge(&rendered, &dropped).into());
    }
    let watched: Vec<_> = leaving
        .iter()
        .map(|(kind, ns)| (kind.clone(), ns.as_str()))
        .collect();
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        for pair in &mut dropped {
            let Live::Found(object) = &pair.live else {
                continue;
            };
            let kind = resource(&served, pair.rendered).map(|(found, _)| Kind::discovered(found));
            let seen = kind
                .filter(|_| object.is_deleting())
                .is_some_and(|kind| view.get(&kind, object.namespace(), object.name()).is_none());
            if seen {
                pair.live = Live::Missing;
            }
        }
        judge(&rendered, &dropped)
    })
    .await
}

/// What the API server serves of the groups that the rendered objects name.
async fn served(target: &Target<'_>) -> Result<Served> {
    let mut served = Served::new();
    for object in target.addons.iter().chain(target.dropped) {
        let named = text(object, "apiVersion").to_owned();
        if served.contains_key(&named) {
            continue;
        }
        let version: GroupVersion = named
            .parse()
            .with_context(|| format!("a rendered object has the apiVersion '{named}'"))?;
        let resources = match pinned_group(target.workload, &version).await {
            Ok(group) => group.versioned_resources(&version.version),
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("failed to discover {named}"));
            }
        };
        served.insert(named, resources);
    }
    Ok(served)
}

fn resource<'s>(served: &'s Served, object: &Value) -> Option<&'s (ApiResource, ApiCapabilities)> {
    let resources = served.get(text(object, "apiVersion"))?;
    resources
        .iter()
        .find(|(resource, _)| resource.kind == text(object, "kind"))
}

async fn pairs<'a>(
    target: &Target<'_>,
    served: &Served,
    objects: &'a [Value],
) -> Result<Vec<Pair<'a>>> {
    // Collected first: a closure in the stream would not be general enough for a boxed future.
    let fetches: Vec<_> = objects
        .iter()
        .map(|rendered| pair(target, served, rendered))
        .collect();
    stream::iter(fetches)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await
}

async fn pair<'a>(target: &Target<'_>, served: &Served, rendered: &'a Value) -> Result<Pair<'a>> {
    let live = live(target, served, rendered).await?;
    Ok(Pair { rendered, live })
}

async fn live(target: &Target<'_>, served: &Served, rendered: &Value) -> Result<Live> {
    let Some((resource, capabilities)) = resource(served, rendered) else {
        return Ok(Live::NotServed);
    };
    let client = target.workload.clone();
    let place = place(rendered);
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Namespaced => Api::namespaced_with(client, place.namespace(), resource),
        Scope::Cluster => Api::all_with(client, resource),
    };
    let found = api.get_opt(place.name()).await;
    let found = found.with_context(|| format!("failed to get {}", place.reference()))?;
    let Some(mut object) = found else {
        return Ok(Live::Missing);
    };
    object.metadata.managed_fields = None;
    let json = serde_json::to_value(&object)?;
    Ok(Live::Found(Arc::new(Object::new("workload", json))))
}

/// The rendered object as it is named on the cluster.
fn place(rendered: &Value) -> Object {
    let mut named = serde_json::json!({
        "kind": rendered["kind"],
        "metadata": {"name": rendered["metadata"]["name"], "namespace": rendered["metadata"]["namespace"]},
    });
    if text(&rendered["metadata"], "namespace").is_empty() {
        named["metadata"]["namespace"] = NAMESPACE.into();
    }
    Object::new("workload", named)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn judge(rendered: &[Pair<'_>], dropped: &[Pair<'_>]) -> Judgement {
    // Images of another release first: the surest sign; then what is not there, then all the rest.
    let mut problems: Vec<(u8, Blocker)> = Vec::new();
    for Pair { rendered, live } in rendered {
        match live {
            Live::Found(object) => {
                let differences = compare(rendered, &object.json);
                problems.extend(differences.iter().map(|difference| {
                    let rank = if difference.is_image() { 0 } else { 3 };
                    (rank, object.blocker(difference.to_string()))
                }));
            }
            Live::Missing if removes_itself(rendered) => {}
            Live::Missing => problems.push((1, place(rendered).blocker("missing"))),
            Live::NotServed => {
                let version = text(rendered, "apiVersion");
                let condition =
                    format!("missing: the API server does not serve its kind in {version}");
                problems.push((1, place(rendered).blocker(condition)));
            }
        }
    }
    for Pair { live, .. } in dropped {
        if let Live::Found(object) = live {
            let mut left =
                object.blocker("still there, though the release does not have it any more");
            if object.is_deleting() {
                left.reason = "being deleted".to_owned();
                left.message = format!("finalizers {}", object.json["metadata"]["finalizers"]);
            }
            problems.push((2, left));
        }
    }
    problems.sort_by_key(|(rank, _)| *rank);
    let problems = problems.into_iter().map(|(_, problem)| problem).collect();
    Judgement::unless(problems, || {
        let objects = super::count(rendered.len(), "object");
        match dropped.len() {
            0 => format!("{objects} as rendered"),
            gone => format!(
                "{objects} as rendered, {} gone",
                super::count(gone, "dropped one")
            ),
        }
    })
}

/// Whether an object is meant to vanish once it has done its work.
fn removes_itself(rendered: &Value) -> bool {
    text(rendered, "kind") == "Job" && !rendered["spec"]["ttlSecondsAfterFinished"].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{problems, with, workload};
    use crate::checks::world::{World, refusal};
    use crate::record::Outcome;
    use serde_json::json;

    fn set() -> Arc<Object> {
        workload("DaemonSet", "cni", "example.org/cni:v2")
    }

    fn found(rendered: &Value, live: Live) -> Pair<'_> {
        Pair { rendered, live }
    }

    #[test]
    fn objects_as_rendered_and_dropped_ones_that_are_gone_pass() {
        let (set, gone) = (set(), json!({"kind": "ConfigMap"}));
        let judged = judge(
            &[found(&set.json, Live::Found(set.clone()))],
            &[found(&gone, Live::Missing), found(&gone, Live::NotServed)],
        );
        assert_eq!(
            judged,
            Judgement::Pass("1 object as rendered, 2 dropped ones gone".to_owned())
        );
    }

    #[test]
    fn images_come_first_then_what_is_missing_then_what_was_dropped_then_other_fields() {
        let (set, account) = (
            set(),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cni"}}),
        );
        let custom = json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "x"}});
        let old = with(&set, "/spec/replicas", json!(1));
        let old = with(
            &old,
            "/spec/template/spec/containers/0/image",
            json!("example.org/cni:v1"),
        );
        let left = Arc::new(Object::new(
            "workload",
            json!({"kind": "ConfigMap", "metadata": {
            "name": "old", "namespace": "kube-system", "deletionTimestamp": "2026-05-01T10:00:00Z", "finalizers": ["x/y"]}}),
        ));
        let judged = judge(
            &[
                found(&set.json, Live::Found(old)),
                found(&account, Live::Missing),
                found(&custom, Live::NotServed),
            ],
            &[found(&left.json, Live::Found(left.clone()))],
        );
        assert_eq!(
            problems(&judged),
            "DaemonSet kube-system/cni: spec.template.spec.containers[name=cni].image is 'example.org/cni:v1', the release says 'example.org/cni:v2'\n\
             ServiceAccount kube-system/cni: missing\n\
             Thing x/t: missing: the API server does not serve its kind in example.org/v1\n\
             ConfigMap kube-system/old: still there, though the release does not have it any more, being deleted: finalizers [\"x/y\"]\n\
             DaemonSet kube-system/cni: spec.replicas is 1, the release says 2"
        );
    }

    #[test]
    fn a_job_that_removes_itself_may_be_gone() {
        let job = json!({"kind": "Job", "metadata": {"name": "j"}, "spec": {"ttlSecondsAfterFinished": 0}});
        assert_eq!(problems(&judge(&[found(&job, Live::Missing)], &[])), "");
        let kept = json!({"kind": "Job", "metadata": {"name": "j"}, "spec": {}});
        assert_eq!(
            problems(&judge(&[found(&kept, Live::Missing)], &[])),
            "Job kube-system/j: missing"
        );
    }

    /// A cluster with one ConfigMap, asked as the check asks.
    async fn asked(addons: &[Value], may_read: bool) -> Result<Answer> {
        let world = World::new(move |_, path| match path {
            "/api/v1" => (
                200,
                json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "configmaps", "singularName": "configmap", "namespaced": true, "kind": "ConfigMap", "verbs": ["get"]}]}),
            ),
            "/api/v1/namespaces/kube-system/configmaps/there" if may_read => (
                200,
                json!({"kind": "ConfigMap", "apiVersion": "v1",
                "metadata": {"name": "there", "namespace": "kube-system"}, "data": {"a": "1"}}),
            ),
            "/api/v1/namespaces/kube-system/configmaps/there" => refusal(403, "Forbidden"),
            _ => refusal(404, "NotFound"),
        });
        run(&Target {
            addons,
            ..world.target()
        })
        .await
    }

    fn config_map(name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}})
    }

    #[tokio::test]
    async fn objects_are_fetched_by_what_the_server_serves() {
        let answer = asked(&[config_map("there", "1")], true).await.unwrap();
        assert_eq!(
            (answer.outcome, answer.message.as_str()),
            (Outcome::Pass, "1 object as rendered")
        );
        let thing =
            json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}});
        let answer = asked(
            &[config_map("there", "2"), config_map("gone", "1"), thing],
            true,
        )
        .await
        .unwrap();
        assert_eq!(
            answer.evidence,
            [
                "ConfigMap kube-system/gone: missing",
                "Thing kube-system/t: missing: the API server does not serve its kind in example.org/v1",
                "ConfigMap kube-system/there: data.a is '1', the release says '2'",
            ]
        );
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_not_judged_and_nothing_rendered_is_skipped() {
        let refused = asked(&[config_map("there", "1")], false).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("failed to get ConfigMap kube-system/there"),
            "{refused:#}"
        );
        assert_eq!(asked(&[], true).await.unwrap().outcome, Outcome::Skip);
    }
}
