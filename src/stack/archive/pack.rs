//! Folders to archives, the same bytes every time.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use super::{ArchiveError, EntryKind, Files, Limits, Reason, safe_path};

/// Packs the content of `dir` into a `.tgz`: the same files give the same bytes, whoever packs
/// them and whenever (sorted entries, no times, no owners, modes 0644 and 0755).
///
/// # Errors
/// [`ArchiveError`] naming `dir`: it cannot be read, or holds links or special files.
pub fn pack(dir: &Path) -> Result<Vec<u8>, ArchiveError> {
    pack_files(&dir.display().to_string(), &read_dir(dir)?)
}

/// Packs `files` as [`pack`] does; `name` stands for the archive in errors.
///
/// # Errors
/// [`ArchiveError`]: a path that could not be read back.
pub fn pack_files(name: &str, files: &Files) -> Result<Vec<u8>, ArchiveError> {
    let fail = |entry: Option<&Path>, reason| ArchiveError {
        archive: name.to_owned(),
        entry: entry.map(|p| p.display().to_string()),
        reason,
    };
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::new(9));
    let mut tar = tar::Builder::new(gzip);
    let mut last_dir = PathBuf::new();
    for (path, data) in files {
        safe_path(path.as_os_str().as_encoded_bytes()).map_err(|r| fail(Some(path), r))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        for dir in missing_dirs(&last_dir, parent) {
            append(&mut tar, &dir, tar::EntryType::dir(), 0o755, &[])
                .map_err(|e| fail(Some(&dir), Reason::Unreadable(e)))?;
        }
        last_dir = parent.to_owned();
        append(&mut tar, path, tar::EntryType::file(), 0o644, data)
            .map_err(|e| fail(Some(path), Reason::Unreadable(e)))?;
    }
    tar.into_inner()
        .and_then(|mut gzip| gzip.flush().and_then(|()| gzip.finish()))
        .map_err(|e| fail(None, Reason::Unreadable(e)))
}

/// Directories to announce before a file in `parent`, when `last` was the previous file's.
fn missing_dirs(last: &Path, parent: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = parent
        .ancestors()
        .filter(|dir| !dir.as_os_str().is_empty() && !last.starts_with(dir))
        .map(Path::to_owned)
        .collect();
    dirs.reverse();
    dirs
}

fn append(
    tar: &mut tar::Builder<impl io::Write>,
    path: &Path,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, path, data)
}

/// Reads every regular file below `dir`, by its path relative to it.
///
/// # Errors
/// [`ArchiveError`] naming `dir`: unreadable, a link, a special file, or beyond [`Limits`].
pub fn read_dir(dir: &Path) -> Result<Files, ArchiveError> {
    let limits = Limits::default();
    let mut files = Files::new();
    let mut open = vec![PathBuf::new()];
    let mut total = 0;
    while let Some(relative) = open.pop() {
        let fail = |path: &Path, reason| ArchiveError {
            archive: dir.display().to_string(),
            entry: (!path.as_os_str().is_empty()).then(|| path.display().to_string()),
            reason,
        };
        let unreadable = |e| fail(&relative, Reason::Unreadable(e));
        for entry in std::fs::read_dir(dir.join(&relative)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = relative.join(entry.file_name());
            let kind = entry
                .file_type()
                .map_err(|e| fail(&path, Reason::Unreadable(e)))?;
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            if kind.is_symlink() {
                return Err(fail(&path, Reason::NotRegular(EntryKind::SymbolicLink)));
            }
            if !kind.is_file() {
                return Err(fail(&path, Reason::NotRegular(EntryKind::Other(0))));
            }
            let data =
                std::fs::read(entry.path()).map_err(|e| fail(&path, Reason::Unreadable(e)))?;
            total += data.len() as u64;
            if total > limits.total_bytes || files.len() >= limits.entries {
                let reason = Reason::TooMuch {
                    what: "bytes in all files",
                    limit: limits.total_bytes,
                };
                return Err(fail(&path, reason));
            }
            files.insert(path, data);
        }
    }
    Ok(files)
}
