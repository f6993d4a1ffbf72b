//! Pod Security admission: a namespace's label `pod-security.kubernetes.io/enforce` keeps out pods that
//! its level forbids.

use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation};
use crate::error::ApiError;
use crate::object::{label, list, name, namespace, text, truth};
use crate::resource::GroupResource;
use crate::resource::builtin::{NAMESPACES, PODS};
use crate::store::Store;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// What a pod may add without breaking the baseline.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The admission plugin of this name.
#[derive(Debug)]
pub(crate) struct PodSecurity(Store);

impl PodSecurity {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Whether an API server is started without it.
    fn is_off(&self) -> bool {
        let pods = self.0.list(&PODS, Some("kube-system")).0;
        let servers = pods
            .iter()
            .filter(|pod| label(&pod.value, "component") == Some("kube-apiserver"));
        let mut words = servers
            .flat_map(|pod| list(&pod.value, "/spec/containers/0/command"))
            .filter_map(Value::as_str);
        words.any(|word| {
            let plugins = word.strip_prefix("--disable-admission-plugins=");
            plugins.is_some_and(|plugins| plugins.split(',').any(|plugin| plugin == "PodSecurity"))
        })
    }
}

impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn wants(&self, operation: Operation, resource: &GroupResource, subresource: &str) -> bool {
        operation == Operation::Create && *resource == PODS && subresource.is_empty()
    }

    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        let pod = request.subject();
        let namespace = self.0.get(&NAMESPACES, "", namespace(pod));
        let level = namespace
            .as_ref()
            .and_then(|found| label(&found.value, ENFORCE));
        let Some(level @ ("baseline" | "restricted")) = level else {
            return Ok(Vec::new());
        };
        let mut wrong = baseline(pod);
        if level == "restricted" {
            wrong.extend(restricted(pod));
        }
        if wrong.is_empty() || self.is_off() {
            return Ok(Vec::new());
        }
        let message = format!(
            "pods \"{}\" is forbidden: violates PodSecurity \"{level}:latest\": {}",
            name(pod),
            wrong.join(", ")
        );
        Err(ApiError::new(403, "Forbidden", message))
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|pointer| list(pod, pointer))
}

/// Names of the containers of which something is so.
fn those(pod: &Value, is: impl Fn(&Value) -> bool) -> Option<String> {
    let names: Vec<String> = containers(pod)
        .filter(|container| is(container))
        .map(|container| format!("\"{}\"", text(container, "/name")))
        .collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("container {one}")),
        several => Some(format!("containers {}", several.join(", "))),
    }
}

fn baseline(pod: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| truth(pod, &format!("/spec/{field}")))
        .map(|field| format!("{field}=true"))
        .collect();
    if !shared.is_empty() {
        wrong.push(format!("host namespaces ({})", shared.join(", ")));
    }
    let privileged = those(pod, |one| truth(one, "/securityContext/privileged"));
    wrong.extend(
        privileged
            .map(|who| format!("privileged ({who} must not set securityContext.privileged=true)")),
    );
    let added = those(pod, |one| {
        let mut added = list(one, "/securityContext/capabilities/add")
            .iter()
            .filter_map(Value::as_str);
        added.any(|one| !CAPABILITIES.contains(&one))
    });
    wrong.extend(added.map(|who| {
        format!("non-default capabilities ({who} must not include more in securityContext.capabilities.add)")
    }));
    let paths: Vec<String> = list(pod, "/spec/volumes")
        .iter()
        .filter(|volume| volume["hostPath"].is_object())
        .map(|volume| format!("\"{}\"", text(volume, "/name")))
        .collect();
    if !paths.is_empty() {
        wrong.push(format!("hostPath volumes (volume {})", paths.join(", ")));
    }
    let ports = those(pod, |one| {
        let mut ports = list(one, "/ports").iter();
        ports.any(|port| port["hostPort"].as_i64().is_some_and(|port| port != 0))
    });
    wrong.extend(ports.map(|who| format!("hostPort ({who} uses hostPorts)")));
    wrong
}

fn restricted(pod: &Value) -> Vec<String> {
    let set = |one: &Value, field: &str| {
        let own = one.pointer(&format!("/securityContext{field}"));
        own.or_else(|| pod.pointer(&format!("/spec/securityContext{field}")))
            .cloned()
            .unwrap_or_default()
    };
    let rules: [(Option<String>, &str, &str); 4] = [
        (
            those(pod, |one| {
                one.pointer("/securityContext/allowPrivilegeEscalation")
                    != Some(&Value::Bool(false))
            }),
            "allowPrivilegeEscalation != false",
            "must set securityContext.allowPrivilegeEscalation=false",
        ),
        (
            those(pod, |one| {
                let mut dropped = list(one, "/securityContext/capabilities/drop").iter();
                !dropped.any(|one| one == "ALL")
            }),
            "unrestricted capabilities",
            "must set securityContext.capabilities.drop=[\"ALL\"]",
        ),
        (
            those(pod, |one| set(one, "/runAsNonRoot") != Value::Bool(true)),
            "runAsNonRoot != true",
            "must set securityContext.runAsNonRoot=true",
        ),
        (
            those(pod, |one| {
                let profile = set(one, "/seccompProfile/type");
                profile != "RuntimeDefault" && profile != "Localhost"
            }),
            "seccompProfile",
            "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        ),
    ];
    rules
        .into_iter()
        .filter_map(|(who, what, must)| Some(format!("{what} (pod or {} {must})", who?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: Value, context: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
        pod["spec"]["containers"] = json!([{"name": "c", "securityContext": context}]);
        pod
    }

    #[test]
    fn the_baseline_forbids_what_reaches_the_machine() {
        assert!(baseline(&pod(json!({}), json!({}))).is_empty());
        let told = |spec, context| baseline(&pod(spec, context)).join("; ");
        for (spec, context, what) in [
            (
                json!({"hostNetwork": true, "hostPID": true}),
                json!({}),
                "(hostNetwork=true, hostPID=true)",
            ),
            (
                json!({}),
                json!({"privileged": true}),
                "privileged (container \"c\"",
            ),
            (
                json!({}),
                json!({"capabilities": {"add": ["SYS_ADMIN"]}}),
                "non-default capabilities",
            ),
            (
                json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
                json!({}),
                "(volume \"v\")",
            ),
        ] {
            let told = told(spec, context);
            assert!(told.contains(what), "{what}: {told}");
        }
        assert_eq!(
            told(json!({}), json!({"capabilities": {"add": ["CHOWN"]}})),
            ""
        );
    }

    #[test]
    fn the_restricted_level_wants_to_be_told_what_is_given_up() {
        assert_eq!(restricted(&pod(json!({}), json!({}))).len(), 4);
        let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let spec = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
        assert_eq!(restricted(&pod(spec, context)), Vec::<String>::new());
    }
}
