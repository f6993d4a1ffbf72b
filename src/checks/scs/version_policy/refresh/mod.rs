//! Fetches the version data anew, from the sources that the SCS test asks as well; all of it or nothing.

mod sources;
#[cfg(test)]
mod tests;
pub mod web;

use std::fmt;

use futures::{StreamExt, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::data::{Branch, Cve, Published, SCHEMA, Source, VersionData};
use super::version::Release;
use web::Web;

/// Ends of support, as the SCS test has them.
pub const ENDS: &str = "https://raw.githubusercontent.com/SovereignCloudStack/standards/main/Tests/kaas/scs_0210_version_policy/k8s-eol-data.yml";
/// Releases, newest first.
pub const RELEASES: &str = "https://api.github.com/repos/kubernetes/kubernetes/releases";
/// The vulnerabilities that there are.
pub const FEED: &str =
    "https://kubernetes.io/docs/reference/issues-security/official-cve-feed/index.json";
/// Each vulnerability.
pub const RECORDS: &str = "https://cveawg.mitre.org/api/cve";

/// For how long data is good: patches have a month at most, so that older data misses them.
const DAYS: i64 = 31;
/// How many records are asked for at the same time, as the SCS test does.
const AT_ONCE: usize = 5;
/// How many pages of releases are read at most; 100 releases are a page, and some 30 a branch.
const PAGES: usize = 12;

/// A source that did not give what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its address.
    pub url: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.why)
    }
}

/// Fetches everything; `now` tells the time.
///
/// # Errors
/// With every source that failed: then there is no data.
pub async fn fetch(web: &dyn Web, now: impl Fn() -> Timestamp) -> Result<VersionData, Vec<Failed>> {
    let mut sources = Vec::new();
    let mut failed = Vec::new();
    let mut source = |url: &str| {
        sources.push(Source {
            url: url.to_owned(),
            fetched_at: now(),
            note: None,
        });
    };
    let today = now().to_zoned(TimeZone::UTC).date();
    let branches = keep(branches(web).await, &mut failed);
    source(ENDS);
    // Without the ends it is not known how far back releases matter; that they can be had is still told.
    let oldest = branches.as_deref().and_then(|all| oldest_live(all, today));
    let releases = keep(releases(web, oldest).await, &mut failed);
    source(RELEASES);
    let ids = keep(ids(web).await, &mut failed);
    source(FEED);
    let mut cves = Vec::new();
    for record in records(web, ids.unwrap_or_default()).await {
        cves.extend(keep(record, &mut failed).flatten());
    }
    source(RECORDS);
    let (Some(branches), Some(releases), true) = (branches, releases, failed.is_empty()) else {
        return Err(failed);
    };
    Ok(VersionData {
        schema: SCHEMA,
        generated_at: today,
        valid_until: today.saturating_add(DAYS.days()),
        sources,
        branches,
        releases,
        cves,
    })
}

fn keep<T>(got: Result<T, Failed>, failed: &mut Vec<Failed>) -> Option<T> {
    got.map_err(|why| failed.push(why)).ok()
}

async fn get(web: &dyn Web, url: &str) -> Result<String, Failed> {
    web.get(url).await.map_err(|why| Failed {
        url: url.to_owned(),
        why: format!("{why:#}"),
    })
}

/// What a source said, read; what cannot be read is a failure of the source.
fn read<T>(url: &str, read: anyhow::Result<T>) -> Result<T, Failed> {
    read.map_err(|why| {
        // Below the first line there may be a piece of what was read.
        let why = format!("{why:#}");
        let why = why.lines().next().unwrap_or_default();
        Failed {
            url: url.to_owned(),
            why: format!("says something else than expected: {why}"),
        }
    })
}

async fn branches(web: &dyn Web) -> Result<Vec<Branch>, Failed> {
    let text = get(web, ENDS).await?;
    read(ENDS, sources::ends(&text))
}

/// The oldest branch that is supported, as the release with which it began.
fn oldest_live(branches: &[Branch], today: Date) -> Option<Release> {
    let live = branches.iter().filter(|branch| today < branch.end_of_life);
    live.filter_map(|branch| format!("{}.0", branch.branch).parse().ok())
        .min()
}

/// Every final release from `oldest` on, oldest first; of one page where it is not known.
async fn releases(web: &dyn Web, oldest: Option<Release>) -> Result<Vec<Published>, Failed> {
    let mut found: Vec<(Release, Published)> = Vec::new();
    for page in 1..=PAGES {
        let url = format!("{RELEASES}?per_page=100&page={page}");
        let (finals, more) = read(&url, sources::releases(&get(web, &url).await?))?;
        found.extend(finals);
        let complete = oldest.is_none_or(|oldest| found.iter().any(|(one, _)| *one == oldest));
        if complete {
            found.retain(|(release, _)| oldest.is_none_or(|oldest| *release >= oldest));
            found.sort_by_key(|(release, _)| *release);
            found.dedup_by_key(|(release, _)| *release);
            return Ok(found.into_iter().map(|(_, published)| published).collect());
        }
        if !more {
            break;
        }
    }
    let wanted = oldest.map_or_else(String::new, |oldest| oldest.to_string());
    Err(Failed {
        url: RELEASES.to_owned(),
        why: format!("does not name {wanted}, with which the oldest supported branch began"),
    })
}

async fn ids(web: &dyn Web) -> Result<Vec<String>, Failed> {
    let text = get(web, FEED).await?;
    read(FEED, sources::ids(&text))
}

/// The records in the order of their ids; none for a vulnerability that is not Kubernetes' own.
async fn records(web: &dyn Web, mut ids: Vec<String>) -> Vec<Result<Option<Cve>, Failed>> {
    ids.sort();
    ids.dedup();
    let asked = ids.into_iter().map(|id| async move {
        let url = format!("{RECORDS}/{id}");
        read(&url, sources::record(&id, &get(web, &url).await?))
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}
