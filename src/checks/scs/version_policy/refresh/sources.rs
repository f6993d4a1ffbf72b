//! What the sources of the version data say, read.

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::super::data::{Branch, Cve, Published, Range};
use super::super::version::Release;

/// A line of the table of ends.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct End {
    branch: String,
    end_of_life: Date,
}

/// Reads the table of ends.
pub(super) fn ends(text: &str) -> Result<Vec<Branch>> {
    let ends: Vec<End> = serde_saphyr::from_str(text)?;
    ensure!(!ends.is_empty(), "there is no branch");
    let mut branches = Vec::new();
    for End {
        branch,
        end_of_life,
    } in ends
    {
        let first = format!("{branch}.0").parse::<Release>();
        let Ok(first) = first else {
            bail!("`{branch}` is no branch such as 1.35");
        };
        branches.push((
            first,
            Branch {
                branch,
                end_of_life,
            },
        ));
    }
    branches.sort_by_key(|(first, _)| *first);
    Ok(branches.into_iter().map(|(_, branch)| branch).collect())
}

/// An entry of a page of releases.
#[derive(Deserialize)]
struct Entry {
    tag_name: String,
    published_at: Option<Timestamp>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
}

/// Reads a page of releases: the final ones, and whether there may be a further page.
pub(super) fn releases(text: &str) -> Result<(Vec<(Release, Published)>, bool)> {
    let value: Value = serde_json::from_str(text)?;
    if let Some(message) = value["message"].as_str() {
        bail!("{message}");
    }
    let entries: Vec<Entry> = serde_json::from_value(value)?;
    let more = !entries.is_empty();
    let mut finals = Vec::new();
    for entry in entries {
        if entry.draft || entry.prerelease {
            continue;
        }
        // Tags of other forms (alphas that nobody marked) are no final releases.
        let Ok(release) = entry.tag_name.parse::<Release>() else {
            continue;
        };
        let published_at = entry.published_at;
        let published_at =
            published_at.with_context(|| format!("{release} has no `published_at`"))?;
        let published = Published {
            tag: release.to_string(),
            published_at: published_at.to_zoned(TimeZone::UTC).date(),
            prerelease: false,
        };
        finals.push((release, published));
    }
    Ok((finals, more))
}

/// Reads the ids of the feed.
pub(super) fn ids(text: &str) -> Result<Vec<String>> {
    let feed: Value = serde_json::from_str(text)?;
    let items = feed["items"].as_array().context("there is no `items`")?;
    let ids: Option<Vec<String>> = items
        .iter()
        .map(|item| Some(item["id"].as_str()?.to_owned()))
        .collect();
    let ids = ids.context("an item has no `id`")?;
    ensure!(!ids.is_empty(), "there is no item");
    Ok(ids)
}

/// Reads a record; none when it is of no version of the product that is called Kubernetes, or has no
/// score.
pub(super) fn record(id: &str, text: &str) -> Result<Option<Cve>> {
    let record: Value = serde_json::from_str(text)?;
    let cna = &record["containers"]["cna"];
    ensure!(cna.is_object(), "there is no `containers.cna`");
    let metrics = cna["metrics"].as_array().into_iter().flatten();
    let scores = metrics
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(key, _)| key.starts_with("cvssV"))
        .filter_map(|(key, metric)| Some((key, metric["baseScore"].as_f64()?)));
    let highest = scores.max_by(|(_, one), (_, other)| one.total_cmp(other));
    let affected = cna["affected"].as_array().into_iter().flatten();
    let ranges: Vec<Range> = affected
        .filter(|product| product["product"] == "Kubernetes")
        .flat_map(|product| product["versions"].as_array().into_iter().flatten())
        .filter(|version| version["status"] == "affected")
        .map(range)
        .collect();
    Ok(highest
        .filter(|_| !ranges.is_empty())
        .map(|(key, base_score)| Cve {
            id: id.to_owned(),
            base_score,
            cvss_key: key.clone(),
            ranges,
        }))
}

fn range(version: &Value) -> Range {
    let text = |name: &str| version[name].as_str().map(str::to_owned);
    Range {
        version: text("version").unwrap_or_default(),
        less_than: text("lessThan"),
        less_than_or_equal: text("lessThanOrEqual"),
    }
}
