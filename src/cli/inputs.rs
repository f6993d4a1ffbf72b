//! What a run was made of, kept in its folder so that it can be run again from there alone: the stack with
//! its two releases, its suites, kind's configuration, and how it was asked for.
//!
//! A file that holds what one of the release's Secrets holds is kept without it. The run can then be repeated only
//! with the original of that file, which is told from others by its digest.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::record::Redactor;
use crate::stack::{STACK_FILE, Stack};

/// The folder in that of a run.
pub const FOLDER: &str = "inputs";
/// What tells how the run was asked for.
const FILE: &str = "run.json";
/// As in a checkout, since stacks and kind's configurations are found side by side.
const STACKS: &str = "stacks-under-test";
const KIND_CONFIGS: &str = "kind-configs";
/// With what a packed file begins (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How deep charts are packed in charts, at most.
const DEPTH: usize = 4;
/// How much of a packed file is looked at, in bytes; no release holds more.
const UNPACKED: u64 = 256 << 20;

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
    /// Which images the rehearsal could not have.
    #[serde(default)]
    pub missing_images: Vec<String>,
    /// Whether it was to go on although lint found a MUST broken.
    #[serde(default)]
    pub no_lint: bool,
    /// The words of `--management`; empty when stack.yaml was to say.
    #[serde(default)]
    pub management: Vec<String>,
    /// Whether a rehearsal was to take as long as real clusters would.
    #[serde(default)]
    pub real_time: bool,
    /// Whether clusters were to stay: `never`, `on-failure`, `always`.
    #[serde(default = "never")]
    pub keep: String,
    /// What deadlines were multiplied by.
    pub timeout_scale: f64,
    /// The day by which what ages was judged, YYYY-MM-DD.
    pub today: String,
    /// Every file with its SHA-256, as it was before anything was taken out of it.
    pub files: BTreeMap<String, String>,
    /// Those that are kept without what a Secret holds, or not at all.
    #[serde(default)]
    pub redacted: BTreeSet<String>,
}

fn never() -> String {
    "never".to_owned()
}

impl Asked {
    /// The machine that this program runs on.
    pub fn here() -> String {
        format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
    }
}

/// Copies what a run is made of into its folder, without what the redactor knows of Secrets.
///
/// # Errors
/// When something cannot be read or written, or lies outside of the stack's folder.
pub fn keep(folder: &Path, stack: &Stack, mut asked: Asked, redactor: &Redactor) -> Result<()> {
    let inputs = folder.join(FOLDER);
    let target = inputs.join(STACKS).join(&asked.stack);
    let mut files: Vec<(PathBuf, PathBuf)> =
        vec![(stack.folder.join(STACK_FILE), target.join(STACK_FILE))];
    if let Some(config) = &stack.kind_config {
        let name = config.file_name().unwrap_or_default();
        files.push((config.clone(), inputs.join(KIND_CONFIGS).join(name)));
    }
    if let Some(file) = &stack.spec.ok_to_fail {
        files.push((stack.folder.join(file), target.join(inside(file)?)));
    }
    let releases = stack.releases_dir();
    let directory = target
        .join(inside(&stack.spec.releases.directory)?)
        .join("cluster-stacks");
    let tags = &stack.spec.releases;
    let start = tags.start.iter().map(|start| &start.release);
    for tag in start.chain([&tags.from, &tags.to]) {
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
        let name = to.strip_prefix(&inputs)?.to_string_lossy().into_owned();
        match without_secrets(&bytes, redactor) {
            None => drop(asked.redacted.insert(name.clone())),
            Some(kept) => {
                fs::create_dir_all(to.parent().unwrap_or(&inputs)).with_context(copying)?;
                fs::write(&to, &kept).with_context(copying)?;
                if let Cow::Owned(_) = kept {
                    asked.redacted.insert(name.clone());
                }
            }
        }
        asked.files.insert(name, digest(&bytes));
    }
    let text = serde_json::to_string_pretty(&asked)? + "\n";
    let path = inputs.join(FILE);
    fs::create_dir_all(&inputs)?;
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// A file as it may be kept; none when nothing of it may, since it cannot be taken out.
fn without_secrets<'b>(bytes: &'b [u8], redactor: &Redactor) -> Option<Cow<'b, [u8]>> {
    if bytes.starts_with(&GZIP) {
        return (!holds_secret(bytes, redactor, 0)).then_some(Cow::Borrowed(bytes));
    }
    match redactor.known(&String::from_utf8_lossy(bytes)) {
        Some(text) => Some(Cow::Owned(text.into_bytes())),
        None => Some(Cow::Borrowed(bytes)),
    }
}

/// Whether a file, or one that is packed in it, holds what a Secret holds. What is packed too deep may.
fn holds_secret(bytes: &[u8], redactor: &Redactor, depth: usize) -> bool {
    if !bytes.starts_with(&GZIP) {
        return redactor.known(&String::from_utf8_lossy(bytes)).is_some();
    }
    if depth == DEPTH {
        return true;
    }
    let mut unpacked = Vec::new();
    // What is broken was refused when the release was read.
    let _ = MultiGzDecoder::new(bytes)
        .take(UNPACKED)
        .read_to_end(&mut unpacked);
    let mut archive = tar::Archive::new(unpacked.as_slice());
    let packed = archive
        .entries()
        .into_iter()
        .flatten()
        .flatten()
        .any(|mut entry| {
            let mut content = Vec::new();
            let _ = entry.read_to_end(&mut content);
            content.starts_with(&GZIP) && holds_secret(&content, redactor, depth + 1)
        });
    packed
        || redactor
            .known(&String::from_utf8_lossy(&unpacked))
            .is_some()
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
    /// Where the inputs were put together, when the folder of the run does not hold all of them.
    _made: Option<TempDir>,
}

impl Inputs {
    /// Reads what was kept in a run's folder; refuses what is not as it was. What was kept without a Secret's
    /// value is taken from `originals`, the folder of the stack.
    ///
    /// # Errors
    /// When nothing was kept, or it is not what was run.
    pub fn read(folder: &Path, originals: Option<&Path>) -> Result<Self> {
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
        let mut sources = BTreeMap::new();
        for (name, sum) in &asked.files {
            let path = match (asked.redacted.contains(name), originals) {
                (false, _) => inputs.join(inside(name)?),
                (true, Some(originals)) => original(name, &asked.stack, originals)?,
                (true, None) => bail!(Withheld(asked.redacted.iter().cloned().collect())),
            };
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            if digest(&bytes) != *sum {
                bail!(
                    "{} is not what was run: its SHA-256 is another one",
                    path.display()
                );
            }
            sources.insert(name, path);
        }
        if asked.redacted.is_empty() {
            let stacks = inputs.join(STACKS);
            return Ok(Self {
                asked,
                stacks,
                _made: None,
            });
        }
        // Not in the run's folder: what was left out of it stays out.
        let made = tempfile::tempdir().context("failed to make a folder for the inputs")?;
        for (name, from) in sources {
            let to = made.path().join(name);
            let copying = || format!("failed to copy {}", from.display());
            fs::create_dir_all(to.parent().unwrap_or(made.path())).with_context(copying)?;
            fs::copy(&from, &to).with_context(copying)?;
        }
        Ok(Self {
            asked,
            stacks: made.path().join(STACKS),
            _made: Some(made),
        })
    }
}

/// Inputs that are not in the run's folder as they were.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run's folder does not hold what a Secret of the release holds, so that these files are not as they were: {}",
    .0.join(", ")
)]
pub struct Withheld(Vec<String>);

/// Where the original of a kept file is, given the folder of the stack.
fn original(name: &str, stack: &str, originals: &Path) -> Result<PathBuf> {
    let name = inside(name)?;
    if let Ok(within) = name.strip_prefix(Path::new(STACKS).join(stack)) {
        return Ok(originals.join(within));
    }
    // Beside the folder of the stacks.
    Ok(originals.join("../..").join(name))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_kept_without_what_a_secret_holds() {
        let redactor = Redactor::default();
        let mut secret = json!({"kind": "Secret", "stringData": {"password": "hunter2-hunter2"}});
        redactor.object(&mut secret);
        let kept = |bytes: &[u8]| {
            without_secrets(bytes, &redactor)
                .map(|kept| String::from_utf8_lossy(&kept).into_owned())
        };
        assert_eq!(kept(b"a: b").unwrap(), "a: b");
        assert_eq!(kept(b"p: hunter2-hunter2\n").unwrap(), "p: (redacted)\n");
        let gz = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        let packed = |text: &str| gz(text.as_bytes());
        let harmless = packed("a: b");
        assert_eq!(without_secrets(&harmless, &redactor).unwrap(), harmless);
        assert_eq!(kept(&packed("p: hunter2-hunter2")), None);
        // A chart in a chart.
        let inner = {
            let mut archive = tar::Builder::new(Vec::new());
            let chart = gz(b"p: hunter2-hunter2");
            let mut header = tar::Header::new_gnu();
            header.set_size(chart.len() as u64);
            archive
                .append_data(&mut header, "charts/a.tgz", chart.as_slice())
                .unwrap();
            archive.into_inner().unwrap()
        };
        assert_eq!(kept(&gz(&inner)), None);
    }
}
