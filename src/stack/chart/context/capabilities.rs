//! `.Capabilities`.

use std::rc::Rc;

use super::record::Record;
use crate::stack::chart::template::{Object, Value};

/// API versions that Helm 3.19 knows without a cluster (`helm template` prints them).
const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha1",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1alpha1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// `.Capabilities`; `kube_version` is `v1.34.3`.
pub(in crate::stack::chart) fn capabilities(kube_version: &str, more_apis: &[String]) -> Value {
    let mut numbers = kube_version.trim_start_matches('v').split('.');
    let mut number = || Value::text(numbers.next().unwrap_or("0"));
    let kube = Record {
        type_name: "chartutil.KubeVersion",
        shown: Some(kube_version.to_owned()),
        fields: vec![
            ("Version", "Version", Value::text(kube_version)),
            ("Major", "Major", number()),
            ("Minor", "Minor", number()),
        ],
    };
    let helm = Record {
        type_name: "version.BuildInfo",
        shown: None,
        fields: vec![
            ("Version", "version", Value::text("v3.19.5")),
            ("GitCommit", "git_commit", Value::text("")),
            ("GitTreeState", "git_tree_state", Value::text("")),
            ("GoVersion", "go_version", Value::text("")),
        ],
    };
    let apis = API_VERSIONS
        .iter()
        .map(|v| (*v).to_owned())
        .chain(more_apis.iter().cloned());
    let capabilities = Record {
        type_name: "*chartutil.Capabilities",
        shown: None,
        fields: vec![
            ("KubeVersion", "KubeVersion", Value::Object(Rc::new(kube))),
            (
                "APIVersions",
                "APIVersions",
                Value::Object(Rc::new(VersionSet(apis.collect()))),
            ),
            ("HelmVersion", "HelmVersion", Value::Object(Rc::new(helm))),
        ],
    };
    Value::Object(Rc::new(capabilities))
}

/// `.Capabilities.APIVersions`.
struct VersionSet(Vec<String>);

impl Object for VersionSet {
    fn type_name(&self) -> &'static str {
        "chartutil.VersionSet"
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        (name == "Has").then(|| match args {
            [Value::Text(wanted)] => Ok(Value::Bool(self.0.iter().any(|v| **v == **wanted))),
            _ => Err("wrong number or type of args for Has: want one string".into()),
        })
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn data(&self) -> Value {
        Value::texts(self.0.iter().map(String::as_str))
    }
}
