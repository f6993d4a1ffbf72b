//! `clusteraddon.yaml` of a release: which addons are applied at which hook, in which order, and
//! what is waited for (format of the Cluster Stack Operator).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::stack::problem::Problems;
use crate::stack::yaml::Source;

/// apiVersion of the file.
const API_VERSION: &str = "clusteraddonconfig.x-k8s.io/v1alpha1";

/// A hook of Cluster API's runtime extensions at which the operator runs stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// The first control-plane Machine of a new Cluster serves its API.
    AfterControlPlaneInitialized,
    /// Before any Machine is replaced in an upgrade.
    BeforeClusterUpgrade,
}

impl Hook {
    /// The hook's name in `clusteraddon.yaml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterControlPlaneInitialized => "AfterControlPlaneInitialized",
            Self::BeforeClusterUpgrade => "BeforeClusterUpgrade",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::AfterControlPlaneInitialized,
            Self::BeforeClusterUpgrade,
        ]
        .into_iter()
        .find(|hook| hook.as_str() == name)
    }
}

/// One step of a hook: one addon chart applied or deleted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// Directory of the chart in the addon archive.
    pub name: String,
    pub action: Action,
    /// What must hold before the action.
    #[serde(default)]
    pub wait_for_pre_condition: Option<Condition>,
    /// What must hold before the next stage.
    #[serde(default)]
    pub wait_for_post_condition: Option<Condition>,
}

/// What a stage does with its chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    Apply,
    Delete,
}

/// A CEL expression over objects of the workload cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The objects, fetched from the workload cluster.
    #[serde(default)]
    pub objects: Vec<ConditionObject>,
    /// The expression, over the objects by their keys; it must give a bool.
    pub conditions: String,
}

/// An object that a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionObject {
    /// Name of the object in the expression.
    pub key: String,
    pub api_version: String,
    pub kind: String,
    pub name: String,
    /// Empty for cluster-scoped objects.
    #[serde(default)]
    pub namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    #[serde(default)]
    #[expect(dead_code, reason = "part of the format, but no reader acts on it")]
    cluster_addon_version: Option<String>,
    /// A hook whose list is left empty has none.
    addon_stages: BTreeMap<String, Option<Vec<Stage>>>,
}

/// Reads the stages of each hook; `charts` are the directories of the addon archive.
pub(super) fn read(
    source: &Source,
    charts: &BTreeSet<&str>,
) -> Result<BTreeMap<Hook, Vec<Stage>>, Problems> {
    let file: File = source.parse()?;
    let mut problems = Problems::default();
    if file.api_version != API_VERSION {
        problems.push(
            source
                .problem(
                    &["apiVersion"],
                    format!("unknown apiVersion `{}`", file.api_version),
                )
                .expected(format!("`{API_VERSION}`")),
        );
    }
    let mut hooks = BTreeMap::new();
    for (name, stages) in file.addon_stages {
        let stages = stages.unwrap_or_default();
        check_stages(source, &name, &stages, charts, &mut problems);
        match Hook::from_name(&name) {
            Some(hook) => {
                hooks.insert(hook, stages);
            }
            None => problems.push(
                source
                    .problem(
                        &["addonStages", &name],
                        format!("stages of hook `{name}` never run"),
                    )
                    .expected("AfterControlPlaneInitialized or BeforeClusterUpgrade")
                    .breaks("hook-unknown"),
            ),
        }
    }
    if !hooks.contains_key(&Hook::AfterControlPlaneInitialized) {
        problems.push(
            source
                .problem(
                    &["addonStages"],
                    "no stages for a new Cluster, so it would have no addons",
                )
                .expected("a list under AfterControlPlaneInitialized"),
        );
    }
    problems.into_result()?;
    Ok(hooks)
}

fn check_stages(
    source: &Source,
    hook: &str,
    stages: &[Stage],
    charts: &BTreeSet<&str>,
    problems: &mut Problems,
) {
    let mut seen = BTreeSet::new();
    for (index, stage) in stages.iter().enumerate() {
        let index = index.to_string();
        let at = ["addonStages", hook, index.as_str()];
        let field = |name: &'static str| [at[0], at[1], at[2], name];
        if !charts.contains(stage.name.as_str()) {
            let charts: Vec<&str> = charts.iter().copied().collect();
            problems.push(
                source
                    .problem(
                        &field("name"),
                        format!("the addon archive has no chart `{}`", stage.name),
                    )
                    .expected(format!("one of {}", charts.join(", ")))
                    .help("the Cluster Stack Operator would skip this stage without a word")
                    .breaks("stage-without-chart"),
            );
        }
        if !seen.insert((&stage.name, stage.action == Action::Delete)) {
            problems.push(
                source
                    .problem(
                        &field("name"),
                        format!("hook {hook} has stage `{}` twice", stage.name),
                    )
                    .expected("each chart once for each action"),
            );
        }
        for (name, condition) in [
            ("waitForPreCondition", &stage.wait_for_pre_condition),
            ("waitForPostCondition", &stage.wait_for_post_condition),
        ] {
            if let Some(condition) = condition {
                check_condition(source, &field(name), condition, problems);
            }
        }
    }
}

fn check_condition(
    source: &Source,
    at: &[&str; 4],
    condition: &Condition,
    problems: &mut Problems,
) {
    let mut keys = BTreeSet::new();
    for (index, object) in condition.objects.iter().enumerate() {
        let index = index.to_string();
        let path = [at[0], at[1], at[2], at[3], "objects", &index, "key"];
        if !keys.insert(object.key.as_str()) {
            problems.push(
                source
                    .problem(&path, format!("two objects have the key `{}`", object.key))
                    .expected("keys that differ"),
            );
        }
    }
    let path = [at[0], at[1], at[2], at[3], "conditions"];
    match cel::Program::compile(&condition.conditions) {
        Err(error) => problems.push(
            source
                .problem(
                    &path,
                    format!("the condition is not CEL: {}", one_line(&error.to_string())),
                )
                .expected("one CEL expression that gives a bool"),
        ),
        Ok(program) => {
            // Macros such as all() bind names of their own; but a strange name beside an object
            // that nobody asks for is a slip.
            let references = program.references();
            let unused = keys.iter().find(|key| !references.has_variable(key));
            let variables = references.variables();
            let unknown = variables.iter().find(|name| !keys.contains(*name));
            if let (Some(unused), Some(unknown)) = (unused, unknown) {
                problems.push(
                    source
                        .problem(
                            &path,
                            format!("the condition names `{unknown}`, which is no object's key"),
                        )
                        .expected(format!("`{unused}`, which it does not use")),
                );
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const GOOD: &str = "\
apiVersion: clusteraddonconfig.x-k8s.io/v1alpha1
clusterAddonVersion: clusteraddons.clusterstack.x-k8s.io/v1alpha1
addonStages:
  AfterControlPlaneInitialized:
  - name: cni
    action: apply
    waitForPostCondition:
      objects:
      - {key: cni, apiVersion: apps/v1, kind: DaemonSet, name: kindnet, namespace: kube-system}
      conditions: cni.status.numberReady > 0
  - name: csi
    action: apply
  BeforeClusterUpgrade:
";

    fn read_text(text: &str) -> Result<BTreeMap<Hook, Vec<Stage>>, String> {
        let source = Source::new(Path::new("clusteraddon.yaml"), text);
        read(&source, &BTreeSet::from(["cni", "csi"])).map_err(|problems| problems.to_string())
    }

    #[test]
    fn stages_keep_their_order_and_conditions() {
        let hooks = read_text(GOOD).unwrap();
        let stages = &hooks[&Hook::AfterControlPlaneInitialized];
        assert_eq!(
            stages
                .iter()
                .map(|stage| stage.name.as_str())
                .collect::<Vec<_>>(),
            ["cni", "csi"]
        );
        let condition = stages[0].wait_for_post_condition.as_ref().unwrap();
        assert_eq!(condition.conditions, "cni.status.numberReady > 0");
        assert_eq!(condition.objects[0].kind, "DaemonSet");
        assert!(hooks[&Hook::BeforeClusterUpgrade].is_empty());
    }

    #[test]
    fn macros_bind_names_of_their_own() {
        let text = GOOD.replace(
            "cni.status.numberReady > 0",
            "cni.status.conditions.all(c, c.status == 'True')",
        );
        assert!(read_text(&text).is_ok());
    }

    #[test]
    fn each_wrong_value_is_named_with_its_line() {
        for (from, to, expected) in [
            (
                "clusteraddonconfig",
                "config",
                "clusteraddon.yaml:1:13: unknown apiVersion",
            ),
            (
                "BeforeClusterUpgrade:\n",
                "AfterClusterUpgrade: []\n",
                "clusteraddon.yaml:13:24: stages of hook `AfterClusterUpgrade` never run",
            ),
            (
                "AfterControlPlaneInitialized",
                "AfterControlPlaneUpgrade",
                "no stages for a new Cluster",
            ),
            (
                "name: csi",
                "name: css",
                "clusteraddon.yaml:11:11: the addon archive has no chart `css`",
            ),
            (
                "name: csi",
                "name: cni",
                "clusteraddon.yaml:11:11: hook AfterControlPlaneInitialized has stage `cni` twice",
            ),
            (
                "action: apply\n  B",
                "action: replace\n  B",
                "clusteraddon.yaml:12:13:",
            ),
            ("    action: apply\n  B", "  B", "missing field `action`"),
            (
                "waitForPostCondition",
                "waitForPostcondition",
                "clusteraddon.yaml:7:5:",
            ),
            (
                "> 0",
                "> > 0",
                "clusteraddon.yaml:10:19: the condition is not CEL",
            ),
            (
                "cni.status",
                "cnl.status",
                "clusteraddon.yaml:10:19: the condition names `cnl`",
            ),
            (
                "kube-system}",
                "kube-system}\n      - {key: cni, apiVersion: v1, kind: Node, name: n}",
                "clusteraddon.yaml:10:15: two objects have the key `cni`",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = read_text(&text).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
