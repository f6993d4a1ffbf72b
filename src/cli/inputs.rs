//! What a run was made of, kept in its folder so that it can be run again from there alone: the stack with
//! its two releases, its suites, kind's configuration, and how it was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::stack::{STACK_FILE, Stack};

/// The folder in that of a run.
pub const FOLDER: &str = "inputs";
/// What tells how the run was asked for.
const FILE: &str = "run.json";
/// As in a checkout, since stacks and kind's configurations are found side by side.
const STACKS: &str = "stacks-under-test";
const KIND_CONFIGS: &str = "kind-configs";

/// How a run was asked for, and on what machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// stackgate's version.
    pub version: String,
    /// E.g. `linux x86_64`.
    pub machine: String,
    /// The stack's name.
    pub stack: String,
    /// `kind` or `embedded`.
    pub engine: String,
    /// `direct` or `operator`.
    pub delivery: String,
    /// Of a rehearsal.
    pub seed: Option<u64>,
    /// What was made to go wrong.
    pub faults: Vec<String>,
    /// Whether it was to go on although lint found a MUST broken.
    #[serde(default)]
    pub no_lint: bool,
    /// What deadlines were multiplied by.
    pub timeout_scale: f64,
    /// The day by which what ages was judged, YYYY-MM-DD.
    pub today: String,
    /// Every file with its SHA-256.
    pub files: BTreeMap<String, String>,
}

impl Asked {
    /// The machine that this program runs on.
    pub fn here() -> String {
        format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
    }
}

/// Copies what a run is made of into its folder.
///
/// # Errors
/// When something cannot be read or written, or lies outside of the stack's folder.
pub fn keep(folder: &Path, stack: &Stack, mut asked: Asked) -> Result<()> {
    let inputs = folder.join(FOLDER);
    let target = inputs.join(STACKS).join(&asked.stack);
    let mut files: Vec<(PathBuf, PathBuf)> = vec![
        (stack.folder.join(STACK_FILE), target.join(STACK_FILE)),
        (
            stack.kind_config.clone(),
            inputs
                .join(KIND_CONFIGS)
                .join(&stack.spec.management.kind_config),
        ),
    ];
    if let Some(file) = &stack.spec.ok_to_fail {
        files.push((stack.folder.join(file), target.join(inside(file)?)));
    }
    let releases = stack.releases_dir();
    let directory = target
        .join(inside(&stack.spec.releases.directory)?)
        .join("cluster-stacks");
    for tag in [&stack.spec.releases.from, &stack.spec.releases.to] {
        let tag = tag.to_string();
        files.extend(all_of(&releases.join(&tag), &directory.join(&tag))?);
    }
    let suites = super::engine::own_suites(stack);
    if suites.is_dir() {
        files.extend(all_of(&suites, &target.join("suites"))?);
    }
    for (from, to) in files {
        let copying = || format!("failed to copy {} to {}", from.display(), to.display());
        let bytes = fs::read(&from).with_context(copying)?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(copying)?;
        }
        fs::write(&to, &bytes).with_context(copying)?;
        let name = to.strip_prefix(&inputs)?.to_string_lossy().into_owned();
        asked.files.insert(name, digest(&bytes));
    }
    let text = serde_json::to_string_pretty(&asked)? + "\n";
    let path = inputs.join(FILE);
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// A path that leads nowhere else.
fn inside(path: &str) -> Result<&Path> {
    let path = Path::new(path);
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    ensure!(
        path.components().all(stays),
        "{} is outside of the stack's folder",
        path.display()
    );
    Ok(path)
}

/// Every file below a folder, and where it goes.
fn all_of(from: &Path, to: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    let reading = || format!("failed to read {}", from.display());
    for entry in fs::read_dir(from).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            found.extend(all_of(&path, &target)?);
        } else {
            found.push((path, target));
        }
    }
    found.sort();
    Ok(found)
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a run was made of, found again.
#[derive(Debug)]
pub struct Inputs {
    /// How it was asked for.
    pub asked: Asked,
    /// The folder of the stacks.
    pub stacks: PathBuf,
}

impl Inputs {
    /// Reads what was kept in a run's folder; refuses what is not as it was.
    ///
    /// # Errors
    /// When nothing was kept, or it is not what was run.
    pub fn read(folder: &Path) -> Result<Self> {
        let inputs = folder.join(FOLDER);
        let path = inputs.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "failed to read {}: the run was made without it",
                path.display()
            )
        })?;
        let asked: Asked = serde_json::from_str(&text)
            .with_context(|| format!("failed to understand {}", path.display()))?;
        for (name, sum) in &asked.files {
            let path = inputs.join(inside(name)?);
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            if digest(&bytes) != *sum {
                bail!(
                    "{} is not what was run: its SHA-256 is another one",
                    path.display()
                );
            }
        }
        let stacks = inputs.join(STACKS);
        Ok(Self { asked, stacks })
    }
}
