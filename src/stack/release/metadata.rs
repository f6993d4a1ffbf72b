//! `metadata.yaml` of a release: its versions (format of csctl and the Cluster Stack Operator).

use serde::Deserialize;

use crate::stack::problem::Problems;
use crate::stack::values::{ReleaseTag, ReleaseVersion, Version};
use crate::stack::yaml::Source;

/// apiVersion that the Cluster Stack Operator writes and reads.
const API_VERSION: &str = "metadata.clusterstack.x-k8s.io/v1alpha1";

/// The versions of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub cluster_stack: ReleaseVersion,
    pub kubernetes: Version,
    pub cluster_addon: ReleaseVersion,
    pub node_image: ReleaseVersion,
}

/// The file. Unknown fields are tolerated: the format is not ours and grows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: String,
    versions: Versions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    cluster_stack: ReleaseVersion,
    kubernetes: Version,
    components: Components,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Components {
    cluster_addon: ReleaseVersion,
    #[serde(default)]
    node_image: Option<String>,
}

/// Reads the file and compares it with the release's tag.
pub(super) fn read(source: &Source, tag: &ReleaseTag) -> Result<Metadata, Problems> {
    let file: File = source.parse()?;
    let mut problems = Problems::default();
    let mut add = |path: &[&str], message: String, expected: String| {
        let problem = source.problem(path, message).expected(expected);
        problems.push(if path.ends_with(&["nodeImage"]) {
            problem.breaks("node-image-version")
        } else {
            problem
        });
    };
    if file.api_version != API_VERSION {
        add(
            &["apiVersion"],
            format!("unknown apiVersion `{}`", file.api_version),
            format!("`{API_VERSION}`"),
        );
    }
    let versions = &file.versions;
    if versions.cluster_stack != tag.version {
        add(
            &["versions", "clusterStack"],
            format!(
                "`{}` contradicts the release's name `{tag}`",
                versions.cluster_stack
            ),
            format!("`{}`", tag.version),
        );
    }
    let kubernetes = versions.kubernetes;
    if (kubernetes.major, kubernetes.minor) != (tag.major, tag.minor) {
        add(
            &["versions", "kubernetes"],
            format!("`{kubernetes}` contradicts the release's name `{tag}`"),
            format!("a version v{}.{}.x", tag.major, tag.minor),
        );
    }
    // The operator parses this value before it validates anything and refuses the release without
    // it, although csctl may leave it out.
    let node_image = versions
        .components
        .node_image
        .as_deref()
        .unwrap_or_default();
    let parsed = node_image.parse::<ReleaseVersion>();
    if let Err(error) = &parsed {
        let message = match node_image {
            "" => "there is no nodeImage version, without which the Cluster Stack Operator refuses the release".to_owned(),
            _ => error.to_string(),
        };
        add(
            &["versions", "components", "nodeImage"],
            message,
            "a version such as v1".to_owned(),
        );
    }
    match parsed {
        Ok(node_image) if problems.0.is_empty() => Ok(Metadata {
            cluster_stack: file.versions.cluster_stack,
            kubernetes,
            cluster_addon: file.versions.components.cluster_addon,
            node_image,
        }),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const GOOD: &str = "\
apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1
versions:
  clusterStack: v1
  kubernetes: v1.34.3
  components:
    clusterAddon: v2
    nodeImage: v1
";

    fn read_text(text: &str) -> Result<Metadata, String> {
        let tag = "docker-demo-1-34-v1".parse().unwrap();
        read(&Source::new(Path::new("metadata.yaml"), text), &tag)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn reads_all_versions() {
        let metadata = read_text(GOOD).unwrap();
        assert_eq!(metadata.cluster_addon.dotted(), "v2");
        assert_eq!(metadata.kubernetes.to_string(), "v1.34.3");
    }

    #[test]
    fn each_wrong_value_is_named_with_its_line() {
        for (from, to, expected) in [
            (
                "metadata.clusterstack",
                "metadata.other",
                "metadata.yaml:1:13: unknown apiVersion",
            ),
            (
                "clusterStack: v1",
                "clusterStack: v2",
                "metadata.yaml:3:17: `v2` contradicts the release's name `docker-demo-1-34-v1`",
            ),
            (
                "clusterStack: v1",
                "clusterStack: v1-sha-abc",
                "metadata.yaml:3:17: `versions.clusterStack`: `v1-sha-abc` is not the version of a release",
            ),
            (
                "v1.34.3",
                "v1.35.0",
                "metadata.yaml:4:15: `v1.35.0` contradicts",
            ),
            (
                "v1.34.3",
                "1.34.3",
                "metadata.yaml:4:15: `versions.kubernetes`: `1.34.3` is not a version",
            ),
            (
                "clusterAddon: v2",
                "clusterAddon: ''",
                "metadata.yaml:6:19:",
            ),
            ("    clusterAddon: v2\n", "", "missing field `clusterAddon`"),
            ("    nodeImage: v1\n", "", "there is no nodeImage version"),
            (
                "nodeImage: v1",
                "nodeImage: ''",
                "metadata.yaml:7:16: there is no nodeImage version",
            ),
            (
                "nodeImage: v1",
                "nodeImage: one",
                "metadata.yaml:7:16: `one` is not the version of a release",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = read_text(&text).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
