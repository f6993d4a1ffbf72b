//! Where releases come from when they are no directory yet: an OCI registry, a checkout of sources, or an archive.

mod build;
mod oci;
mod packed;
mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::stack::{ReleaseSource, ReleaseTag, Stack};

pub use build::{BuildError, build};
pub use oci::{Pulled, Registry, pull};
pub use packed::unpack;
pub use trouble::SourceError;

/// The files of a release by name.
pub type ReleaseFiles = BTreeMap<String, Vec<u8>>;

/// Releases that were fetched or built for a run; they go with this.
#[derive(Debug)]
pub struct Obtained {
    folder: TempDir,
    /// What was obtained, as facts for the report: a stable name and a value.
    pub facts: Vec<(String, String)>,
}

/// Gets the releases of a stack whose file names a registry, a checkout or archives, and makes the stack look for
/// them where they are put. Nothing happens for a stack whose releases lie in a directory.
///
/// # Errors
/// When a release cannot be fetched or built: one message, with what to do.
pub async fn obtain(stack: &mut Stack) -> Result<Option<Obtained>, SourceError> {
    let Some(source) = stack.spec.releases.source.clone() else {
        return Ok(None);
    };
    let folder = tempfile::tempdir().map_err(SourceError::local)?;
    let mut facts = Vec::new();
    let releases = &stack.spec.releases;
    for (name, tag) in [("from", &releases.from), ("to", &releases.to)] {
        let (files, fact) = match &source {
            ReleaseSource::Oci { repository, pinned } => {
                let registry = Registry::new(repository);
                // N comes first: by the time N+1 is asked for, it is there.
                let pulled = pull(&registry, tag, pinned.get(tag).map(String::as_str)).await;
                let pulled = pulled.map_err(|error| error.after(&releases.from, tag))?;
                let fact = format!("{repository}:{tag}@{}", pulled.digest);
                (pulled.files, fact)
            }
            ReleaseSource::Checkout { from, to } => {
                let folder = stack.folder.join(if name == "from" { from } else { to });
                let files = build(&folder, tag)?;
                (files, format!("built from {}", folder.display()))
            }
            ReleaseSource::Archive { from, to } => {
                let file = stack.folder.join(if name == "from" { from } else { to });
                (
                    unpack(&file, tag)?,
                    format!("unpacked from {}", file.display()),
                )
            }
        };
        write(&folder.path().join("cluster-stacks"), tag, &files)?;
        facts.push((format!("release.{name}"), fact));
    }
    stack.obtained = Some(folder.path().to_owned());
    Ok(Some(Obtained { folder, facts }))
}

impl Obtained {
    /// Where they are: the folder above `cluster-stacks/`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Writes the files of a release as `<directory>/<tag>/`, all of them or none.
///
/// # Errors
/// When the folder is there already, or cannot be written.
pub fn write(
    directory: &Path,
    tag: &ReleaseTag,
    files: &ReleaseFiles,
) -> Result<PathBuf, SourceError> {
    let folder = directory.join(tag.to_string());
    if folder.exists() {
        return Err(SourceError::Exists(folder));
    }
    std::fs::create_dir_all(directory).map_err(SourceError::local)?;
    // Beside it, so that what is half written is never taken for a release.
    let part = tempfile::tempdir_in(directory).map_err(SourceError::local)?;
    for (name, content) in files {
        std::fs::write(part.path().join(name), content).map_err(SourceError::local)?;
    }
    std::fs::rename(part.path(), &folder).map_err(SourceError::local)?;
    // The folder is the caller's now, who may look into it; a temporary one is for its maker alone.
    let _ = part.keep();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&folder, mode).map_err(SourceError::local)?;
    }
    Ok(folder)
}
