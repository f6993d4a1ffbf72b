//! Views of a run: each is a function of the stream on disk, and can be made from it at any moment,
//! also of a run that was killed.

mod containers;
mod format;
pub mod github;
pub mod html;
pub mod junit;
pub mod last_lines;
pub mod markdown;
mod merge;
mod objects;
#[cfg(feature = "otel")]
mod otlp;
pub mod overview;
pub mod pairs;
pub mod pauses;
pub mod probes;
pub mod scs;
pub mod scs_yaml;
pub mod standing;
pub mod summary;
pub mod terminal;
pub mod text;
pub mod timeline;
pub mod words;

use std::io::{BufWriter, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::record::RECORDING;
pub use format::Format;
pub use merge::{Merged, merge};
use overview::Overview;
pub use summary::Summary;

/// The page's name in a run's folder.
pub const PAGE: &str = "report.html";
/// The stream's name in a run's folder.
pub const STREAM: &str = "events.jsonl";

/// Makes every view of the run in `folder`, and tells where they are.
///
/// # Errors
/// When the stream cannot be read or a view cannot be written.
pub fn write_all(folder: &Path) -> Result<Vec<PathBuf>> {
    let stream = folder.join(STREAM);
    // The page takes longer than all others together.
    let mut written = std::thread::scope(|scope| {
        let page = scope.spawn(|| {
            write(folder, PAGE, |out| {
                html::write(&stream, recording(folder).as_deref(), out)
            })
        });
        let mut written = write_for_machines(folder)?;
        let page = page.join().unwrap_or_else(|panic| resume_unwind(panic));
        written.push(page?);
        anyhow::Ok(written)
    })?;
    if Overview::read(&stream)?.only_checks() {
        written.push(write(folder, "scs.yaml", |out| scs::write(&stream, out))?);
    }
    Ok(written)
}

/// Makes the views of the run in `folder` that other programs read, and tells where they are.
///
/// # Errors
/// As for [`write_all`].
pub fn write_for_machines(folder: &Path) -> Result<Vec<PathBuf>> {
    let stream = folder.join(STREAM);
    Ok(vec![
        write(folder, "junit.xml", |out| junit::write(&stream, out))?,
        write(folder, "summary.json", |out| Summary::write(&stream, out))?,
    ])
}

/// The recording that lies beside the stream.
#[must_use]
pub fn recording(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(RECORDING)).filter(|path| path.exists())
}

fn write(
    folder: &Path,
    name: &str,
    make: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<PathBuf> {
    let path = folder.join(name);
    write_file(&path, make)?;
    Ok(path)
}

/// Writes a file. A reader never sees half of it: it is written beside its place and moved there.
///
/// # Errors
/// When it cannot be made or written.
pub fn write_file(path: &Path, make: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let context = || format!("failed to write {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}"))
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .with_context(context)?;
    let mut out = BufWriter::new(&mut file);
    make(&mut out)
        .and_then(|()| Ok(out.flush()?))
        .with_context(context)?;
    drop(out);
    file.persist(path).with_context(context)?;
    Ok(())
}
