//! An object in a reader's terms: images, replicas, versions, conditions; never raw JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What is said of an object: `image of coredns` → `registry.k8s.io/coredns/coredns:v1.12.1`.
pub(super) type Terms = BTreeMap<String, String>;

/// Kinds whose objects are too many, or change too often, to tell anything.
const NOISE: [&str; 7] = [
    "CSINode",
    "Event",
    "Lease",
    "EndpointSlice",
    "Endpoints",
    "ControllerRevision",
    "CertificateSigningRequest",
];

/// Parts of a spec that name what is said in other terms, or say nothing.
const SAID: [&str; 10] = [
    "replicas",
    "image",
    "version",
    "uid",
    "providerID",
    "resourceVersion",
    "nodeName",
    "dataSecretName",
    // By this a DaemonSet's Pod is kept to its node.
    "matchFields",
    "podCIDRs",
];

/// The longest value that is shown, in characters.
const LONG: usize = 120;

/// Whether an object is told of at all.
pub(super) fn is_told(object: &Value) -> bool {
    let kind = text(object, "/kind");
    // What the API server serves itself comes and goes with its version, which is told.
    let own = kind == "APIService" && !object["spec"]["service"].is_object();
    !NOISE.contains(&kind) && !own
}

/// What there is to say of an object.
pub(super) fn terms(object: &Value) -> Terms {
    let mut terms = Terms::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            terms.insert(name.to_owned(), short(value));
        }
    };
    for (name, pointers) in [
        (
            "version",
            &[
                "/status/nodeInfo/kubeletVersion",
                "/spec/topology/version",
                "/spec/template/spec/version",
                "/spec/version",
            ][..],
        ),
        (
            "class",
            &["/spec/topology/classRef/name", "/spec/topology/class"][..],
        ),
        ("phase", &["/status/phase"][..]),
        ("node", &["/spec/nodeName", "/status/nodeRef/name"][..]),
        ("operating system", &["/status/nodeInfo/osImage"][..]),
        (
            "container runtime",
            &["/status/nodeInfo/containerRuntimeVersion"][..],
        ),
        ("kernel", &["/status/nodeInfo/kernelVersion"][..]),
        ("type", &["/spec/type", "/type"][..]),
    ] {
        let told = pointers.iter().map(|pointer| text(object, pointer));
        say(
            name,
            told.into_iter()
                .find(|told| !told.is_empty())
                .unwrap_or_default(),
        );
    }
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        say("being deleted", "yes");
    }
    if object.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        say("schedulable", "no");
    }
    for pod in [
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/spec",
    ] {
        for list in ["initContainers", "containers"] {
            for container in items(object, &format!("{pod}/{list}")) {
                let name = text(container, "/name");
                say(&format!("image of {name}"), text(container, "/image"));
            }
        }
    }
    replicas(object, &mut say);
    for list in ["initContainerStatuses", "containerStatuses"] {
        for status in items(object, &format!("/status/{list}")) {
            let name = text(status, "/name");
            say(&format!("container {name}"), &container(status));
            let restarts = status["restartCount"].as_i64().unwrap_or_default();
            if restarts > 0 {
                say(&format!("restarts of {name}"), &restarts.to_string());
            }
        }
    }
    for condition in items(object, "/status/conditions") {
        let (status, reason) = (text(condition, "/status"), text(condition, "/reason"));
        let told = match reason {
            "" => status.to_owned(),
            reason => format!("{status} ({reason})"),
        };
        say(&format!("condition {}", text(condition, "/type")), &told);
    }
    for key in object["data"].as_object().into_iter().flatten() {
        // What a Secret holds is not known here, and of a ConfigMap only whether it is the same.
        let told = match (text(object, "/kind"), key.1.as_str()) {
            ("Secret", _) | (_, None) => "there".to_owned(),
            (_, Some(value)) if value.len() <= 60 && !value.contains('\n') => value.to_owned(),
            (_, Some(value)) => format!(
                "{} lines, checksum {:08x}",
                value.lines().count(),
                checksum(value)
            ),
        };
        say(&format!("key {}", key.0), &told);
    }
    let served: Vec<&str> = items(object, "/spec/versions")
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| text(version, "/name"))
        .collect();
    if !served.is_empty() {
        say("served versions", &served.join(", "));
    }
    terms
}

fn replicas(object: &Value, say: &mut impl FnMut(&str, &str)) {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let wanted = number("/status/desiredNumberScheduled").or_else(|| number("/spec/replicas"));
    let Some(wanted) = wanted else { return };
    say("replicas", &wanted.to_string());
    let ready = number("/status/numberReady").or_else(|| number("/status/readyReplicas"));
    say(
        "ready",
        &format!("{} of {wanted}", ready.unwrap_or_default()),
    );
}

fn container(status: &Value) -> String {
    let state = &status["state"];
    for (name, word) in [("waiting", "waiting"), ("terminated", "ended")] {
        if state[name].is_object() {
            let reason = text(&state[name], "/reason");
            return format!("{word}: {reason}")
                .trim_end_matches(": ")
                .to_owned();
        }
    }
    match (state["running"].is_object(), status["ready"] == true) {
        (true, true) => "ready".to_owned(),
        (true, false) => "running, not ready".to_owned(),
        (false, _) => String::new(),
    }
}

/// Which fields of the specs differ that no term tells of: `spec.strategy.type`: `Recreate` → `RollingUpdate`.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    walk("spec", &before["spec"], &after["spec"], &mut found);
    found
}

fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<(String, String, String)>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names
                .into_iter()
                .filter(|name| !SAID.contains(&name.as_str()))
            {
                let (one, other) = (&before[name], &after[name]);
                walk(&format!("{path}.{name}"), one, other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            if let (Some(one), Some(other)) = (named(one), named(other)) {
                let names: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
                for name in names {
                    let item = |list: &BTreeMap<_, &Value>| list.get(name).copied().cloned();
                    let (one, other) = (item(&one), item(&other));
                    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
                    walk(&format!("{path}[{name}]"), &one, &other, found);
                }
            } else if one.iter().chain(other).all(|item| scalar(item).is_some()) {
                let (gone, new) = (without(one, other), without(other, one));
                if gone == new {
                    found.push((path.to_owned(), listed(one), listed(other)));
                } else {
                    found.push((path.to_owned(), gone, new));
                }
            } else if one.len() == other.len() {
                for (index, (one, other)) in one.iter().zip(other).enumerate() {
                    walk(&format!("{path}[{index}]"), one, other, found);
                }
            } else {
                let told = |list: &[Value]| format!("{} items", list.len());
                found.push((path.to_owned(), told(one), told(other)));
            }
        }
        _ => {
            let told = |value: &Value| match value {
                Value::Null => "not set".to_owned(),
                Value::Array(items) => listed(items),
                Value::Object(fields) => format!("{} fields", fields.len()),
                other => scalar(other).unwrap_or_default(),
            };
            let (before, after) = (told(before), told(after));
            if before != after {
                found.push((path.to_owned(), before, after));
            }
        }
    }
}

/// How the names of volumes begin that hold a ServiceAccount's token; the rest is drawn for each pod.
const DRAWN: &str = "kube-api-access-";

/// A value of one word or line, without what was drawn; none of a list or an object.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.starts_with(DRAWN) => Some(format!("{DRAWN}…")),
        Value::String(text) => Some(short(text)),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    }
}

/// The items of a list by their names, where each has one of its own.
fn named(list: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let names = list.iter().map(|item| {
        let name = item["name"].as_str()?;
        let name = if name.starts_with(DRAWN) { DRAWN } else { name };
        Some((name, item))
    });
    let named: BTreeMap<&str, &Value> = names.collect::<Option<_>>()?;
    (named.len() == list.len()).then_some(named)
}

fn listed(list: &[Value]) -> String {
    let items: Option<Vec<String>> = list.iter().map(scalar).collect();
    match items {
        Some(items) if !items.is_empty() => short(&items.join(", ")),
        _ => format!("{} items", list.len()),
    }
}

/// What is in one list and not in the other.
fn without(list: &[Value], other: &[Value]) -> String {
    let only = list.iter().filter(|item| !other.contains(item));
    let only: Vec<Value> = only.cloned().collect();
    if only.is_empty() {
        "–".to_owned()
    } else {
        listed(&only)
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONG && line.len() == text.len() {
        return line.to_owned();
    }
    let start: String = line.chars().take(LONG - 1).collect();
    format!("{start}…")
}

/// FNV-1a: tells apart what is too long to be shown.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "c", "image": "a:1"}]},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "c", "restartCount": 2, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        let terms = terms(&pod);
        let told: Vec<String> = terms
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let expected = [
            "container c: waiting: ImagePullBackOff",
            "image of c: a:1",
            "phase: Pending",
            "restarts of c: 2",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_secret_tells_its_keys_alone() {
        let secret = json!({"kind": "Secret", "data": {"password": "c2VjcmV0"}});
        assert_eq!(terms(&secret)["key password"], "there");
    }

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let fields = fields(before, after).into_iter();
        fields
            .map(|(path, one, other)| format!("{path}: {one} → {other}"))
            .collect()
    }

    #[test]
    fn of_lists_it_is_told_what_came_and_went() {
        let before = json!({"spec": {"containers": [
            {"name": "main", "args": ["--a", "--b=1"], "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true}]}]}});
        let after = json!({"spec": {"containers": [
            {"name": "side", "command": ["sleep"]},
            {"name": "main", "args": ["--a", "--b=2", "--c"], "volumeMounts": [{"name": "kube-api-access-q9z1m", "readOnly": true}]}]}});
        assert_eq!(
            told(&before, &after),
            [
                "spec.containers[main].args: --b=1 → --b=2, --c",
                "spec.containers[side]: not set → 2 fields"
            ]
        );
    }

    #[test]
    fn a_field_without_a_term_is_told_by_its_path() {
        let before = json!({"spec": {"replicas": 1, "strategy": {"type": "Recreate"}, "ports": [{"name": "dns", "port": 53}]}});
        let after = json!({"spec": {"replicas": 2, "strategy": {"type": "RollingUpdate"}, "ports": [{"name": "dns", "port": 54}]}});
        assert_eq!(
            told(&before, &after),
            [
                "spec.ports[dns].port: 53 → 54",
                "spec.strategy.type: Recreate → RollingUpdate"
            ]
        );
    }
}
