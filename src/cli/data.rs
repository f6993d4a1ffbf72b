//! `stackgate data`: what versions of Kubernetes are judged by, and fetching it anew.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tempfile::NamedTempFile;

use super::exit::Failure;
use crate::checks::scs::version_policy::refresh::{self, web::Internet, web::Web};
use crate::checks::scs::version_policy::{FILE, VersionData};
use crate::record::Clock;

/// Fetches the data and writes it to a file.
///
/// # Errors
/// When a source fails, with all that did: then the file stays as it is. And when it cannot be written.
pub fn refresh(output: &Path) -> Result<(), Failure> {
    let text = super::runtime()?.block_on(async {
        let clock = Clock::system();
        renew(&Internet, || clock.now(), output).await
    })?;
    super::print(&text).map_err(Failure::infrastructure)
}

async fn renew(
    web: &dyn Web,
    now: impl Fn() -> Timestamp,
    output: &Path,
) -> Result<String, Failure> {
    let data = refresh::fetch(web, now).await.map_err(|failed| {
        let told: Vec<String> = failed.iter().map(|one| format!("\n  {one}")).collect();
        let error = anyhow!("failed to fetch the version data{}", told.concat());
        let left = format!("{} was left as it is; try again later", output.display());
        Failure::infrastructure(error).hint(left)
    })?;
    write(&data, output).map_err(Failure::infrastructure)?;
    Ok(format!("{}: {}", output.display(), told(&data)))
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    /// Answers some addresses, by their beginnings.
    struct Few(&'static [(&'static str, &'static str)]);

    impl Web for Few {
        fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
            let found = self.0.iter().find(|(begin, _)| url.starts_with(begin));
            let answer = found.map(|(_, text)| (*text).to_owned());
            async move { answer.context("answered 503 Service Unavailable") }.boxed()
        }
    }

    const ALL: &[(&str, &str)] = &[
        (
            refresh::ENDS,
            "- {branch: '1.35', end-of-life: '2027-02-28'}",
        ),
        (
            refresh::RELEASES,
            r#"[{"tag_name": "v1.35.0", "published_at": "2025-12-17T00:00:00Z"}]"#,
        ),
        (refresh::FEED, r#"{"items": [{"id": "CVE-2026-1"}]}"#),
        (refresh::RECORDS, r#"{"containers": {"cna": {}}}"#),
    ];

    async fn renewed(
        web: &[(&'static str, &'static str)],
        output: &Path,
    ) -> Result<String, Failure> {
        let web = Few(Vec::from(web).leak());
        renew(&web, || Timestamp::UNIX_EPOCH, output).await
    }

    #[tokio::test]
    async fn the_file_is_written_whole_or_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data/versions.json");
        let told = renewed(ALL, &output).await.unwrap();
        assert!(
            told.ends_with("1 branches, 1 releases, 0 vulnerabilities\n"),
            "{told}"
        );
        let first = std::fs::read_to_string(&output).unwrap();
        assert_eq!(
            VersionData::parse(&first).unwrap().releases[0].tag,
            "v1.35.0"
        );
        let failure = renewed(&ALL[1..], &output).await.unwrap_err();
        let shown = format!("{} {}", failure.error, failure.hints.join(" "));
        assert!(
            shown.contains(&format!("\n  {}: answered 503", refresh::ENDS)),
            "{shown}"
        );
        assert!(shown.contains("was left as it is"), "{shown}");
        assert_eq!(std::fs::read_to_string(&output).unwrap(), first);
        let beside = std::fs::read_dir(output.parent().unwrap()).unwrap();
        assert_eq!(beside.count(), 1);
    }
}
