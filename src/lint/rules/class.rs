//! The ClusterClass of N against that of N+1, and what the operator may apply beside it.

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{group, list, reference, text};
use super::super::rule::rules;
use super::super::subject::Subject;

const CHANGE: &str =
    "https://cluster-api.sigs.k8s.io/tasks/experimental-features/cluster-class/change-clusterclass";

rules! {
    CLASS_INCOMPATIBLE = "class-incompatible", Must, Anyone, CHANGE, [],
        "the templates of both classes are of the same kinds",
        "Cluster API's webhook refuses to move a Cluster to a class whose infrastructure or control plane is of another group or kind",
        "keep the kinds; another infrastructure is another stack";
    WORKER_CLASS_REMOVED = "worker-class-removed", Should, Anyone, CHANGE, [],
        "N+1 has every class of workers that N has",
        "Clusters that use the class cannot be moved to N+1",
        "keep the class for one release more";
    VARIABLE_REMOVED = "variable-removed", Should, Anyone, CHANGE, [],
        "N+1 has every variable that N has",
        "Clusters that set the variable are refused with N+1 until they leave it out, which has to be in the same patch",
        "keep the variable for one release more, without effect if need be";
    VARIABLE_TIGHTENED = "variable-tightened", Should, Anyone, CHANGE, [],
        "a variable of N keeps its type and is not made required",
        "Clusters whose value does not fit, or who have none, are refused with N+1",
        "add another variable, or give it a default";
    CLASS_KIND_NOT_PERMITTED = "class-kind-not-permitted", Must, Operator, "CS#225, CS#129", ["CS#225", "CS#129"],
        "the class chart renders Cluster API's kinds alone",
        "the operator's role covers Cluster API's groups, Secrets and events; anything else is forbidden, and the release never becomes ready",
        "grant it with the operator's rbac.additionalRules, or move the object elsewhere";
}

/// Groups that the operator's role covers.
const PERMITTED: &[&str] = &[
    "cluster.x-k8s.io",
    "bootstrap.cluster.x-k8s.io",
    "controlplane.cluster.x-k8s.io",
    "infrastructure.cluster.x-k8s.io",
    "infrastructure.clusterstack.x-k8s.io",
];

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    for side in [subject.from, subject.to] {
        for item in &side.class {
            let (group, kind) = (group(&item.object), text(&item.object, "/kind"));
            // The role names plural kinds of Cluster API itself one by one.
            let set = kind == "ClusterResourceSet";
            let secret = group.is_empty() && matches!(kind, "Secret" | "Event");
            if !secret && (set || !PERMITTED.contains(&group)) {
                let message = format!("the operator may not apply a {kind}");
                let problem = side.problem(item, &["kind"], message);
                let object = Some(reference(&item.object));
                found.add(
                    &CLASS_KIND_NOT_PERMITTED,
                    &side.release.tag,
                    object,
                    problem,
                );
            }
        }
    }
    let (Some(old), Some(new)) = (subject.from.cluster_class(), subject.to.cluster_class()) else {
        return;
    };
    let (from, to) = (subject.from, subject.to);
    let (before, after) = (&old.object["spec"], &new.object["spec"]);
    let tag = &to.release.tag;
    let object = || Some(reference(&new.object));
    for (what, old, new_kind) in kinds(before, after) {
        if old != new_kind {
            let message = format!(
                "{what} is a {new_kind}, and a {old} in {}",
                from.release.tag
            );
            let key = what.split(' ').next().unwrap_or_default();
            let problem = to.problem(new, &["spec", key], message);
            found.add(&CLASS_INCOMPATIBLE, tag, object(), problem);
        }
    }
    let names = |spec: &Value, pointer: &str, field: &str| -> Vec<String> {
        let all = list(spec, pointer).iter();
        all.map(|one| text(one, field).to_owned()).collect()
    };
    let workers = "/workers/machineDeployments";
    let kept = names(after, workers, "/class");
    for class in names(before, workers, "/class") {
        if !kept.contains(&class) {
            let message = format!("class `{class}` of {} is gone", from.release.tag);
            let problem = to.problem(new, &["spec", "workers", "machineDeployments"], message);
            found.add(&WORKER_CLASS_REMOVED, tag, object(), problem);
        }
    }
    for variable in list(before, "/variables") {
        let name = text(variable, "/name");
        let successor = list(after, "/variables")
            .iter()
            .find(|one| one["name"] == name);
        let problem = |message| to.problem(new, &["spec", "variables"], message);
        let Some(successor) = successor else {
            let message = format!("variable `{name}` of {} is gone", from.release.tag);
            found.add(&VARIABLE_REMOVED, tag, object(), problem(message));
            continue;
        };
        let kind = |variable: &Value| text(variable, "/schema/openAPIV3Schema/type").to_owned();
        let must = |variable: &Value| {
            variable["required"] == true
                && variable
                    .pointer("/schema/openAPIV3Schema/default")
                    .is_none()
        };
        let (was, is) = (kind(variable), kind(successor));
        if was != is {
            let message = format!(
                "variable `{name}` is a {is}, and a {was} in {}",
                from.release.tag
            );
            found.add(&VARIABLE_TIGHTENED, tag, object(), problem(message));
        } else if must(successor) && !must(variable) {
            let message = format!("variable `{name}` is required from now on, and has no default");
            found.add(&VARIABLE_TIGHTENED, tag, object(), problem(message));
        }
    }
}

/// Group and kind of each template of both classes, by what it is for. Those of bootstrap may change.
fn kinds(before: &Value, after: &Value) -> Vec<(String, String, String)> {
    let of = |part: &Value| {
        // `ref` in v1beta1, `templateRef` in v1beta2.
        let reference = if part["templateRef"].is_null() {
            &part["ref"]
        } else {
            &part["templateRef"]
        };
        let group = group(reference);
        let kind = text(reference, "/kind");
        if kind.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{kind}.{group}")
        }
    };
    let mut all = vec![
        (
            "infrastructure".to_owned(),
            of(&before["infrastructure"]),
            of(&after["infrastructure"]),
        ),
        (
            "controlPlane".to_owned(),
            of(&before["controlPlane"]),
            of(&after["controlPlane"]),
        ),
        (
            "controlPlane machines".to_owned(),
            of(&before["controlPlane"]["machineInfrastructure"]),
            of(&after["controlPlane"]["machineInfrastructure"]),
        ),
    ];
    // v1beta1 has the templates one level deeper.
    let infrastructure = |class: &Value| match class.pointer("/template/infrastructure") {
        Some(part) => of(part),
        None => of(&class["infrastructure"]),
    };
    for class in list(before, "/workers/machineDeployments") {
        let name = &class["class"];
        let successor = list(after, "/workers/machineDeployments")
            .iter()
            .find(|one| one["class"] == *name);
        if let Some(successor) = successor {
            let what = format!("workers of class {}", name.as_str().unwrap_or_default());
            all.push((what, infrastructure(class), infrastructure(successor)));
        }
    }
    all
}
