//! Views of a run: each is a function of the stream on disk, and can be made from it at any moment,
//! also of a run that was killed.

pub mod junit;
pub mod overview;
mod scs;
pub mod scs_yaml;
pub mod summary;
pub mod terminal;
pub mod text;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use overview::Overview;
pub use summary::Summary;

/// The stream's name in a run's folder.
pub const STREAM: &str = "events.jsonl";

/// Makes every view of the run in `folder`, and tells where they are.
///
/// # Errors
/// When the stream cannot be read or a view cannot be written.
pub fn write_all(folder: &Path) -> Result<Vec<PathBuf>> {
    let stream = folder.join(STREAM);
    let mut written = vec![
        write(folder, "junit.xml", |out| junit::write(&stream, out))?,
        write(folder, "summary.json", |out| {
            serde_json::to_writer_pretty(&mut *out, &Summary::read(&stream)?)?;
            Ok(writeln!(out)?)
        })?,
    ];
    if Overview::read(&stream)?.only_checks() {
        written.push(write(folder, "scs.yaml", |out| scs::write(&stream, out))?);
    }
    Ok(written)
}

/// A reader never sees half a report: it is written beside its place and moved there.
fn write(
    folder: &Path,
    name: &str,
    make: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<PathBuf> {
    let path = folder.join(name);
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
    file.persist(&path).with_context(context)?;
    Ok(path)
}
