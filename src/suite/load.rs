//! Finds, reads and validates suites: those that ship, and those beside a stack, which go first.

use std::path::{Path, PathBuf};

use super::file::{Check, SuiteFile};
use super::validate::{at, validate};
use crate::stack::{Label, Problem, Problems, Source};

/// The suites that ship, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("guards", include_str!("../../suites/guards.yaml")),
    ("health", include_str!("../../suites/health.yaml")),
    ("scs-light", include_str!("../../suites/scs-light.yaml")),
    ("scs-heavy", include_str!("../../suites/scs-heavy.yaml")),
    ("upgrade", include_str!("../../suites/upgrade.yaml")),
];

/// A valid suite.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its name.
    pub name: Label,
    /// What it is for, in one line.
    pub description: String,
    /// The checks, in the order of the report; each can be asked.
    pub checks: Vec<Check>,
    /// The folder of its file, to which paths are relative; none for what ships.
    pub folder: Option<PathBuf>,
}

/// Why a suite cannot be run: always the input's fault.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Neither shipped nor beside the stack.
    #[error("no suite `{name}`: expected one of {}, or a file {name}.yaml in {dir}", .known.join(", "))]
    NotFound {
        /// As it was asked for.
        name: String,
        /// Where it was searched.
        dir: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// The file is wrong.
    #[error("invalid suite\n{0}")]
    Invalid(#[from] Problems),
}

impl From<Problem> for SuiteError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(problem.into())
    }
}

/// Names of the suites that ship, in alphabetical order.
pub fn shipped() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Names of the suites that can be loaded with `dir`, in alphabetical order.
#[must_use]
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let beside = entries.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        let name = file.strip_suffix(".yaml")?.to_owned();
        name.parse::<Label>().is_ok().then_some(name)
    });
    let shipped = BUILT_IN.iter().map(|(name, _)| (*name).to_owned());
    let mut names: Vec<String> = shipped.chain(beside).collect();
    names.sort();
    names.dedup();
    names
}

impl Suite {
    /// Loads the suite `name`: the file `<name>.yaml` in `dir`, which need not exist, or else the
    /// one that ships under this name.
    ///
    /// # Errors
    /// When there is none, or its file is wrong, with every finding's line.
    pub fn load(name: &str, dir: &Path) -> Result<Self, SuiteError> {
        Ok(open(name, dir)?.0)
    }

    /// Loads suites that are to be run together: no two of their checks have the same id.
    ///
    /// # Errors
    /// As [`Suite::load`], and when an id is there twice.
    pub fn load_all(names: &[Label], dir: &Path) -> Result<Vec<Self>, SuiteError> {
        let mut suites: Vec<Self> = Vec::new();
        for name in names {
            let (suite, source) = open(name, dir)?;
            let mut problems = Problems::default();
            for (index, check) in suite.checks.iter().enumerate() {
                let other = suites
                    .iter()
                    .find(|other| other.checks.iter().any(|c| c.id == check.id));
                if let Some(other) = other {
                    let message = format!("suite `{}` has a check `{}`, too", other.name, check.id);
                    problems.push(
                        at(&source, index, "id", message)
                            .expected("an id that is unique among the suites of a run"),
                    );
                }
            }
            problems.into_result()?;
            suites.push(suite);
        }
        Ok(suites)
    }
}

fn open(name: &str, dir: &Path) -> Result<(Suite, Source), SuiteError> {
    let file = format!("{name}.yaml");
    let path = dir.join(&file);
    // Only a name can be a file of the folder: nothing outside is meant.
    let mut folder = None;
    let source = if name.parse::<Label>().is_ok() && path.is_file() {
        folder = Some(dir.to_owned());
        Source::read(&path)?
    } else {
        let shipped = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = shipped.ok_or_else(|| SuiteError::NotFound {
            name: name.to_owned(),
            dir: dir.display().to_string(),
            known: names(dir),
        })?;
        Source::new(&Path::new("suites").join(&file), text)
    };
    let parsed: SuiteFile = source.parse()?;
    validate(name, &parsed, &source, folder.as_deref()).into_result()?;
    let suite = Suite {
        folder,
        name: parsed.metadata.name,
        description: parsed.spec.description,
        checks: parsed.spec.checks,
    };
    Ok((suite, source))
}

impl Suite {
    /// Reads a suite from a file of any name.
    ///
    /// # Errors
    /// When it is wrong, with every finding's line.
    pub fn read(path: &Path) -> Result<Self, SuiteError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let source = Source::read(path)?;
        let parsed: SuiteFile = source.parse()?;
        validate(&stem, &parsed, &source, Some(folder)).into_result()?;
        Ok(Self {
            name: parsed.metadata.name,
            description: parsed.spec.description,
            checks: parsed.spec.checks,
            folder: Some(folder.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    fn file(checks: &str) -> String {
        format!(
            "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata:\n  name: own\nspec:\n  description: own\n  checks:\n{checks}"
        )
    }

    fn load(text: &str) -> Result<Suite, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("own.yaml"), text).unwrap();
        Suite::load("own", dir.path()).map_err(|error| {
            error
                .to_string()
                .replace(&dir.path().display().to_string(), "DIR")
        })
    }

    const NODES: &str = "  - {id: nodes, title: Nodes, severity: MUST, native: nodes-ready}\n";

    #[test]
    fn every_suite_that_ships_is_valid_and_bears_its_name() {
        for (name, _) in BUILT_IN {
            let suite = Suite::load(name, Path::new("/nowhere")).unwrap();
            assert_eq!(&*suite.name, *name);
        }
    }

    #[test]
    fn every_check_that_there_is_is_asked_by_a_suite_that_ships() {
        for native in checks::all() {
            let asked = BUILT_IN.iter().any(|(name, _)| {
                let suite = Suite::load(name, Path::new("/nowhere")).unwrap();
                suite
                    .checks
                    .iter()
                    .any(|check| check.native.as_deref() == Some(native.name))
            });
            assert!(asked, "{}", native.name);
        }
    }

    #[test]
    fn a_file_beside_the_stack_goes_before_the_one_that_ships() {
        let dir = tempfile::tempdir().unwrap();
        let own = file(NODES).replace("name: own", "name: health");
        std::fs::write(dir.path().join("health.yaml"), own).unwrap();
        assert_eq!(Suite::load("health", dir.path()).unwrap().checks.len(), 1);
        assert_eq!(
            names(dir.path()),
            ["guards", "health", "scs-heavy", "scs-light", "upgrade"]
        );
    }

    #[test]
    fn an_unknown_suite_is_told_with_those_that_there_are() {
        for name in ["nope", "../health", ""] {
            let error = Suite::load(name, Path::new("DIR")).unwrap_err().to_string();
            assert!(
                error.contains("expected one of guards, health, scs-heavy, scs-light, upgrade"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_mistyped_file_is_told_with_its_line() {
        for (from, to, told) in [
            (
                "stackgate/v1alpha1",
                "stackgate/v9",
                "own.yaml:1:13: `apiVersion`",
            ),
            ("kind: Suite", "kind: Sweet", "own.yaml:2:7: `kind`"),
            ("MUST", "must", "own.yaml:8:41: `spec.checks.0.severity`"),
            ("title: Nodes", "titel: Nodes", "titel"),
            (
                "id: nodes",
                "id: No_des",
                "own.yaml:8:10: `spec.checks.0.id`",
            ),
            (
                "native: nodes-ready",
                "native: nodes-ready, timeout: soon",
                "own.yaml:8:77: `spec.checks.0.timeout`",
            ),
            ("description: own", "description: [", "own.yaml:"),
        ] {
            let text = file(NODES).replace(from, to);
            assert_ne!(text, file(NODES));
            let error = load(&text).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
            assert!(error.contains(" |"), "no snippet: {error}");
        }
    }

    #[test]
    fn everything_that_does_not_hold_together_is_told_at_once() {
        let checks = format!(
            "{NODES}  - {{id: nodes, title: ' ', severity: MAY, native: nodes-reddy}}\n  - {{id: short, title: T, severity: MAY, native: nodes-ready, timeout: 1s}}\n"
        );
        let error = load(&file(&checks).replace("name: own", "name: other")).unwrap_err();
        for told in [
            "DIR/own.yaml:4:9: the suite is called `other`",
            "DIR/own.yaml:9:10: check `nodes` is number 1 already",
            "the title is empty",
            "there is no check `nodes-reddy`",
            "expected one of nodes-ready",
            "1s is too short for `nodes-ready`",
            "expected at least ",
        ] {
            assert!(error.contains(told), "{told}: {error}");
        }
        let error = load(&file("").replace("checks:\n", "checks: []\n")).unwrap_err();
        assert!(error.contains("there is no check"), "{error}");
    }

    #[test]
    fn an_id_is_unique_among_the_suites_of_a_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            let text = file(NODES).replace("name: own", &format!("name: {name}"));
            std::fs::write(dir.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let names: Vec<Label> = ["a", "b"].map(|name| name.parse().unwrap()).into();
        let error = Suite::load_all(&names, dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("b.yaml:8:10: suite `a` has a check `nodes`, too"),
            "{error}"
        );
        assert_eq!(Suite::load_all(&names[..1], dir.path()).unwrap().len(), 1);
    }
}
