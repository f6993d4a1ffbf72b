//! Release archives (`.tgz`): read in memory without trusting them, packed reproducibly.
//!
//! The release format allows regular files and directories only. Nothing is ever unpacked to
//! disk from here, yet names are checked as if it were: the same archive is unpacked by the
//! Cluster Stack Operator, and a name that leaves the folder is an attack on it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

mod metered;
mod pack;
#[cfg(test)]
mod tests;

use metered::{Metered, stream_reason};
pub use pack::{pack, pack_files, read_dir};

/// Files by their path inside the archive or folder; directories are not listed.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What an archive may contain before it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of entries, directories included.
    pub entries: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of the whole unpacked tar stream.
    pub total_bytes: u64,
    /// Unpacked bytes per packed byte, judged once more than [`RATIO_FLOOR`] bytes came out.
    pub ratio: u64,
}

/// Small archives of zeros compress well and harm nobody: below this many unpacked bytes the
/// compression ratio is not judged.
const RATIO_FLOOR: u64 = 8 * 1024 * 1024;

impl Default for Limits {
    /// Far above any chart (the largest in the field unpack to some 10 MB).
    fn default() -> Self {
        Limits {
            entries: 20_000,
            file_bytes: 32 * 1024 * 1024,
            total_bytes: 256 * 1024 * 1024,
            ratio: 200,
        }
    }
}

/// Why an archive was refused. Names the archive and, where there is one, the entry.
#[derive(Debug, thiserror::Error)]
#[error("archive {archive}{}: {reason}", entry_suffix(.entry))]
pub struct ArchiveError {
    /// The archive as the caller named it.
    pub archive: String,
    /// The entry at fault.
    pub entry: Option<String>,
    /// What is wrong with it.
    pub reason: Reason,
}

fn entry_suffix(entry: &Option<String>) -> String {
    entry
        .as_ref()
        .map(|name| format!(", entry {name:?}"))
        .unwrap_or_default()
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file could not be read at all.
    #[error("cannot be read ({0}), expected a gzip-compressed tar file")]
    Unreadable(#[source] io::Error),
    /// Not gzip, not tar, or cut off.
    #[error("is damaged or cut off ({0}), expected a complete gzip-compressed tar file")]
    Damaged(#[source] io::Error),
    /// A name that starts at the root of the file system.
    #[error("has an absolute path, expected a path inside the archive's folder")]
    AbsolutePath,
    /// A name that climbs out of the folder.
    #[error("leaves the archive's folder with `..`, expected a path inside it")]
    ParentPath,
    /// A name that is empty, not UTF-8, or means different files on different systems.
    #[error("has no usable name, expected UTF-8 without backslash or control characters")]
    BadName,
    /// Symbolic and hard links, device nodes, pipes, sparse files.
    #[error("is a {0}, expected a regular file or a directory")]
    NotRegular(EntryKind),
    /// The same file twice: which one counts depends on the reader.
    #[error("appears twice, expected every file once")]
    Duplicate,
    /// A limit was passed.
    #[error("exceeds the limit of {limit} {what}; an archive this large is not a chart")]
    TooMuch {
        /// What was counted.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
}

/// Kinds of tar entries that a release must not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A symbolic link.
    SymbolicLink,
    /// A hard link.
    HardLink,
    /// A character or block device.
    Device,
    /// A named pipe.
    Pipe,
    /// Anything else, by its type byte.
    Other(u8),
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryKind::SymbolicLink => f.write_str("symbolic link"),
            EntryKind::HardLink => f.write_str("hard link"),
            EntryKind::Device => f.write_str("device node"),
            EntryKind::Pipe => f.write_str("named pipe"),
            EntryKind::Other(byte) => write!(f, "tar entry of type {byte:#04x}"),
        }
    }
}

/// Reads every file of the archive at `path`, under the default [`Limits`].
///
/// # Errors
/// [`ArchiveError`], naming `path` and the entry at fault.
pub fn read(path: &Path) -> Result<Files, ArchiveError> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| ArchiveError {
        archive: name.clone(),
        entry: None,
        reason: Reason::Unreadable(error),
    })?;
    read_from(&name, io::BufReader::new(file), &Limits::default())
}

/// Reads every file of a gzip-compressed tar stream; `archive` is its name in errors.
///
/// # Errors
/// [`ArchiveError`], naming `archive` and the entry at fault.
pub fn read_from(archive: &str, packed: impl Read, limits: &Limits) -> Result<Files, ArchiveError> {
    let fail = |entry: Option<&str>, reason| ArchiveError {
        archive: archive.to_owned(),
        entry: entry.map(str::to_owned),
        reason,
    };
    let mut tar = tar::Archive::new(Metered::new(packed, limits));
    let mut files = Files::new();
    let entries = tar.entries().map_err(|e| fail(None, stream_reason(e)))?;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| fail(None, stream_reason(e)))?;
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if count >= limits.entries {
            let limit = limits.entries as u64;
            return Err(fail(
                Some(&raw),
                Reason::TooMuch {
                    what: "entries",
                    limit,
                },
            ));
        }
        let kind = entry.header().entry_type();
        // `git archive` notes the commit in such a header; it is not an entry.
        if kind.is_pax_global_extensions() {
            continue;
        }
        if let Some(kind) = refused_kind(kind) {
            return Err(fail(Some(&raw), Reason::NotRegular(kind)));
        }
        let path = safe_path(&entry.path_bytes()).map_err(|r| fail(Some(&raw), r))?;
        if kind.is_dir() {
            continue;
        }
        if path.as_os_str().is_empty() {
            return Err(fail(Some(&raw), Reason::BadName));
        }
        let size = entry.size();
        if size > limits.file_bytes {
            let limit = limits.file_bytes;
            return Err(fail(
                Some(&raw),
                Reason::TooMuch {
                    what: "bytes in one file",
                    limit,
                },
            ));
        }
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        entry
            .read_to_end(&mut data)
            .map_err(|e| fail(Some(&raw), stream_reason(e)))?;
        if data.len() as u64 != size {
            let short = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(fail(Some(&raw), Reason::Damaged(short)));
        }
        if files.insert(path, data).is_some() {
            return Err(fail(Some(&raw), Reason::Duplicate));
        }
    }
    // The checksum sits behind the last tar block: only reading on to the end verifies it.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| fail(None, stream_reason(e)))?;
    Ok(files)
}

fn refused_kind(kind: tar::EntryType) -> Option<EntryKind> {
    match kind {
        k if k.is_file() || k.is_contiguous() || k.is_dir() => None,
        k if k.is_symlink() => Some(EntryKind::SymbolicLink),
        k if k.is_hard_link() => Some(EntryKind::HardLink),
        k if k.is_character_special() || k.is_block_special() => Some(EntryKind::Device),
        k if k.is_fifo() => Some(EntryKind::Pipe),
        k => Some(EntryKind::Other(k.as_byte())),
    }
}

/// The entry's path without `.` components; empty for the archive's own folder.
fn safe_path(raw: &[u8]) -> Result<PathBuf, Reason> {
    let text = std::str::from_utf8(raw).map_err(|_| Reason::BadName)?;
    if text.is_empty() || text.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(Reason::BadName);
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(Reason::ParentPath),
            Component::RootDir | Component::Prefix(_) => return Err(Reason::AbsolutePath),
        }
    }
    Ok(path)
}
