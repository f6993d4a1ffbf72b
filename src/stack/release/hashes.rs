//! `hashes.json`: what csctl tells of the sources of a release, and whether the release is made of them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Release;
use super::open::ADDON_VALUES;
use crate::stack::archive::{self, Files};
use crate::stack::problem::{Problem, Problems};
use crate::stack::values::ReleaseVersion;
use crate::stack::yaml::Source;

/// Its name in a release.
const HASHES: &str = "hashes.json";
/// How much of a hash the version of a release holds that is named by it.
const SHORT: usize = 7;
/// A hash of 32 bytes in base64, without padding.
const LONGEST: usize = 43;
/// What stands in the `Chart.yaml` of an addon's sources where its version will be.
const MARK: &str = "<< .ClusterAddonVersion >>";

/// The hashes of a release's sources, as they were before versions were put in. Empty where there was nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hashes {
    /// Of the whole folder.
    pub cluster_stack: String,
    /// Of `cluster-addon/`.
    pub cluster_addon_dir: String,
    /// Of `cluster-addon-values.yaml`.
    pub cluster_addon_values: String,
    /// Of `node-image/`.
    pub node_image_dir: String,
}

impl Hashes {
    /// Those of a folder of sources.
    #[must_use]
    pub fn of_sources(files: &Files) -> Self {
        let below = |folder: &str| {
            let found = files.iter().filter_map(|(path, content)| {
                let inside = path.strip_prefix(folder).ok()?;
                Some((inside.to_owned(), content.clone()))
            });
            let found: Files = found.collect();
            if found.is_empty() {
                String::new()
            } else {
                of_folder(&found)
            }
        };
        Self {
            cluster_stack: of_folder(files),
            cluster_addon_dir: below("cluster-addon"),
            cluster_addon_values: files
                .get(Path::new(ADDON_VALUES))
                .map(|content| short(&Sha256::digest(content)))
                .unwrap_or_default(),
            node_image_dir: below("node-image"),
        }
    }

    /// Whether csctl sees that these are other sources than `latest`: it compares the parts, and not the whole. Of a
    /// release that tells no parts nothing can be said: what made it does not compare them.
    #[must_use]
    pub fn is_noticed_after(&self, latest: &Self) -> bool {
        let told = self.parts();
        told != latest.parts() || told.iter().all(|part| part.is_empty())
    }

    const fn parts(&self) -> [&String; 3] {
        [
            &self.cluster_addon_dir,
            &self.cluster_addon_values,
            &self.node_image_dir,
        ]
    }

    /// The file's name and content.
    #[must_use]
    pub fn file(&self) -> (String, Vec<u8>) {
        let mut file = json!({
            "clusterStack": self.cluster_stack,
            "clusterAddonDir": self.cluster_addon_dir,
            "clusterAddonValues": self.cluster_addon_values,
        });
        if !self.node_image_dir.is_empty() {
            file["nodeImageDir"] = json!(self.node_image_dir);
        }
        (HASHES.to_owned(), format!("{file:#}\n").into_bytes())
    }
}

/// The hash of a folder (h1 of Go's module sums: the SHA-256 of a list of all files with theirs), as csctl writes it.
fn of_folder(files: &Files) -> String {
    let mut all = Sha256::new();
    let mut listed: Vec<(String, &Vec<u8>)> = files
        .iter()
        .map(|(path, content)| (path.to_string_lossy().into_owned(), content))
        .collect();
    // By the bytes of the whole path, not part by part as paths are.
    listed.sort();
    for (path, content) in listed {
        let sum: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        all.update(format!("{sum}  {path}\n"));
    }
    short(&all.finalize())
}

/// What can stand in a version: base64 in small letters, without what is neither letter nor digit.
fn short(sum: &[u8]) -> String {
    let mut text = STANDARD.encode(sum);
    text.retain(|c| c.is_ascii_alphanumeric());
    text.to_ascii_lowercase()
}

impl Release {
    /// Its `hashes.json`, where it has one.
    ///
    /// # Errors
    /// When the file cannot be read, or the release is named by another hash.
    pub fn hashes(&self) -> Result<Option<Hashes>, Problems> {
        let file = self.folder.join(HASHES);
        if !file.is_file() {
            return Ok(None);
        }
        let source = Source::read(&file)?;
        let hashes: Hashes = source.parse()?;
        let mut found = Problems::default();
        for (field, value) in [
            ("clusterStack", &hashes.cluster_stack),
            ("clusterAddonDir", &hashes.cluster_addon_dir),
            ("clusterAddonValues", &hashes.cluster_addon_values),
            ("nodeImageDir", &hashes.node_image_dir),
        ] {
            let small = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
            let is_hash = value.len() <= LONGEST && value.bytes().all(small);
            // Only the whole has to have one: build.sh of the stacks writes no other.
            if !is_hash || (field == "clusterStack" && value.len() < SHORT) {
                let what = format!("`{value}` is no hash of csctl's");
                let problem = source.problem(&[field], what);
                found.push(problem.expected("small letters and digits, up to 43 of them"));
            }
        }
        found.into_result()?;
        if let Some(named) = self.tag.version.hash()
            && !hashes.cluster_stack.starts_with(named)
        {
            let what = format!("the release `{}` is named by another hash", self.tag);
            let problem = source.problem(&["clusterStack"], what);
            return Err(problem.expected(format!("`{named}…`")).into());
        }
        Ok(Some(hashes))
    }

    /// Compares its hashes with what the release holds, and tells what csctl's marks may be the reason of: csctl puts
    /// versions into every file, after it has taken the hashes.
    ///
    /// # Errors
    /// When a file cannot be read, or the release holds something else.
    pub fn compare(&self, hashes: &Hashes) -> Result<Problems, Problems> {
        let source = Source::read(&self.folder.join(HASHES))?;
        let versions = [
            &self.addon_version,
            &self.cluster_stack_version,
            &self.node_image_version,
        ];
        let versions = versions.map(ReleaseVersion::dotted);
        let may_be_marked = |content: &[u8]| {
            let text = String::from_utf8_lossy(content);
            versions.iter().any(|version| stands_in(&text, version))
        };
        let (mut doubts, mut found) = (Problems::default(), Problems::default());
        let mut differs = |field: &str, what: String, is: &str, marked: bool| {
            let problem = source.problem(&[field], what).expected(format!("`{is}`"));
            if marked {
                let help = "nothing is wrong if csctl's marks stand in its sources where a version does here";
                doubts.push(problem.help(help));
            } else {
                found.push(problem);
            }
        };
        let unread = |file: &Path, error: &dyn std::fmt::Display| {
            Problems::from(Problem::new(file, error.to_string()))
        };
        if hashes.parts().iter().all(|part| part.is_empty()) {
            // Nothing is told of them.
            return Ok(doubts);
        }
        if self.addons.staged {
            let archive = self.addon_file();
            let files = archive::read(&archive).map_err(|error| unread(&archive, &error))?;
            let as_it_is = of_folder(&files);
            let sources = marked(files, &versions[0]);
            if ![&as_it_is, &of_folder(&sources)].contains(&&hashes.cluster_addon_dir) {
                let what = format!("{} holds other addons", name(&archive));
                let marked = sources.values().any(|content| may_be_marked(content));
                differs("clusterAddonDir", what, &as_it_is, marked);
            }
        } else if !hashes.cluster_addon_values.is_empty() {
            // Helm packs the one chart in its own way: nothing tells what it was made of.
            let file = self.folder.join(ADDON_VALUES);
            let content = std::fs::read(&file).map_err(|error| unread(&file, &error))?;
            let is = short(&Sha256::digest(&content));
            if is != hashes.cluster_addon_values {
                let what = format!("{ADDON_VALUES} is another one");
                differs("clusterAddonValues", what, &is, may_be_marked(&content));
            }
        }
        let nodes = self.node_image_archive();
        if nodes.is_file() {
            let files = archive::read(&nodes).map_err(|error| unread(&nodes, &error))?;
            let is = of_folder(&files);
            if is != hashes.node_image_dir {
                let what = format!("{} holds other node images", name(&nodes));
                // The plugin that packs them has the sources as they are.
                differs("nodeImageDir", what, &is, false);
            }
        }
        found.into_result()?;
        Ok(doubts)
    }
}

/// Whether a version stands in a text where a mark may have been: as a word, and not as the version of an API, which
/// looks the same (`v1`) and is in nearly every file.
fn stands_in(text: &str, version: &str) -> bool {
    let mut lines = text
        .lines()
        .filter(|line| !line.to_ascii_lowercase().contains("apiversion"));
    lines.any(|line| {
        line.match_indices(version).any(|(at, _)| {
            let mut behind = line[at + version.len()..].chars();
            let goes_on = match behind.next() {
                Some('.') => behind.next().is_some_and(|c| c.is_ascii_digit()),
                next => next.is_some_and(char::is_alphanumeric),
            };
            !goes_on && !line[..at].ends_with(char::is_alphanumeric)
        })
    })
}

/// The files of an addon archive with csctl's mark in each `Chart.yaml`, where the version stands in a release.
fn marked(files: Files, version: &str) -> Files {
    let renewed = files.into_iter().map(|(path, content)| {
        let is_chart = path.ends_with("Chart.yaml") && path.components().count() == 2;
        let text = String::from_utf8(content);
        let content = match text {
            Ok(text) if is_chart => {
                let line = |line: &str| match line.strip_prefix("version:") {
                    Some(rest) => format!("version:{}", rest.replace(version, MARK)),
                    None => line.to_owned(),
                };
                let lines: String = text.split_inclusive('\n').map(line).collect();
                lines.into_bytes()
            }
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        (path, content)
    });
    renewed.collect()
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        let named = all.iter();
        named
            .map(|(path, text)| (path.into(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_mark_may_have_been_where_a_version_stands_as_a_word_issue_7() {
        for text in [
            "addons: v1",
            "'v1'",
            "image: a/b:v1\n",
            "addon-v1.tgz",
            "apiVersion: v1\nversion: v1",
        ] {
            assert!(stands_in(text, "v1"), "{text}");
        }
        for text in [
            "",
            "apiVersion: apps/v1",
            "{{ if .Capabilities.APIVersions.Has \"policy/v1\" }}",
            "tag: v1.35.0",
            "v12 rev1 v1beta1",
        ] {
            assert!(!stands_in(text, "v1"), "{text}");
        }
        assert!(stands_in("of: v0-sha.abc1234", "v0-sha.abc1234"));
    }

    #[test]
    fn a_folder_has_the_hash_that_go_and_csctl_give_it_issue_7() {
        // `go run` of golang.org/x/mod/sumdb/dirhash over the same files, and what csctl leaves of it.
        let sources = files(&[
            ("cluster-addon/cni/Chart.yaml", "name: cni\n"),
            ("cluster-addon/cni-2/Chart.yaml", "name: other\n"),
            ("cluster-addon-values.yaml", "a: b\n"),
            ("csctl.yaml", "x\n"),
        ]);
        let hashes = Hashes::of_sources(&sources);
        assert_eq!(
            hashes.cluster_stack,
            "sma6cttdhizpyqoec7mdfpt1nt0vizq9yhvvhy"
        );
        assert_eq!(
            hashes.cluster_addon_dir,
            "zrienmr1i54qak6mylqdfpgbaoi3eznmhudj58ps"
        );
        assert_eq!(
            hashes.cluster_addon_values,
            "uslppppygdubpq9dyu4jlfx7xmw1vnae8jt545xs"
        );
        assert_eq!(hashes.node_image_dir, "");
        let (name, content) = hashes.file();
        let text = String::from_utf8(content).unwrap();
        assert_eq!(name, "hashes.json");
        assert!(text.contains("\"clusterStack\": \"sma6cttd") && !text.contains("nodeImageDir"));
    }

    #[test]
    fn only_addons_and_node_images_are_noticed_cs_264() {
        let of = |class: &str, addon: &str, node: &str| {
            Hashes::of_sources(&files(&[
                ("cluster-class/values.yaml", class),
                ("cluster-addon/cni/values.yaml", addon),
                ("node-image/config.yaml", node),
            ]))
        };
        let before = of("a", "a", "a");
        assert!(!of("b", "a", "a").is_noticed_after(&before));
        assert!(of("a", "b", "a").is_noticed_after(&before));
        assert!(of("a", "a", "b").is_noticed_after(&before));
        let whole = |text: &str| Hashes {
            cluster_stack: text.to_owned(),
            ..Hashes::default()
        };
        assert!(whole("b").is_noticed_after(&whole("a")));
    }

    #[test]
    fn the_mark_is_put_back_where_the_version_of_an_addon_stands_alone() {
        let given = files(&[
            (
                "cni/Chart.yaml",
                "name: v1\nversion: \"v1\"\nappVersion: v1\n",
            ),
            ("cni/charts/x/Chart.yaml", "version: v1\n"),
        ]);
        let marked = marked(given.clone(), "v1");
        let chart = Path::new("cni/Chart.yaml");
        assert_eq!(
            marked[chart],
            b"name: v1\nversion: \"<< .ClusterAddonVersion >>\"\nappVersion: v1\n"
        );
        let inner = Path::new("cni/charts/x/Chart.yaml");
        assert_eq!(marked[inner], given[inner]);
    }
}
