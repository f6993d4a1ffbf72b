//! Fields that stay as they were made: a release that changes one is refused by the API server.

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{by_identity, reference, text};
use super::super::rule::rules;
use super::super::subject::{Item, Side, Subject};

rules! {
    IMMUTABLE_FIELD = "immutable-field", Must, Anyone, "https://kubernetes.io/docs/reference/kubernetes-api/", ["g"],
        "no field changes that an object keeps for life",
        "the API server refuses the object; the operator tries again every 20 s, for ever, and the hook blocks",
        "give the object another name, or delete it in a release before";
    TEMPLATE_CHANGED = "template-changed", Must, Anyone, "https://cluster-api.sigs.k8s.io/tasks/experimental-features/cluster-class/change-clusterclass", [],
        "templates of the class that change have another name",
        "the spec of Cluster API's templates stays as it was made; a release that changes one under its old name is refused, or changes running Clusters of N",
        "name the template {{ .Release.Name }}-{{ .Chart.Version }}-…";
}

/// Kinds with the fields that they keep, as JSON pointers.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("apps", "Deployment", &["/spec/selector"]),
    ("apps", "DaemonSet", &["/spec/selector"]),
    ("apps", "ReplicaSet", &["/spec/selector"]),
    (
        "apps",
        "StatefulSet",
        &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/podManagementPolicy",
            "/spec/volumeClaimTemplates",
        ],
    ),
    (
        "batch",
        "Job",
        &["/spec/template", "/spec/selector", "/spec/completionMode"],
    ),
    ("", "Service", &["/spec/clusterIP", "/spec/clusterIPs"]),
    (
        "",
        "PersistentVolumeClaim",
        &[
            "/spec/accessModes",
            "/spec/selector",
            "/spec/storageClassName",
            "/spec/volumeMode",
            "/spec/volumeName",
            "/spec/dataSource",
        ],
    ),
    ("", "PersistentVolume", &["/spec/volumeMode"]),
    (
        "storage.k8s.io",
        "StorageClass",
        &[
            "/provisioner",
            "/parameters",
            "/reclaimPolicy",
            "/volumeBindingMode",
        ],
    ),
    (
        "storage.k8s.io",
        "CSIDriver",
        &["/spec/attachRequired", "/spec/fsGroupPolicy"],
    ),
    ("rbac.authorization.k8s.io", "RoleBinding", &["/roleRef"]),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        &["/roleRef"],
    ),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        &[
            "/spec/group",
            "/spec/scope",
            "/spec/names/plural",
            "/spec/names/kind",
        ],
    ),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        &["/value", "/preemptionPolicy"],
    ),
    ("node.k8s.io", "RuntimeClass", &["/handler"]),
    ("networking.k8s.io", "IngressClass", &["/spec/controller"]),
];

/// What the API server fills in where a release says nothing.
fn default(pointer: &str) -> Option<Value> {
    Some(match pointer {
        "/reclaimPolicy" => Value::from("Delete"),
        "/volumeBindingMode" => Value::from("Immediate"),
        "/spec/podManagementPolicy" => Value::from("OrderedReady"),
        "/spec/volumeMode" => Value::from("Filesystem"),
        "/spec/attachRequired" => Value::from(true),
        "/spec/fsGroupPolicy" => Value::from("ReadWriteOnceWithFSType"),
        "/spec/completionMode" => Value::from("NonIndexed"),
        "/preemptionPolicy" => Value::from("PreemptLowerPriority"),
        _ => return None,
    })
}

/// Fields that a cluster fills in by itself where a release leaves them out.
const FILLED_IN: &[&str] = &[
    "/spec/clusterIP",
    "/spec/clusterIPs",
    "/spec/storageClassName",
    "/spec/volumeName",
    "/spec/selector",
];

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    let before = by_identity(from.addons());
    for (id, new) in by_identity(to.addons()) {
        let Some(old) = before.get(&id) else { continue };
        let kept = FIELDS
            .iter()
            .find(|(group, kind, _)| id.group == *group && id.kind == *kind);
        for pointer in kept.map_or(&[][..], |(_, _, fields)| fields) {
            if stays(&old.object, &new.object, pointer) {
                continue;
            }
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let message = format!("`{field}` changes, and cannot");
            let keys: Vec<&str> = pointer.split('/').filter(|key| !key.is_empty()).collect();
            let problem = to.problem(new, &keys, message);
            let problem = problem.expected(format!(
                "{} as in {}",
                shown(old.object.pointer(pointer)),
                from.release.tag
            ));
            let object = Some(reference(&new.object));
            found.add(&IMMUTABLE_FIELD, &to.release.tag, object, problem);
        }
    }
    templates(from, to, found);
}

fn stays(old: &Value, new: &Value, pointer: &str) -> bool {
    let value = |object: &Value| {
        let given = object.pointer(pointer).filter(|value| !value.is_null());
        given.cloned().or_else(|| default(pointer))
    };
    let (before, after) = (value(old), value(new));
    let filled_in = FILLED_IN.contains(&pointer) && (before.is_none() || after.is_none());
    before == after || filled_in
}

fn shown(value: Option<&Value>) -> String {
    const LONGEST: usize = 80;
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn templates(from: &Side<'_>, to: &Side<'_>, found: &mut Found) {
    let before = by_identity(&from.class);
    let is_template = |item: &&Item| text(&item.object, "/kind").ends_with("Template");
    for new in to.class.iter().filter(is_template) {
        let id = super::super::identity::Identity::of(&new.object);
        let old = before.get(&id);
        if old.is_some_and(|old| old.object["spec"] != new.object["spec"]) {
            let message = format!("{} has another spec under this name", from.release.tag);
            let problem = to.problem(new, &["metadata", "name"], message);
            let object = Some(reference(&new.object));
            found.add(&TEMPLATE_CHANGED, &to.release.tag, object, problem);
        }
    }
}
