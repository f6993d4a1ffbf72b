//! Finds, reads and validates scenarios: those that ship, and those beside a stack, which go first.

use std::path::Path;

use super::recipe::{ReleaseRecipe, ScenarioFile, Spec};
use crate::stack::{
    Disturbance, Label, Machines, PackError, Problem, Problems, ReleaseError, Source, StackError,
    archive::ArchiveError,
};

macro_rules! shipped {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../suites/scenarios/", $name, ".yaml")),
        )
    };
}

/// The scenarios that ship, by name, in the order in which they are run.
const BUILT_IN: &[(&str, &str)] = &[
    shipped!("class-only"),
    shipped!("addons-only"),
    shipped!("node-image-only"),
    shipped!("kubernetes-patch"),
    shipped!("kubernetes-minor"),
    shipped!("three-releases"),
    shipped!("recovery"),
    shipped!("same-again"),
    shipped!("operator-restarted-at-addons"),
    shipped!("operator-restarted-at-machines"),
    shipped!("worker-unready"),
    shipped!("budget"),
    shipped!("guards"),
];

/// The folder for scenarios in that of a stack.
const FOLDER: &str = "scenarios";

/// A valid scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: Label,
    /// What happens in it.
    pub spec: Spec,
}

/// Why a scenario cannot be run: always the input's fault.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither shipped nor beside the stack.
    #[error("no scenario `{name}`: expected one of {}, all, or a file {name}.yaml in {dir}", .known.join(", "))]
    NotFound {
        /// As it was asked for.
        name: String,
        /// Where it was searched.
        dir: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// The file is wrong.
    #[error("invalid scenario\n{0}")]
    Invalid(#[from] Problems),
    /// What it is about is not in this stack.
    #[error("scenario `{scenario}` cannot be made of stack `{stack}`: {why}")]
    Unfit {
        /// The scenario.
        scenario: String,
        /// The stack.
        stack: String,
        /// What is missing.
        why: String,
    },
    /// A release cannot be read or rendered.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A release cannot be packed.
    #[error("failed to pack a release: {0}")]
    Pack(#[from] PackError),
    /// A release's archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The stack that was made of it is none.
    #[error(
        "the stack that was made for the scenario is not valid, which is a bug worth reporting\n{0}"
    )]
    Stack(#[from] StackError),
    /// A file cannot be read or written.
    #[error("failed to make the scenario's stack: {0}")]
    File(#[from] std::io::Error),
}

/// What is none, since it stands for each of them.
pub const ALL: &str = "all";

/// Names of the scenarios of a stack's folder: those that ship in the order in which they are run, then those
/// of its own.
#[must_use]
pub fn names(stack: &Path) -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let entries = std::fs::read_dir(stack.join(FOLDER));
    let mut own: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let name = file.strip_suffix(".yaml")?.to_owned();
            name.parse::<Label>().is_ok().then_some(name)
        })
        // It stands for each of them.
        .filter(|name| name != ALL)
        .filter(|name| !names.contains(name))
        .collect();
    own.sort();
    names.extend(own);
    names
}

impl Scenario {
    /// Loads the scenario `name`: the file `scenarios/<name>.yaml` in a stack's folder, or else the one that ships
    /// under this name.
    ///
    /// # Errors
    /// When there is none, or its file is wrong, with every finding's line.
    pub fn load(name: &str, stack: &Path) -> Result<Self, ScenarioError> {
        let file = format!("{name}.yaml");
        let own = stack.join(FOLDER).join(&file);
        // Only a name can be a file of the folder: nothing outside is meant.
        let source = if name.parse::<Label>().is_ok() && own.is_file() {
            Source::read(&own)?
        } else {
            let shipped = BUILT_IN.iter().find(|(known, _)| *known == name);
            let (_, text) = shipped.ok_or_else(|| ScenarioError::NotFound {
                name: name.to_owned(),
                dir: stack.join(FOLDER).display().to_string(),
                known: names(stack),
            })?;
            Source::new(&Path::new("suites/scenarios").join(&file), text)
        };
        let parsed: ScenarioFile = source.parse()?;
        validate(name, &parsed, &source).into_result()?;
        Ok(Self {
            name: parsed.metadata.name,
            spec: parsed.spec,
        })
    }
}

/// Everything that does not hold together.
fn validate(name: &str, file: &ScenarioFile, source: &Source) -> Problems {
    let mut problems = Problems::default();
    let mut add = |path: &[&str], message: String, expected: &str| {
        let problem: Problem = source.problem(path, message);
        problems.push(problem.expected(expected));
    };
    let own = &file.metadata.name;
    if **own != *name {
        let message = format!("the scenario is called `{own}`");
        add(
            &["metadata", "name"],
            message,
            &format!("`{name}`, as the file"),
        );
    }
    let spec = &file.spec;
    let operators = spec
        .upgrade
        .disturbance
        .filter(|it| *it != Disturbance::WorkerUnready);
    if operators.is_some() && spec.delivery.is_none() {
        let message = "this is about the Cluster Stack Operator".to_owned();
        let expected = "spec.delivery: operator";
        add(&["spec", "upgrade", "disturbance"], message, expected);
    }
    let kept = spec.upgrade.machines == Machines::Kept;
    if spec.from == spec.to && !kept {
        let message = "both releases are the same".to_owned();
        let expected = "another one, or spec.upgrade.machines: kept";
        add(&["spec", "to"], message, expected);
    }
    if spec.start.as_ref() == Some(&spec.from) {
        let message = "the cluster would be moved from a release to itself".to_owned();
        add(&["spec", "start"], message, "another release than `from`");
    }
    let both: [(&str, &ReleaseRecipe); 2] = [("from", &spec.from), ("to", &spec.to)];
    for (field, release) in both {
        if release.broken {
            let message = "a cluster never arrives at a broken release".to_owned();
            add(
                &["spec", field, "broken"],
                message,
                "a broken `start` alone",
            );
        }
    }
    let all = spec.start.iter().map(|start| ("start", start)).chain(both);
    for (field, release) in all {
        if release
            .class_command
            .as_deref()
            .is_some_and(|it| it.trim().is_empty())
        {
            let message = "there is no command".to_owned();
            add(
                &["spec", field, "classCommand"],
                message,
                "a command, such as `true`",
            );
        }
        if release
            .node_image_suffix
            .as_deref()
            .is_some_and(|it| !is_tag(it))
        {
            let message = "no tag can end in this".to_owned();
            let expected = "letters, digits, `_`, `.` and `-`, such as -r2";
            add(&["spec", field, "nodeImageSuffix"], message, expected);
        }
    }
    problems
}

fn is_tag(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
apiVersion: stackgate/v1alpha1
kind: Scenario
metadata:
  name: own
spec:
  description: own
  from: {base: from}
  to: {base: from, classCommand: \"true\"}
";

    fn load(text: &str) -> Result<Scenario, String> {
        let stack = tempfile::tempdir().unwrap();
        let folder = stack.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("own.yaml"), text).unwrap();
        assert!(names(stack.path()).contains(&"own".to_owned()));
        Scenario::load("own", stack.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_scenario_that_ships_is_valid_and_says_what_it_shows() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::load(name, Path::new("/nowhere")).unwrap();
            assert!(!scenario.spec.description.trim().is_empty(), "{name}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/scenarios");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), BUILT_IN.len());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        load(GOOD).unwrap();
        for (from, to, told) in [
            ("v1alpha1", "v9", "own.yaml:1:13: `apiVersion`"),
            ("kind: Scenario", "kind: Suite", "own.yaml:2:7: `kind`"),
            (
                "name: own",
                "name: other",
                "own.yaml:4:9: the scenario is called `other`",
            ),
            (
                "base: from}",
                "base: before}",
                "own.yaml:7:16: `spec.from.base`",
            ),
            (
                ", classCommand: \"true\"",
                "",
                "own.yaml:8:7: both releases are the same",
            ),
            ("\"true\"", "' '", "own.yaml:8:34: there is no command"),
            (
                "classCommand: \"true\"",
                "nodeImageSuffix: ':2'",
                "own.yaml:8:37: no tag can end in this",
            ),
            (
                "classCommand: \"true\"",
                "broken: true",
                "own.yaml:8:28: a cluster never arrives",
            ),
            ("classCommand", "classComand", "classComand"),
            (
                "  from:",
                "  start: {base: from}\n  from:",
                "own.yaml:7:10: the cluster would be moved from a release to itself",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = load(&text).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
            assert!(error.contains(" |"), "no snippet: {error}");
        }
    }

    #[test]
    fn the_same_again_is_allowed_where_machines_must_be_kept() {
        let text = GOOD.replace(", classCommand: \"true\"", "") + "  upgrade: {machines: kept}\n";
        load(&text).unwrap();
    }

    #[test]
    fn an_unknown_scenario_is_told_with_those_that_there_are() {
        for name in ["nope", "../class-only", ""] {
            let error = Scenario::load(name, Path::new("DIR"))
                .unwrap_err()
                .to_string();
            assert!(error.contains("expected one of class-only"), "{error}");
        }
    }
}
