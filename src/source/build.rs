//! Builds a release from a checkout of its sources, as csctl and the build script of the other layout do:
//! in memory, the same bytes for the same sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ReleaseFiles;
use crate::stack::archive::{self, ArchiveError, Files};
use crate::stack::{
    Hashes, NODE_IMAGES, NodeImage, PackError, Problem, Problems, ReleaseTag, Source, Version, pack,
};

/// What csctl reads; both layouts have it.
const CSCTL: &str = "csctl.yaml";
/// apiVersion of that.
const CSCTL_API: &str = "csctl.clusterstack.x-k8s.io/v1alpha1";
/// Stands in sources whose release is not built from them but packed: stackgate's own.
const METADATA: &str = "metadata.yaml";
const ADDON_CONFIG: &str = "clusteraddon.yaml";
const ADDON_VALUES: &str = "cluster-addon-values.yaml";
/// Where sources declare node images: ready for the release, or for the plugin of csctl that copies it there.
const DECLARED: [&str; 2] = [NODE_IMAGES, "node-images/config.yaml"];

/// Why sources make no release.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of the sources is wrong.
    #[error("invalid sources\n{0}")]
    Invalid(#[from] Problems),
    /// A chart cannot be read or packed.
    #[error("failed to pack the sources: {0}")]
    Pack(#[from] PackError),
    /// A folder of charts cannot be read or packed.
    #[error("failed to pack the sources: {0}")]
    Archive(#[from] ArchiveError),
}

/// `csctl.yaml`, as far as a build needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Csctl {
    api_version: String,
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    kubernetes_version: Version,
    cluster_stack_name: String,
    provider: Provider,
}

#[derive(Debug, Deserialize)]
struct Provider {
    #[serde(rename = "type")]
    kind: String,
}

/// The files of release `tag`, by name, from the folder of its sources: stackgate's own form
/// (`metadata.yaml`), the flat layout (`csctl.yaml` with `cluster-class/` and `cluster-addon/`), or the
/// layout with a folder for each minor version (`<sources>/1-34/csctl.yaml`). The version of the tag is that
/// of all components. `hashes.json` tells the sources' hashes, as csctl's does.
///
/// # Errors
/// When the sources are of neither layout, contradict the tag, or cannot be packed.
pub fn build(sources: &Path, tag: &ReleaseTag) -> Result<ReleaseFiles, BuildError> {
    let (folder, mut files) = if sources.join(METADATA).is_file() {
        (sources.to_owned(), pack(sources, tag)?)
    } else {
        let folder = layout(sources, tag)?;
        let files = released(&folder, tag)?;
        (folder, files)
    };
    let declared = DECLARED.map(|name| folder.join(name));
    if let Some(file) = declared.iter().find(|file| file.is_file()) {
        let source = Source::read(file)?;
        NodeImage::read(&source, &tag.provider)?;
        let content = source.text().as_bytes().to_vec();
        let content = marked(content, &tag.version.dotted());
        files.insert(NODE_IMAGES.to_owned(), content);
    }
    let (name, content) = Hashes::of_sources(&archive::read_dir(&folder)?).file();
    files.insert(name, content);
    Ok(files)
}

/// What csctl makes of a folder of sources, but for the hashes.
fn released(folder: &Path, tag: &ReleaseTag) -> Result<ReleaseFiles, BuildError> {
    let source = Source::read(&folder.join(CSCTL))?;
    let csctl: Csctl = source.parse()?;
    check(&source, &csctl, tag)?;
    let version = tag.version.dotted();
    let mut files = BTreeMap::new();
    let metadata = format!(
        "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions:\n  clusterStack: {version}\n  kubernetes: {}\n  components:\n    clusterAddon: {version}\n    nodeImage: {version}\n",
        csctl.config.kubernetes_version
    );
    files.insert(METADATA.to_owned(), metadata.into_bytes());
    let staged = folder.join(ADDON_CONFIG).is_file();
    let config = if staged { ADDON_CONFIG } else { ADDON_VALUES };
    let text = std::fs::read(folder.join(config)).map_err(|error| {
        let file = folder.join(config);
        Problems::from(
            Problem::new(&file, format!("cannot be read: {error}")).expected(format!(
                "{ADDON_CONFIG}, or {ADDON_VALUES} for a stack without stages"
            )),
        )
    })?;
    files.insert(config.to_owned(), marked(text, &version));
    let stem = tag.stem();
    let class = format!("{stem}-cluster-class");
    let class_files = named(chart(folder, "cluster-class", &version)?, &class, &version);
    let addons = chart(folder, "cluster-addon", &version)?;
    let addon = format!("{stem}-cluster-addon");
    let addons = if staged {
        addons
    } else {
        inside(&addon, addons)
    };
    for (name, content) in [
        (class.clone(), inside(&class, class_files)),
        (addon, addons),
    ] {
        let file = format!("{name}-{version}.tgz");
        let bytes = archive::pack_files(&file, &content)?;
        files.insert(file, bytes);
    }
    Ok(files)
}

/// The folder that has the files of this minor version.
fn layout(sources: &Path, tag: &ReleaseTag) -> Result<PathBuf, Problems> {
    let minor = format!("{}-{}", tag.major, tag.minor);
    let candidates = [sources.to_owned(), sources.join(&minor)];
    let found = candidates
        .iter()
        .find(|folder| folder.join(CSCTL).is_file());
    found.cloned().ok_or_else(|| {
        Problem::new(sources, "is no folder of stack sources")
            .expected(format!("{CSCTL} or {METADATA} in it, or {minor}/{CSCTL}"))
            .into()
    })
}

/// Whether the sources are those of the tag.
fn check(source: &Source, csctl: &Csctl, tag: &ReleaseTag) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let config = &csctl.config;
    let kubernetes = config.kubernetes_version;
    let minor = format!("{}.{}", kubernetes.major, kubernetes.minor);
    let wanted = format!("{}.{}", tag.major, tag.minor);
    for (path, found, expected) in [
        (
            &["apiVersion"][..],
            &csctl.api_version,
            &CSCTL_API.to_owned(),
        ),
        (
            &["config", "clusterStackName"][..],
            &config.cluster_stack_name,
            &tag.stack,
        ),
        (
            &["config", "provider", "type"][..],
            &config.provider.kind,
            &tag.provider,
        ),
        (&["config", "kubernetesVersion"][..], &minor, &wanted),
    ] {
        if found != expected {
            let message = format!("`{found}` contradicts the release `{tag}`");
            problems.push(
                source
                    .problem(path, message)
                    .expected(format!("`{expected}`")),
            );
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Problems(problems))
    }
}

/// A folder of charts, with the versions put in where csctl's marks stand. Archives are left as they are:
/// a mark in one is chance, and to replace it would damage it.
fn chart(folder: &Path, name: &str, version: &str) -> Result<Files, BuildError> {
    let files = archive::read_dir(&folder.join(name))?;
    let filled = files.into_iter().map(|(path, content)| {
        let content = match path.extension() {
            Some(extension) if extension == "tgz" => content,
            _ => marked(content, version),
        };
        (path, content)
    });
    Ok(filled.collect())
}

fn marked(content: Vec<u8>, version: &str) -> Vec<u8> {
    match String::from_utf8(content) {
        Ok(mut text) => {
            for mark in [
                "ClusterClassVersion",
                "ClusterAddonVersion",
                "NodeImageVersion",
            ] {
                text = text.replace(&format!("<< .{mark} >>"), version);
            }
            text.into_bytes()
        }
        Err(error) => error.into_bytes(),
    }
}

/// The class chart with its version as csctl writes it, and its name as the operator looks for it.
fn named(files: Files, name: &str, version: &str) -> Files {
    let renewed = |text: &str| {
        let line = |line: &str| match line.split_once(':').map(|(key, _)| key) {
            Some("version") => format!("version: {version}\n"),
            Some("name") => format!("name: {name}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect::<String>()
    };
    let mut files = files;
    if let Some(content) = files.get_mut(Path::new("Chart.yaml")) {
        let text = String::from_utf8_lossy(content).into_owned();
        *content = renewed(&text).into_bytes();
    }
    files
}

fn inside(folder: &str, files: Files) -> Files {
    let folder = Path::new(folder);
    let moved = files.into_iter();
    moved
        .map(|(path, content)| (folder.join(path), content))
        .collect()
}
