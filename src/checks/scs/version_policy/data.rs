//! What the version policy is judged by, offline: branches with their end of life, releases with
//! their dates, vulnerabilities with the versions that they affect.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::version::{Bound, Release};

/// The data file; `stackgate data refresh` writes it anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionData {
    /// Version of this file's form; 1.
    pub schema: u32,
    /// When it was put together.
    pub generated_at: Date,
    /// From this day on it is too old to judge by.
    pub valid_until: Date,
    /// Where it comes from.
    pub sources: Vec<Source>,
    /// Minor versions of Kubernetes.
    pub branches: Vec<Branch>,
    /// Final and other releases of every branch that was supported when the file was made.
    pub releases: Vec<Published>,
    /// Vulnerabilities of Kubernetes.
    pub cves: Vec<Cve>,
}

/// Where newer data is looked for, relative to the working directory; the data that ships is the file
/// of this name in the sources.
pub const FILE: &str = "data/kubernetes-versions.json";
/// The data that ships.
const SHIPPED: &str = include_str!("../../../../data/kubernetes-versions.json");
/// Version of the file's form.
pub const SCHEMA: u32 = 1;

impl VersionData {
    /// The data that ships, or that in `file` where it is there and newer.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is of another form.
    pub fn newest(file: &Path) -> Result<Self> {
        let shipped = Self::parse(SHIPPED).context("failed to read the data that ships")?;
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(shipped),
            other => other.with_context(|| format!("failed to read {}", file.display()))?,
        };
        let own =
            Self::parse(&text).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(if own.generated_at > shipped.generated_at {
            own
        } else {
            shipped
        })
    }

    /// Reads the data.
    ///
    /// # Errors
    /// When it is no JSON of this form.
    pub fn parse(text: &str) -> Result<Self> {
        let data: Self = serde_json::from_str(text)?;
        let schema = data.schema;
        ensure!(
            schema == SCHEMA,
            "form {schema} is unknown; expected {SCHEMA}"
        );
        Ok(data)
    }
}

/// Where a part of the data comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Address.
    pub url: String,
    /// When it was fetched; of a stored copy, when the copy was made.
    pub fetched_at: Timestamp,
    /// What the reader should know of it, e.g. what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A minor version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// E.g. `1.35`.
    pub branch: String,
    /// On this day it is no longer supported upstream.
    pub end_of_life: Date,
}

/// A release of Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// E.g. `v1.35.1`.
    pub tag: String,
    /// When it came out.
    pub published_at: Date,
    /// Whether it is a release candidate or alike.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prerelease: bool,
}

/// A vulnerability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cve {
    /// E.g. `CVE-2024-9042`.
    pub id: String,
    /// CVSS base score, 0 to 10.
    pub base_score: f64,
    /// Which version of CVSS the score is of, e.g. `cvssV3_1`.
    pub cvss_key: String,
    /// The versions that it affects, as the record has them.
    pub ranges: Vec<Range>,
}

/// A range of versions in the form of CVE records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first affected version.
    pub version: String,
    /// The first version that is not affected any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<String>,
    /// The last affected version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than_or_equal: Option<String>,
}

impl Range {
    /// Whether a release lies in the range. Without an upper bound it is the one version, or, of a
    /// form such as `1.27.x` or `1.27.0 - 1.27.3`, all of them; a bound that no number can be read
    /// from is taken for the side on which nobody is declared safe by mistake.
    #[must_use]
    pub fn affects(&self, release: Release) -> bool {
        if let Some((first, last)) = self.version.split_once(" - ") {
            return Bound::lowest(first) <= release && release <= Bound::highest(last);
        }
        let lower = Bound::lowest(&self.version);
        match (&self.less_than, &self.less_than_or_equal) {
            (Some(end), _) => lower <= release && release < Bound::end(end),
            (None, Some(last)) => lower <= release && release <= Bound::highest(last),
            (None, None) => lower <= release && release <= Bound::highest(&self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(version: &str, less_than: Option<&str>, or_equal: Option<&str>) -> Range {
        Range {
            version: version.to_owned(),
            less_than: less_than.map(str::to_owned),
            less_than_or_equal: or_equal.map(str::to_owned),
        }
    }

    #[test]
    fn what_ships_is_whole_and_a_newer_file_goes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("versions.json");
        let shipped = VersionData::newest(&file).unwrap();
        for branch in ["1.34", "1.35", "1.36"] {
            let known = |release: &&Published| release.tag.starts_with(&format!("v{branch}."));
            let patches: Vec<_> = shipped.releases.iter().filter(known).collect();
            let numbers: Vec<String> = (0..patches.len())
                .map(|n| format!("v{branch}.{n}"))
                .collect();
            let tags: Vec<&str> = patches.iter().map(|release| release.tag.as_str()).collect();
            assert_eq!(tags, numbers);
            assert!(patches.is_sorted_by_key(|release| release.published_at));
        }
        let latest = shipped.sources.iter().map(|source| source.fetched_at).max();
        let day = latest.unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        assert_eq!(day, shipped.generated_at);
        let mut own = shipped.clone();
        let day = shipped.generated_at;
        let (before, after) = (day.yesterday().unwrap(), day.tomorrow().unwrap());
        for (generated_at, wins) in [(before, false), (after, true)] {
            own.generated_at = generated_at;
            own.branches.truncate(1);
            std::fs::write(&file, serde_json::to_string(&own).unwrap()).unwrap();
            assert_eq!(
                VersionData::newest(&file).unwrap() == own,
                wins,
                "{generated_at}"
            );
        }
        own.schema = 2;
        std::fs::write(&file, serde_json::to_string(&own).unwrap()).unwrap();
        let error = format!("{:#}", VersionData::newest(&file).unwrap_err());
        assert!(error.contains("form 2 is unknown"), "{error}");
        std::fs::write(&file, "{").unwrap();
        let error = format!("{:#}", VersionData::newest(&file).unwrap_err());
        assert!(
            error.contains("versions.json: EOF while parsing"),
            "{error}"
        );
    }

    #[test]
    fn each_written_form_of_a_range_is_read() {
        let affected = |range: &Range, text: &str| range.affects(text.parse().unwrap());
        for (range, inside, outside) in [
            (range("1.28.0", Some("1.28.5"), None), "v1.28.4", "v1.28.5"),
            (range("1.28.0", None, Some("1.28.5")), "v1.28.5", "v1.28.6"),
            (range("0", Some("1.27"), None), "v1.26.9", "v1.27.0"),
            (
                range("unspecified", Some("1.27.3"), None),
                "v1.0.0",
                "v1.27.3",
            ),
            (range("1.27.x", None, None), "v1.27.9", "v1.28.0"),
            (range("v1.27.4", None, None), "v1.27.4", "v1.27.5"),
            (range("1.27.0 - 1.27.3", None, None), "v1.27.3", "v1.27.4"),
            (range("1.27.0", None, Some("1.27")), "v1.27.99", "v1.28.0"),
            (range("<= v1.27.4", None, None), "v1.20.0", "v1.27.5"),
            (range("< 1.27.4", None, None), "v1.27.3", "v1.27.4"),
        ] {
            assert!(affected(&range, inside), "{range:?} {inside}");
            assert!(!affected(&range, outside), "{range:?} {outside}");
        }
    }
}
