//! The stages of both releases against each other, as the operator runs and prunes them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{Identity, by_identity, reference, text};
use super::super::rule::{OPERATOR, rules};
use super::super::subject::{Item, Side, Subject};
use crate::stack::chart::Rendered;
use crate::stack::{Action, Hook};

rules! {
    STAGE_LISTS_DIFFER = "stage-lists-differ", Must, Operator, OPERATOR, ["n"],
        "both hooks of N+1 apply the same charts",
        "pruning takes for dropped what stands under AfterControlPlaneInitialized alone, and deletes its live objects, e.g. the network; what stands under BeforeClusterUpgrade alone new clusters never get",
        "list the chart under both hooks";
    STAGE_DROPPED = "stage-dropped", Must, Operator, OPERATOR, ["m"],
        "no addon of N is dropped without a stage that deletes it",
        "pruning takes the old list of stages from N+1's own clusteraddon.yaml, so the objects of a dropped addon stay for ever",
        "keep the chart with `action: delete` for one release";
    STAGE_ADDED = "stage-added", Must, Operator, OPERATOR, ["d"],
        "every chart that an upgrade applies is in N's archive, too",
        "the operator renders the stages of N+1 from N's charts to see what goes; without the chart the hook blocks for ever",
        "ship the chart, empty, with one release before";
    VALUES_INHERITED = "values-inherited", Must, Operator, OPERATOR, ["k"],
        "a chart renders to the same objects with the values of the chart before it",
        "for its lists of what to prune the operator renders a chart without overwrite.yaml with the values of the stage before: objects of other names are deleted or stay",
        "give the chart an overwrite.yaml of its own, even an empty mapping";
    RESOURCE_BEFORE_DEFINITION = "resource-before-definition", Should, Operator, OPERATOR, ["b"],
        "no chart brings a new kind and an object of it at once, on one Kubernetes",
        "the operator asks for the kind of the object just after it has sent the definition: whether it is served by then is a race, which a rehearsal always loses; after the pause that follows, the operator takes the addons for ready, and passes over the stages that are left",
        "bring the definition in a stage before";
    CONDITION_OF_NOTHING = "condition-of-nothing", Should, Operator, OPERATOR, [],
        "stages wait for objects that a release has",
        "a condition on an object that is not there is an error for the operator, tried again for ever, and no wait",
        "correct the object's kind, name or namespace";
    ADDONS_UNORDERED = "addons-unordered", Should, Operator, "CS#9, CSO#35", ["CS#9", "CSO#35"],
        "addons and Machines do not change at once on one Kubernetes",
        "without a change of Kubernetes no hook is called: addons are applied while nodes are replaced, in no order",
        "release the addons first, then the class";
}

const HOOKS: [Hook; 2] = [
    Hook::AfterControlPlaneInitialized,
    Hook::BeforeClusterUpgrade,
];

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    if !to.release.addons.is_staged() {
        return;
    }
    lists(to, found);
    if from.release.addons.is_staged() {
        dropped(from, to, found);
        added(from, to, found);
    }
}

fn lists(to: &Side<'_>, found: &mut Found) {
    for (hook, other) in [(HOOKS[0], HOOKS[1]), (HOOKS[1], HOOKS[0])] {
        let there: Vec<&str> = to.applied(other).map(|(_, chart)| chart).collect();
        for (index, chart) in to.applied(hook).filter(|(_, chart)| !there.contains(chart)) {
            let (what, hook) = (other.as_str(), hook.as_str());
            let message = format!("stage `{chart}` is missing under {what}");
            let path = ["addonStages", hook, &index.to_string(), "name"];
            let problem = to.config_problem(&path, &message);
            let tag = &to.release.tag;
            found.add(&STAGE_LISTS_DIFFER, tag, None, problem);
        }
    }
}

fn dropped(from: &Side<'_>, to: &Side<'_>, found: &mut Found) {
    let named: BTreeSet<&str> = HOOKS
        .iter()
        .flat_map(|hook| to.release.addons.stages(*hook))
        .map(|stage| stage.name.as_str())
        .collect();
    let before: BTreeSet<&str> = HOOKS
        .iter()
        .flat_map(|hook| from.applied(*hook))
        .map(|(_, chart)| chart)
        .collect();
    for chart in before.difference(&named) {
        let message = format!("stage `{chart}` of {} is gone", from.release.tag);
        let problem = to.config_problem(&["addonStages", HOOKS[1].as_str()], &message);
        found.add(&STAGE_DROPPED, &to.release.tag, None, problem);
    }
}

fn added(from: &Side<'_>, to: &Side<'_>, found: &mut Found) {
    for (index, chart) in to.applied(Hook::BeforeClusterUpgrade) {
        if from.release.addons.chart(chart).is_some() {
            continue;
        }
        let message = format!("{} has no chart `{chart}`", from.release.tag);
        let path = ["addonStages", HOOKS[1].as_str(), &index.to_string(), "name"];
        let problem = to.config_problem(&path, &message);
        found.add(&STAGE_ADDED, &to.release.tag, None, problem);
    }
}

pub(super) fn check_objects(subject: &Subject<'_>, found: &mut Found) {
    let staged = |side: &Side<'_>| side.release.addons.is_staged();
    if staged(subject.from) && staged(subject.to) {
        inherited(subject, found);
        definitions(subject, found);
    }
    conditions(subject, found);
    unordered(subject, found);
}

/// What the operator lists for a release: the charts that N+1 names at a hook, those without a template
/// of values with the values of the chart before, which may be one that is deleted. None where one does not render, which
/// other rules tell.
fn listed(
    subject: &Subject<'_>,
    side: &Side<'_>,
    hook: Hook,
) -> Option<Vec<(String, Vec<Rendered>)>> {
    let mut values_of: Option<&str> = None;
    let mut all = Vec::new();
    for stage in subject.to.release.addons.stages(hook) {
        let chart = stage.name.as_str();
        let addon = side.release.addons.chart(chart)?;
        if addon.overwrite.is_some() {
            values_of = Some(chart);
        }
        if stage.action == Action::Apply {
            let rendered = side.release.render_chart(chart, values_of, subject.inputs);
            all.push((chart.to_owned(), rendered.ok()?));
        }
    }
    Some(all)
}

fn inherited(subject: &Subject<'_>, found: &mut Found) {
    let strange = |side: &Side<'_>, hook| {
        let mut charts = Vec::new();
        for (chart, rendered) in listed(subject, side, hook).into_iter().flatten() {
            let own = side.charts.get(&chart).map_or(&[][..], Vec::as_slice);
            let ids = |objects: Vec<&Value>| -> BTreeSet<Identity> {
                objects.into_iter().map(Identity::of).collect()
            };
            let inherits = ids(rendered.iter().map(|one| &one.object).collect());
            let own = ids(own.iter().map(|one| &one.object).collect());
            if inherits != own {
                let first = own.symmetric_difference(&inherits).next().cloned();
                charts.push((chart, first));
            }
        }
        charts
    };
    // Each chart of a release is rendered alike at both hooks unless another stands before it there.
    let mut told = BTreeSet::new();
    for (side, hook) in [(subject.to, HOOKS[1]), (subject.from, HOOKS[0])] {
        for (chart, first) in strange(side, hook) {
            if !told.insert(chart.clone()) {
                continue;
            }
            let object = first.map(|id| format!(", e.g. {} {}", id.kind, id.name));
            let message = format!(
                "with the values of the stage before, chart `{chart}` of {} has other objects{}",
                side.release.tag,
                object.unwrap_or_default(),
            );
            let index = subject.to.applied(hook).find(|(_, name)| *name == chart);
            let index = index.map_or(0, |(index, _)| index).to_string();
            let path = ["addonStages", hook.as_str(), &index, "name"];
            let problem = subject.to.config_problem(&path, &message);
            found.add(&VALUES_INHERITED, &subject.to.release.tag, None, problem);
        }
    }
}

fn definitions(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    if from.release.kubernetes_version != to.release.kubernetes_version {
        return;
    }
    let known = by_identity(from.definitions());
    for (_, chart) in to.applied(Hook::BeforeClusterUpgrade) {
        let items = to.charts.get(chart).map_or(&[][..], Vec::as_slice);
        let fresh = items.iter().filter(|item| {
            text(&item.object, "/kind") == "CustomResourceDefinition"
                && !known.contains_key(&Identity::of(&item.object))
        });
        for definition in fresh {
            let group = text(&definition.object, "/spec/group");
            let kind = text(&definition.object, "/spec/names/kind");
            let of_it = items.iter().find(|item| {
                let id = Identity::of(&item.object);
                id.group == group && id.kind == kind
            });
            if let Some(item) = of_it {
                let message =
                    format!("{kind}.{group} is defined in the same stage, for the first time");
                let problem = to.problem(item, &["kind"], message);
                let object = Some(reference(&item.object));
                found.add(
                    &RESOURCE_BEFORE_DEFINITION,
                    &to.release.tag,
                    object,
                    problem,
                );
            }
        }
    }
}

/// Objects that a cluster has without any release.
const ALWAYS_THERE: &[&str] = &[
    "coredns",
    "kube-dns",
    "kube-proxy",
    "kubernetes",
    "kube-system",
    "default",
];

fn conditions(subject: &Subject<'_>, found: &mut Found) {
    let to = subject.to;
    let there: BTreeSet<(String, String)> = [subject.from, subject.to]
        .iter()
        .flat_map(|side| side.addons())
        .map(|item| Identity::of(&item.object))
        .map(|id| (id.kind, id.name))
        .collect();
    for hook in HOOKS {
        for (index, stage) in to.release.addons.stages(hook).iter().enumerate() {
            if stage.action == Action::Delete {
                continue;
            }
            for (field, condition) in [
                ("waitForPreCondition", &stage.wait_for_pre_condition),
                ("waitForPostCondition", &stage.wait_for_post_condition),
            ] {
                let objects = condition.iter().flat_map(|one| &one.objects).enumerate();
                for (number, object) in objects {
                    let known = there.contains(&(object.kind.clone(), object.name.clone()))
                        || ALWAYS_THERE.contains(&object.name.as_str());
                    if known {
                        continue;
                    }
                    let message = format!("no release has {} {}", object.kind, object.name);
                    let (index, number) = (index.to_string(), number.to_string());
                    let path = [
                        "addonStages",
                        hook.as_str(),
                        &index,
                        field,
                        "objects",
                        &number,
                        "name",
                    ];
                    let problem = to.config_problem(&path, &message);
                    found.add(&CONDITION_OF_NOTHING, &to.release.tag, None, problem);
                }
            }
        }
    }
}

fn unordered(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    if from.release.kubernetes_version != to.release.kubernetes_version {
        return;
    }
    let objects = |side: &Side<'_>| -> Vec<Value> {
        let items = side.addons();
        items.map(|item: &Item| item.object.clone()).collect()
    };
    // Every name of a class begins with its own.
    let class = |side: &Side<'_>| {
        let objects = side.class.iter().map(|item| &item.object);
        let told = objects.filter(|object| object["kind"] != "ClusterClass");
        let told: Vec<String> = told.map(Value::to_string).collect();
        told.join("\n").replace(&side.release.class_name, "")
    };
    if objects(from) != objects(to) && class(from) != class(to) {
        let kubernetes = to.release.kubernetes_version;
        let message = format!(
            "addons and Machines change together from {} on, and Kubernetes stays at {kubernetes}",
            from.release.tag
        );
        let problem = to.metadata_problem(message);
        found.add(&ADDONS_UNORDERED, &to.release.tag, None, problem);
    }
}
