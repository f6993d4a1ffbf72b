//! The addons' objects of N against those of N+1: what moves, goes, or lies where the operator does not look.

use std::collections::BTreeMap;

use super::super::finding::Found;
use super::super::identity::{Identity, by_identity, is_namespaced, reference, text};
use super::super::rule::{OPERATOR, rules};
use super::super::subject::Subject;
use crate::stack::{ADDON_NAMESPACE, Hook};

rules! {
    API_VERSION_MOVED = "api-version-moved", Must, Operator, OPERATOR, ["c"],
        "no object moves to another apiVersion",
        "for the operator an object of another apiVersion is another object: it applies the new one, then deletes the old one, which is the same",
        "move the apiVersion in a release that renames the object, or after the operator is mended";
    REMOVAL_TAKES_DATA = "removal-takes-data", Should, Anyone, "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#delete-a-customresourcedefinition", [],
        "no definition, namespace or volume claim is dropped",
        "what they hold goes with them: custom resources of users, everything in the namespace, the data",
        "keep it for one release, or tell users to move before";
    OBJECT_TWICE = "object-twice", Should, Anyone, OPERATOR, [],
        "one chart alone renders an object",
        "the later chart overwrites the earlier one's fields, at every upgrade anew",
        "leave it to one of the charts";
    NAMESPACE_FOREIGN = "namespace-foreign", Must, Operator, OPERATOR, ["o"],
        "addons live in kube-system",
        "the operator sends every namespaced object of an addon to kube-system; one that names another namespace is refused, and the stage never ends",
        "let the object live in kube-system";
    NAMESPACE_TOLD = "namespace-told", Must, Operator, OPERATOR, ["o"],
        "an object tells its namespace in both releases or in neither",
        "for the operator they are two objects: it applies the new one, then deletes the old one, which is the same",
        "leave metadata.namespace as N has it";
    HELM_HOOK = "helm-hook", May, Operator, "https://helm.sh/docs/topics/charts_hooks/", [],
        "no object is meant for a hook of Helm",
        "the operator applies it as any other object, at every upgrade, in no order and without deleting it",
        "leave it out by the chart's values";
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    let before = by_identity(from.addons());
    let after = by_identity(to.addons());
    let definitions = from.definitions();
    for (id, new) in &after {
        let Some(old) = before.get(id) else { continue };
        let both = |pointer| (text(&old.object, pointer), text(&new.object, pointer));
        let (was, now) = both("/apiVersion");
        if was != now {
            let message = format!("apiVersion moves from {was} to {now}");
            let problem = to.problem(new, &["apiVersion"], message);
            let object = Some(reference(&new.object));
            found.add(&API_VERSION_MOVED, &to.release.tag, object, problem);
        }
        let (was, now) = both("/metadata/namespace");
        if was != now && is_namespaced(&new.object, &definitions) == Some(true) {
            let (which, told) = if now.is_empty() {
                ("N", was)
            } else {
                ("N+1", now)
            };
            let message = format!("{which} alone tells its namespace, {told}");
            let problem = to.problem(new, &["metadata", "namespace"], message);
            let object = Some(reference(&new.object));
            found.add(&NAMESPACE_TOLD, &to.release.tag, object, problem);
        }
    }
    for (id, old) in before.iter().filter(|(id, _)| !after.contains_key(id)) {
        let object = || Some(reference(&old.object));
        let holds = [
            "CustomResourceDefinition",
            "Namespace",
            "PersistentVolumeClaim",
        ];
        if holds.contains(&id.kind.as_str()) {
            let message = format!("{} has it no more", to.release.tag);
            let problem = from.problem(old, &["metadata", "name"], message);
            found.add(&REMOVAL_TAKES_DATA, &to.release.tag, object(), problem);
        }
    }
    twice(subject, found);
    places(subject, found);
}

fn twice(subject: &Subject<'_>, found: &mut Found) {
    let to = subject.to;
    let mut seen: BTreeMap<Identity, &str> = BTreeMap::new();
    for item in to.objects(Hook::BeforeClusterUpgrade) {
        let chart = item.chart.as_deref().unwrap_or_default();
        if let Some(other) = seen.insert(Identity::of(&item.object), chart) {
            let message = format!("chart `{other}` renders the same object");
            let problem = to.problem(item, &["metadata", "name"], message);
            let object = Some(reference(&item.object));
            found.add(&OBJECT_TWICE, &to.release.tag, object, problem);
        }
    }
}

fn places(subject: &Subject<'_>, found: &mut Found) {
    for side in [subject.from, subject.to] {
        for item in side.addons() {
            let object = || Some(reference(&item.object));
            let namespace = text(&item.object, "/metadata/namespace");
            if !namespace.is_empty() && namespace != ADDON_NAMESPACE {
                let message = format!("the object names namespace {namespace}");
                let problem = side
                    .problem(item, &["metadata", "namespace"], message)
                    .expected(ADDON_NAMESPACE);
                found.add(&NAMESPACE_FOREIGN, &side.release.tag, object(), problem);
            }
            if item
                .object
                .pointer("/metadata/annotations/helm.sh~1hook")
                .is_some()
            {
                let problem = side.problem(
                    item,
                    &["annotations", "helm.sh/hook", "\"helm.sh/hook\":"],
                    "the object is one of a hook of Helm",
                );
                found.add(&HELM_HOOK, &side.release.tag, object(), problem);
            }
        }
    }
}
