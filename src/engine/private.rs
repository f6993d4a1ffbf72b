//! A run's private folder: kubeconfigs for the user alone, and the engine's record by which a later process
//! knows what the run made and whether it still runs.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::names::{of_run, run_of};
use crate::record::{Reach, RunId};

const RECORD: &str = "run.json";

/// The folder of one run.
#[derive(Clone, Debug)]
pub(super) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Where a run's folder is, whether it exists or not.
    pub(super) fn of(run: &RunId) -> Self {
        Self::named(&of_run(run))
    }

    /// The folder of that name, whether it exists or not: of an engine that keeps records of its own.
    pub(super) fn named(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }

    /// Makes it, for this user alone. The folder above is open to everybody, so one that is
    /// already there is taken only when it is the user's own.
    pub(super) fn create(&self) -> Result<()> {
        let shown = self.0.display();
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if !is_own(&self.0) {
                    bail!("failed to create {shown}: it exists and belongs to somebody else");
                }
                std::fs::set_permissions(&self.0, Permissions::from_mode(0o700))
                    .with_context(|| format!("failed to make {shown} private"))
            }
            Err(error) => Err(error).with_context(|| format!("failed to create {shown}")),
        }
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that the user alone may read, whole or not at all.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.file(name);
        let part = self.file(&format!("{name}.part"));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| std::fs::rename(&part, &path));
        written.with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// The kubeconfigs in it of the management and the workload cluster, as far as they are there.
    pub(super) fn reaches(&self, [management, workload]: [&str; 2]) -> Vec<Reach> {
        let files = [("management", management), ("workload", workload)];
        let files = files.map(|(cluster, name)| (cluster, self.file(name)));
        files
            .into_iter()
            .filter(|(_, file)| file.is_file())
            .map(|(cluster, file)| Reach {
                cluster: cluster.to_owned(),
                file: file.to_string_lossy().into_owned(),
            })
            .collect()
    }

    /// Writes the run's record.
    pub(super) fn save(&self, record: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(record).context("failed to write the run's record")?;
        self.write(RECORD, &json)?;
        Ok(())
    }

    /// The run's record; none where the run got no further than making the folder.
    pub(super) fn load<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.file(RECORD)).ok()?).ok()
    }

    /// Whether it is there and the user's own.
    pub(super) fn exists(&self) -> bool {
        is_own(&self.0)
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that it holds; an absent one is fine.
    pub(super) fn remove(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.0)
            .with_context(|| format!("failed to remove {}", self.0.display()))
    }

    /// Every run that has left a folder of this user's.
    pub(super) fn all() -> Vec<RunId> {
        Self::all_by(run_of)
    }

    /// Every run that has left a folder of this user's, by what the folder's name says.
    pub(super) fn all_by(run_of: impl Fn(&str) -> Option<RunId>) -> Vec<RunId> {
        Self::all_in(&std::env::temp_dir(), run_of)
    }

    /// The records of every run that has left one.
    pub(super) fn records<T: DeserializeOwned>() -> Vec<(RunId, T)> {
        Self::all()
            .into_iter()
            .filter_map(|run| {
                let record = Self::of(&run).load()?;
                Some((run, record))
            })
            .collect()
    }

    fn all_in(folder: &Path, run_of: impl Fn(&str) -> Option<RunId>) -> Vec<RunId> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| is_own(&entry.path()))
            .filter_map(|entry| run_of(entry.file_name().to_str()?))
            .collect()
    }
}

/// Whether a path is a folder, not a link to one, that belongs to the user.
fn is_own(path: &Path) -> bool {
    let user = std::fs::metadata("/proc/self").map(|own| own.uid()).ok();
    std::fs::symlink_metadata(path)
        .is_ok_and(|folder| folder.is_dir() && Some(folder.uid()) == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_back_and_is_for_the_user_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = PrivateFolder(base.path().join("stackgate-7f3a09bc"));
        folder.create().unwrap();
        assert_eq!(folder.load::<String>(), None);
        folder.save(&"docker-demo").unwrap();
        assert_eq!(folder.load::<String>().as_deref(), Some("docker-demo"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.file(RECORD)), 0o600);
        folder.create().unwrap();
        folder.remove().unwrap();
        assert!(!folder.exists());
        folder.remove().unwrap();
    }

    #[test]
    fn a_folder_that_was_open_is_closed_and_a_link_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("stackgate-7f3a09bc");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        PrivateFolder(open.clone()).create().unwrap();
        assert_eq!(std::fs::metadata(&open).unwrap().mode() & 0o777, 0o700);
        let link = base.path().join("stackgate-00000000");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        let error = PrivateFolder(link).create().unwrap_err().to_string();
        assert!(error.contains("belongs to somebody else"), "{error}");
    }

    #[test]
    fn only_folders_of_runs_are_listed() {
        let base = tempfile::tempdir().unwrap();
        for name in [
            "stackgate-7f3a09bc",
            "stackgate-keep-a",
            "stackgate-zz",
            "x",
        ] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        std::fs::write(base.path().join("stackgate-00000000"), "").unwrap();
        let runs = PrivateFolder::all_in(base.path(), run_of);
        assert_eq!(runs, ["7f3a09bc".parse().unwrap()]);
    }
}
