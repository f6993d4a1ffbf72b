//! The workload cluster as a run knows it: from the Cluster object to a client that answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use kube::Client;
use serde_json::{Value, json};

use super::trouble::Trouble;
use crate::cluster::{Applier, Apply, Context, Investigate, Object, Progress, View, kinds, wait};
use crate::delivery::{Inputs, operator_kinds};
use crate::engine::{Engine, Management};
use crate::record::{Blocker, Finding, ObjectRef};
use crate::stack::{Delivery, Spec};

/// Looks below a Cluster that has no Machines yet: there is nothing but what the engine runs on.
struct Below<'a>(&'a dyn Engine);

impl Investigate for Below<'_> {
    fn investigate<'b>(&'b self, blockers: &'b [Blocker]) -> BoxFuture<'b, Option<Finding>> {
        self.0.investigate(blockers, &[])
    }
}

/// Waits for the workload cluster's kubeconfig, and makes a client from it.
pub(super) async fn connect(
    context: &Context,
    engine: &dyn Engine,
    management: &Management,
    cluster: &str,
    deadline: Duration,
) -> Result<Client, Trouble> {
    let namespace = management.namespace.as_str();
    let name = format!("{cluster}-kubeconfig");
    let secrets = View::start(
        "management",
        &management.client,
        &[(kinds::SECRET, namespace)],
    );
    let what = format!("kubeconfig of {cluster}");
    let secret = wait(
        context,
        &what,
        deadline,
        &[&secrets],
        Some(&Below(engine)),
        || match secrets.get(&kinds::SECRET, namespace, &name) {
            Some(secret) if secret.at("/data/value").is_some() => Progress::Done(secret),
            _ => {
                let place = ObjectRef::new("management", "Secret", namespace, &name);
                Progress::Blocked(vec![Blocker::new(place, "missing")])
            }
        },
    )
    .await?;
    let text = decoded(&secret)?;
    Ok(engine.connect(&text).await?)
}

fn decoded(secret: &Arc<Object>) -> Result<String> {
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(secret.json.clone())?;
    let bytes = secret
        .data
        .and_then(|mut data| data.remove("value"))
        .context("the kubeconfig Secret has no key 'value'")?;
    String::from_utf8(bytes.0).context("the kubeconfig is not text")
}

/// The management cluster's objects that addon values are templated with, as they are now: the
/// Cluster in the version that the Cluster Stack Operator reads, and what it refers to.
pub(super) async fn inputs(
    context: &Context,
    management: &Management,
    cluster: &str,
    deadline: Duration,
) -> Result<Inputs, Trouble> {
    let applier = Applier::new("management", management.client.clone());
    let options = Apply {
        deadline,
        namespace: Some(&management.namespace),
        labels: &[],
        source: "the Cluster's topology",
    };
    let get = async |object: Value| -> Result<Value, Trouble> {
        let live = applier.get(context, &object, options).await?;
        Ok(live.map(|live| live.json).unwrap_or_default())
    };
    let named = |api_version: &Value, kind: &Value, name: &Value| {
        json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "namespace": management.namespace}})
    };
    // v1beta1: its references carry the version of what they refer to.
    let cluster = get(named(
        &json!("cluster.x-k8s.io/v1beta1"),
        &json!("Cluster"),
        &json!(cluster),
    ))
    .await?;
    let referred = async |reference: &Value| -> Result<Value, Trouble> {
        if reference["name"].is_null() {
            return Ok(Value::Null);
        }
        get(named(
            &reference["apiVersion"],
            &reference["kind"],
            &reference["name"],
        ))
        .await
    };
    Ok(Inputs {
        control_plane: referred(&cluster["spec"]["controlPlaneRef"]).await?,
        infrastructure: referred(&cluster["spec"]["infrastructureRef"]).await?,
        cluster,
    })
}

/// Watches what the gate judges on the management cluster.
pub(super) fn watch_management(management: &Management, spec: &Spec) -> View {
    let namespace = management.namespace.as_str();
    let kinds = [
        kinds::CLUSTER,
        kinds::KUBEADM_CONTROL_PLANE,
        kinds::MACHINE_DEPLOYMENT,
        kinds::MACHINE,
    ];
    let mut watched = kinds.map(|kind| (kind, namespace)).to_vec();
    if spec.delivery == Delivery::Operator {
        let provider = spec.provider_template.as_ref();
        watched.extend(operator_kinds(namespace, provider));
    }
    View::start("management", &management.client, &watched)
}

/// Watches what the gate judges on the workload cluster.
pub(super) fn watch_workload(client: &Client) -> View {
    let kinds = [
        kinds::NODE,
        kinds::POD,
        kinds::DEPLOYMENT,
        kinds::DAEMON_SET,
        kinds::STATEFUL_SET,
        kinds::POD_DISRUPTION_BUDGET,
    ];
    View::start("workload", client, &kinds.map(|kind| (kind, "")))
}
