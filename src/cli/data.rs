//! `stackgate data`: what versions of Kubernetes are judged by, and fetching it anew.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use jiff::tz::TimeZone;
use tempfile::NamedTempFile;

use super::exit::Failure;
use crate::checks::scs::version_policy::refresh::{self, web::Internet};
use crate::checks::scs::version_policy::{FILE, VersionData};
use crate::record::Clock;

/// Fetches the data and writes it to a file.
///
/// # Errors
/// When a source fails, with all that did: then the file stays as it is. And when it cannot be written.
pub fn refresh(output: &Path) -> Result<(), Failure> {
    let fetched = super::runtime()?.block_on(async {
        let clock = Clock::system();
        refresh::fetch(&Internet, || clock.now()).await
    });
    let data = fetched.map_err(|failed| {
        let told: Vec<String> = failed.iter().map(|one| format!("\n  {one}")).collect();
        let error = anyhow!("failed to fetch the version data{}", told.concat());
        let left = format!("{} was left as it is; try again later", output.display());
        Failure::infrastructure(error).hint(left)
    })?;
    write(&data, output).map_err(Failure::infrastructure)?;
    let text = format!("{}: {}", output.display(), told(&data));
    super::print(&text).map_err(Failure::infrastructure)
}

/// A reader sees the old file or the new one, never half of it.
fn write(data: &VersionData, output: &Path) -> anyhow::Result<()> {
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let writing = || format!("failed to write {}", output.display());
    std::fs::create_dir_all(folder).with_context(writing)?;
    let mut file = NamedTempFile::new_in(folder).with_context(writing)?;
    let text = serde_json::to_string_pretty(data)?;
    writeln!(file, "{text}").with_context(writing)?;
    file.persist(output).with_context(writing)?;
    Ok(())
}

/// Prints how old the data is that checks run by here, and where it comes from.
///
/// # Errors
/// When it cannot be read.
pub fn show() -> Result<(), Failure> {
    let data = VersionData::newest(Path::new(FILE)).map_err(Failure::input)?;
    let today = super::runtime()?.block_on(async { Clock::system().now() });
    let today = today.to_zoned(TimeZone::UTC).date();
    let mut text = told(&data);
    if today >= data.valid_until {
        text.push_str("stale: nothing is judged by it; renew it with `stackgate data refresh`\n");
    }
    for branch in &data.branches {
        let (name, end) = (&branch.branch, branch.end_of_life);
        text.push_str(&format!("  {name:<6} supported until {end}\n"));
    }
    for source in &data.sources {
        text.push_str(&format!("  {} ({})\n", source.url, source.fetched_at));
        let note = source.note.iter();
        text.extend(note.map(|note| format!("    {note}\n")));
    }
    super::print(&text).map_err(Failure::infrastructure)
}

fn told(data: &VersionData) -> String {
    format!(
        "data of {}, valid until {}: {} branches, {} releases, {} vulnerabilities\n",
        data.generated_at,
        data.valid_until,
        data.branches.len(),
        data.releases.len(),
        data.cves.len()
    )
}
