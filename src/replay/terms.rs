//! An object in a reader's terms: images, replicas, versions, conditions; never raw JSON.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is said of an object: `image of coredns` → `registry.k8s.io/coredns/coredns:v1.12.1`.
pub(super) type Terms = BTreeMap<String, String>;

/// Kinds whose objects are too many, or change too often, to tell anything.
const NOISE: [&str; 6] = [
    "Event",
    "Lease",
    "EndpointSlice",
    "Endpoints",
    "ControllerRevision",
    "CertificateSigningRequest",
];

/// Parts of a spec that name what is said in other terms, or say nothing.
const SAID: [&str; 6] = [
    "replicas",
    "image",
    "version",
    "uid",
    "providerID",
    "resourceVersion",
];

/// The longest value that is shown, in characters.
const LONG: usize = 120;

/// Whether an object is told of at all.
pub(super) fn is_told(object: &Value) -> bool {
    !NOISE.contains(&text(object, "/kind"))
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
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                let name = one["name"]
                    .as_str()
                    .map_or(index.to_string(), str::to_owned);
                walk(&format!("{path}[{name}]"), one, other, found);
            }
        }
        _ => {
            let told = |value: &Value| match value {
                Value::Null => "not set".to_owned(),
                Value::String(text) => short(text),
                Value::Array(items) => format!("{} items", items.len()),
                Value::Object(fields) => format!("{} fields", fields.len()),
                other => other.to_string(),
            };
            found.push((path.to_owned(), told(before), told(after)));
        }
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

    #[test]
    fn a_field_without_a_term_is_told_by_its_path() {
        let before = json!({"spec": {"replicas": 1, "strategy": {"type": "Recreate"}, "ports": [{"name": "dns", "port": 53}]}});
        let after = json!({"spec": {"replicas": 2, "strategy": {"type": "RollingUpdate"}, "ports": [{"name": "dns", "port": 54}]}});
        let told: Vec<String> = fields(&before, &after)
            .into_iter()
            .map(|(path, one, other)| format!("{path}: {one} → {other}"))
            .collect();
        assert_eq!(
            told,
            [
                "spec.ports[dns].port: 53 → 54",
                "spec.strategy.type: Recreate → RollingUpdate"
            ]
        );
    }
}
