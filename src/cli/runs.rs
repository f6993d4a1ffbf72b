//! Where runs are: a run by its folder, its id, as the latest, or in a bundle.

use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use tempfile::TempDir;

use super::bundle;
use super::exit::Failure;
use crate::record::{RunId, What, is_written, read};
use crate::report::STREAM;

/// The link to the run that was started last.
pub const LATEST: &str = "latest";

/// Makes `latest`, beside the run's folder, lead to it. What bears this name and is no link stays.
///
/// A link that cannot be made must not end a run.
pub fn link_latest(folder: &Path) {
    let (Some(place), Some(name)) = (folder.parent(), folder.file_name()) else {
        return;
    };
    let link = place.join(LATEST);
    if fs::symlink_metadata(&link).is_ok_and(|there| !there.is_symlink()) {
        return;
    }
    // Made beside its place and moved there, so that there is one at any time.
    let made = place.join(format!(".{LATEST}-{}", name.to_string_lossy()));
    let _ = std::os::unix::fs::symlink(name, &made).and_then(|()| fs::rename(&made, &link));
}

/// What each file of a run is.
pub const README: &str = include_str!("../../reports/README.md");

/// Lays the README into the folder of all runs, which was made with the first of them.
///
/// One that cannot be written must not end a run.
pub fn explain(folder: &Path) {
    if let Some(place) = folder.parent() {
        let made = fs::File::create_new(place.join("README.md"));
        let _ = made.and_then(|mut file| file.write_all(README.as_bytes()));
    }
}

/// The folder of a run; one that was unpacked goes with this.
#[derive(Debug)]
pub struct Found {
    folder: PathBuf,
    unpacked: Option<TempDir>,
}

impl Found {
    /// Whether what is written there is lost.
    pub fn is_unpacked(&self) -> bool {
        self.unpacked.is_some()
    }
}

impl Deref for Found {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.folder
    }
}

/// Finds the folder of a run that is to be read, be it in a bundle.
///
/// # Errors
/// As [`find`]; when the bundle is none.
pub fn open(run: &str, reports: &Path) -> Result<Found, Failure> {
    if !run.ends_with(bundle::SUFFIX) {
        return find(run, reports).map(|folder| Found {
            folder,
            unpacked: None,
        });
    }
    let into = tempfile::tempdir().map_err(Failure::infrastructure)?;
    let folder = bundle::unpack(Path::new(run), into.path()).map_err(Failure::input)?;
    Ok(Found {
        folder,
        unpacked: Some(into),
    })
}

/// Finds the folder of a run.
///
/// # Errors
/// When there is none; tells where it was looked for, and which there are.
pub fn find(run: &str, reports: &Path) -> Result<PathBuf, Failure> {
    let named = [Path::new(run).to_owned(), reports.join(run)];
    let is_latest = run == LATEST;
    if let Some(folder) = named
        .iter()
        .filter(|_| !is_latest)
        .find_map(|it| folder_of(it))
    {
        return Ok(folder);
    }
    let known = known(reports);
    let found = if is_latest {
        // The run itself, since the link leads elsewhere as soon as another one begins. Somebody may have removed
        // the one that it leads to.
        let link = reports.join(LATEST);
        let linked = fs::read_link(&link).map_or(link, |target| reports.join(target));
        folder_of(&linked).or_else(|| known.last().cloned())
    } else {
        let id = run.parse::<RunId>().ok();
        // The same seed gives the same id again: the latest of them.
        known
            .iter()
            .rev()
            .find(|folder| id.as_ref().is_some_and(|id| is_of(folder, id)))
            .cloned()
    };
    found.ok_or_else(|| {
        let error = anyhow!("failed to find the run '{run}' in {}", reports.display());
        let names = known.iter().rev().take(10).filter_map(|folder| folder.file_name());
        let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
        let hint = if names.is_empty() {
            "there is none yet; RUN is a run's folder, its id or `latest`; --reports says where runs are".to_owned()
        } else {
            format!("there are, the latest first: {}", names.join(", "))
        };
        Failure::input(error).hint(hint)
    })
}

/// The folder of a run, or of its stream.
fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.join(STREAM).is_file() {
        return Some(path.to_owned());
    }
    let is_stream = path.file_name()? == STREAM && path.is_file();
    let parent = path.parent().filter(|_| is_stream)?;
    Some(if parent.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        parent.to_owned()
    })
}

/// `<stack>-<id>`, or `<stack>-<id>-<number>`.
fn is_of(folder: &Path, id: &RunId) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let numbered = name
        .rsplit_once('-')
        .filter(|(_, end)| end.parse::<u32>().is_ok() && end.len() < 8);
    let end = format!("-{id}");
    name.ends_with(&end) || numbered.is_some_and(|(start, _)| start.ends_with(&end))
}

/// Every run's folder, the latest last.
fn known(reports: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(reports).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink() && path.join(STREAM).is_file())
        .filter_map(|path| {
            let made = path.join(STREAM).metadata().ok()?.modified().ok()?;
            Some((made, path))
        })
        .collect();
    folders.sort();
    folders.into_iter().map(|(_, path)| path).collect()
}

/// How long after its last event a run that has not told its end may still be under way: none waits longer
/// without a word.
const UNDER_WAY: Duration = Duration::from_secs(3600);

/// The folders of all runs but the `keep` latest, the oldest first; never one that may be under way.
pub fn old(reports: &Path, keep: usize) -> Vec<PathBuf> {
    let mut known = known(reports);
    known.truncate(known.len().saturating_sub(keep));
    known.retain(|folder| !is_under_way(&folder.join(STREAM)));
    known
}

fn is_under_way(stream: &Path) -> bool {
    let written = stream.metadata().and_then(|it| it.modified());
    let recent = written.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago < UNDER_WAY));
    let ended = || {
        let events = read(stream).into_iter().flatten();
        let last = events.filter_map(Result::ok).last();
        last.is_some_and(|event| matches!(event.what, What::RunFinished { .. }))
    };
    // A paused run says nothing for as long as it is paused.
    is_written(stream) || recent && !ended()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(names: &[&str]) -> tempfile::TempDir {
        let reports = tempfile::tempdir().unwrap();
        for (number, name) in names.iter().enumerate() {
            let folder = reports.path().join(name);
            fs::create_dir(&folder).unwrap();
            let stream = fs::File::create(folder.join(STREAM)).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            stream.set_modified(at).unwrap();
        }
        reports
    }

    fn name(found: Result<PathBuf, Failure>) -> String {
        let folder = found.unwrap();
        folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn a_run_is_found_by_folder_stream_and_id() {
        let reports = reports(&["demo-0000000a", "demo-0000000a-2", "demo-0000000b"]);
        let folder = reports.path().join("demo-0000000b");
        for given in [folder.clone(), folder.join(STREAM)] {
            assert_eq!(
                find(given.to_str().unwrap(), Path::new("elsewhere")).unwrap(),
                folder
            );
        }
        assert_eq!(name(find("0000000a", reports.path())), "demo-0000000a-2");
        assert_eq!(name(find("0000000b", reports.path())), "demo-0000000b");
        let failure = find("0000000c", reports.path()).unwrap_err();
        let hint = "there are, the latest first: demo-0000000b, demo-0000000a-2, demo-0000000a";
        assert_eq!(failure.hints, [hint]);
    }

    #[test]
    fn the_latest_is_where_the_link_leads_else_what_was_written_last() {
        let reports = reports(&["demo-0000000a", "demo-0000000b"]);
        let latest = || find("latest", reports.path());
        assert_eq!(name(latest()), "demo-0000000b");
        link_latest(&reports.path().join("demo-0000000a"));
        assert_eq!(
            latest().unwrap().canonicalize().unwrap(),
            reports.path().join("demo-0000000a").canonicalize().unwrap()
        );
        fs::remove_dir_all(reports.path().join("demo-0000000a")).unwrap();
        assert_eq!(name(latest()), "demo-0000000b");
        link_latest(&reports.path().join("demo-0000000b"));
        assert_eq!(
            fs::read_link(reports.path().join(LATEST)).unwrap(),
            Path::new("demo-0000000b")
        );
    }

    #[test]
    fn the_latest_runs_stay_and_one_that_may_be_under_way() {
        let reports = reports(&["demo-0000000a", "demo-0000000b", "demo-0000000c"]);
        let names = |keep| -> Vec<String> {
            let old = old(reports.path(), keep).into_iter();
            old.map(|folder| name(Ok(folder))).collect()
        };
        assert_eq!(names(1), ["demo-0000000a", "demo-0000000b"]);
        assert!(names(3).is_empty());
        // Written to a moment ago, without its end.
        let stream = reports.path().join("demo-0000000a").join(STREAM);
        fs::write(&stream, "").unwrap();
        assert_eq!(names(0), ["demo-0000000b", "demo-0000000c"]);
        // Written to long ago, by a process that is still there: it is paused.
        let paused = reports.path().join("demo-0000000b").join(STREAM);
        let writer = fs::OpenOptions::new().append(true).open(paused).unwrap();
        writer.lock().unwrap();
        assert_eq!(names(0), ["demo-0000000c"]);
    }

    #[test]
    fn what_is_no_link_stays() {
        let reports = reports(&["demo-0000000a"]);
        fs::write(reports.path().join(LATEST), "mine").unwrap();
        link_latest(&reports.path().join("demo-0000000a"));
        assert_eq!(
            fs::read_to_string(reports.path().join(LATEST)).unwrap(),
            "mine"
        );
    }
}
