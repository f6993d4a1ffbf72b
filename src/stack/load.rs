//! Finds, reads and validates a stack under test.

use std::path::{Path, PathBuf};

use super::ok_to_fail::{self, OkToFail};
use super::problem::Problems;
use super::release::ReleaseError;
use super::spec::{Spec, StackFile};
use super::validate;
use super::values::{ImageReference, Label};
use super::yaml::Source;

/// Name of the file in a stack's folder.
pub const STACK_FILE: &str = "stack.yaml";

/// A stack under test whose file is valid in itself; its releases are opened by
/// [`Stack::open_releases`](Self::open_releases).
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: Label,
    /// The scenario that it was made for.
    pub scenario: Option<Label>,
    /// The folder of `stack.yaml`, to which its paths are relative.
    pub folder: PathBuf,
    /// kind's own Cluster file for the management cluster, where one is named; it exists.
    pub kind_config: Option<PathBuf>,
    pub spec: Spec,
    /// Failures that are accepted by the names of what fails, from the stack's `okToFail` file.
    pub ok_to_fail: Vec<OkToFail>,
    /// Where its releases were put that did not lie in its folder.
    pub obtained: Option<PathBuf>,
    pub(super) source: Source,
}

/// Why a stack cannot be tested: always the input's fault.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("no stack `{name}`: expected {expected}, or the path of a folder with {STACK_FILE}")]
    NotFound { name: String, expected: String },
    #[error("invalid stack\n{0}")]
    Invalid(#[from] Problems),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error("{0}\n{1}")]
    Releases(ReleaseError, ReleaseError),
}

impl Stack {
    /// Loads the stack `name_or_path`: the name of a folder in `stacks_dir`, or else the path of a
    /// folder with `stack.yaml` or of the file itself. kind's configuration is searched in the
    /// stack's folder, then in `kind-configs/` beside `stacks_dir`.
    pub fn load(name_or_path: &str, stacks_dir: &Path) -> Result<Self, StackError> {
        let file = find(name_or_path, stacks_dir)?;
        let source = Source::read(&file)?;
        let parsed: StackFile = source.parse()?;
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut problems = validate::check(&source, &parsed, &folder);
        let kind_configs = stacks_dir
            .parent()
            .unwrap_or(Path::new("."))
            .join("kind-configs");
        let named = parsed.spec.management.kind_config.as_deref();
        let kind_config = named.and_then(|name| find_kind_config(name, &folder, &kind_configs));
        if let (Some(name), None) = (named, &kind_config) {
            problems.push(
                source
                    .problem(
                        &["spec", "management", "kindConfig"],
                        format!("there is no file `{name}`"),
                    )
                    .expected(format!(
                        "the name of a file in {} or {}",
                        folder.display(),
                        kind_configs.display()
                    )),
            );
        }
        let mut ok_to_fail = Vec::new();
        if let Some(file) = &parsed.spec.ok_to_fail {
            match ok_to_fail::read(&folder.join(file)) {
                Ok(entries) => ok_to_fail = entries,
                Err(found) => problems.0.extend(found.0),
            }
        }
        problems.into_result()?;
        Ok(Self {
            name: parsed.metadata.name,
            scenario: parsed.metadata.scenario,
            folder,
            kind_config,
            spec: parsed.spec,
            ok_to_fail,
            obtained: None,
            source,
        })
    }

    /// What kind makes the management cluster of: its Cluster file, and the image of its node.
    ///
    /// # Errors
    /// When this file does not tell both; only an engine that uses kind needs them.
    pub fn made_by_kind(&self) -> Result<(&Path, &ImageReference), Problems> {
        let management = &self.spec.management;
        if let (Some(config), Some(image)) = (&self.kind_config, &management.node_image) {
            return Ok((config, image));
        }
        let mut problems = Problems::default();
        for (field, told, example) in [
            (
                "kindConfig",
                self.kind_config.is_some(),
                "FILE, kind's own Cluster",
            ),
            (
                "nodeImage",
                management.node_image.is_some(),
                "kindest/node:VERSION",
            ),
        ] {
            if !told {
                let what = format!(
                    "there is no `{field}`, of which engine kind makes the management cluster"
                );
                let problem = self.source.problem(&["spec", "management"], what);
                let problem = problem.expected(format!("an entry `{field}: {example}`"));
                problems
                    .push(problem.help("--engine embedded and --engine existing go without it"));
            }
        }
        Err(problems)
    }

    /// Refuses suites that are not among `known`.
    pub fn check_suites(&self, known: &[&str]) -> Result<(), StackError> {
        let mut problems = Problems::default();
        for (index, suite) in self.spec.suites.iter().enumerate() {
            if !known.contains(&&**suite) {
                problems.push(
                    self.source
                        .problem(
                            &["spec", "suites", &index.to_string()],
                            format!("unknown suite `{suite}`"),
                        )
                        .expected(format!("one of {}", known.join(", ")))
                        .help("`stackgate suites` lists them"),
                );
            }
        }
        Ok(problems.into_result()?)
    }

    /// The folder that holds the releases' directories, named by their tags.
    pub fn releases_dir(&self) -> PathBuf {
        let own = || self.folder.join(&self.spec.releases.directory);
        let above = self.obtained.clone().unwrap_or_else(own);
        above.join("cluster-stacks")
    }
}

fn find(name_or_path: &str, stacks_dir: &Path) -> Result<PathBuf, StackError> {
    if name_or_path.parse::<Label>().is_ok() {
        let file = stacks_dir.join(name_or_path).join(STACK_FILE);
        if file.is_file() {
            return Ok(file);
        }
    }
    let path = Path::new(name_or_path);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let file = path.join(STACK_FILE);
    if !name_or_path.is_empty() && file.is_file() {
        return Ok(file);
    }
    let names = stack_names(stacks_dir);
    Err(StackError::NotFound {
        name: name_or_path.to_owned(),
        expected: match names.as_slice() {
            [] => format!("a name (there is no stack in {})", stacks_dir.display()),
            names => format!("one of {} (in {})", names.join(", "), stacks_dir.display()),
        },
    })
}

/// Names of the stacks in `stacks_dir`, in alphabetical order.
pub fn stack_names(stacks_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(stacks_dir)
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join(STACK_FILE).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn find_kind_config(name: &str, folder: &Path, kind_configs: &Path) -> Option<PathBuf> {
    // A plain file name: nothing outside the two folders is meant.
    if Path::new(name).file_name()? != name {
        return None;
    }
    [folder, kind_configs]
        .iter()
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
