//! Events, as client-go's recorder writes them: one object for the same news about the same object,
//! counted.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::object::{name, namespace, uid};
use crate::registry::Write;
use crate::resource::builtin::EVENTS;

/// News about an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News<'a> {
    /// Whether something is wrong.
    pub warning: bool,
    /// In one word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// Part of the object, e.g. `spec.containers{app}`; empty for the whole.
    pub part: &'a str,
    /// Who tells, e.g. `kubelet`.
    pub component: &'a str,
    /// On which node; empty for none.
    pub host: &'a str,
}

impl<'a> News<'a> {
    /// That something happened as it should.
    pub fn normal(component: &'a str, reason: &'a str, message: &'a str) -> Self {
        Self {
            warning: false,
            reason,
            message,
            part: "",
            component,
            host: "",
        }
    }

    /// That something is wrong.
    pub fn warning(component: &'a str, reason: &'a str, message: &'a str) -> Self {
        Self {
            warning: true,
            ..Self::normal(component, reason, message)
        }
    }
}

/// Writes news about an object into the cluster. That this fails (a namespace on its way out takes
/// none) hinders nobody, as with the real recorder.
pub(crate) fn record(cluster: &Cluster, about: &Value, news: &News<'_>) {
    let now = cluster.api().clock().stamp();
    let place = match namespace(about) {
        "" => "default",
        own => own,
    };
    let words = [
        uid(about),
        news.reason,
        news.message,
        news.part,
        news.component,
        news.host,
    ];
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let event = format!("{}.{hash:016x}", name(about));
    if cluster.api().get(&EVENTS, place, &event).is_some() {
        let counted = cluster
            .api()
            .modify(&EVENTS, place, &event, news.component, |event| {
                event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(now);
            });
        drop(counted);
        return;
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": event, "namespace": place},
        "involvedObject": {
            "kind": about["kind"], "namespace": about["metadata"]["namespace"],
            "name": about["metadata"]["name"],
            "uid": about["metadata"]["uid"], "apiVersion": about["apiVersion"],
            "resourceVersion": about["metadata"]["resourceVersion"],
        },
        "reason": news.reason, "message": news.message, "source": {"component": news.component},
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        "type": if news.warning { "Warning" } else { "Normal" },
        "eventTime": null, "reportingComponent": news.component, "reportingInstance": news.host,
    });
    if !news.part.is_empty() {
        object["involvedObject"]["fieldPath"] = json!(news.part);
    }
    if !news.host.is_empty() {
        object["source"]["host"] = json!(news.host);
    }
    drop(
        cluster
            .api()
            .create(&EVENTS, object, &Write::by(news.component)),
    );
}
