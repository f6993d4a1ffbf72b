//! Opens a release: finds its files by their exact names, reads them, and compares them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::addon_config::{self, Action, Hook, Stage};
use super::metadata::{self, Metadata};
use super::rendered::Results;
use super::{AddonChart, Addons, Overwrite, Release, ReleaseError};
use crate::stack::archive::{self, ArchiveError, Files};
use crate::stack::chart::{Chart, ChartError};
use crate::stack::problem::{Problem, Problems};
use crate::stack::values::{ReleaseTag, ReleaseVersion};
use crate::stack::yaml::Source;

pub(super) const METADATA: &str = "metadata.yaml";
/// Its presence switches the operator to several stages.
pub(super) const ADDON_CONFIG: &str = "clusteraddon.yaml";
/// Values of the one addon chart, where there are no stages.
pub(super) const ADDON_VALUES: &str = "cluster-addon-values.yaml";
const OVERWRITE: &str = "overwrite.yaml";

/// Exact name of the class archive.
pub(super) fn class_archive(tag: &ReleaseTag) -> String {
    format!("{}-cluster-class-{}.tgz", tag.stem(), tag.version.dotted())
}

/// Exact name of the addon archive.
pub(super) fn addon_archive(tag: &ReleaseTag, version: &ReleaseVersion) -> String {
    format!("{}-cluster-addon-{}.tgz", tag.stem(), version.dotted())
}

impl Release {
    /// Opens the release `tag` in the folder `<dir>/<tag>`, the operator's `<release-dir>/cluster-stacks/<tag>`.
    pub fn open(dir: &Path, tag: &ReleaseTag) -> Result<Self, ReleaseError> {
        let folder = dir.join(tag.to_string());
        open(&folder, tag).map_err(|problems| ReleaseError::Invalid {
            tag: tag.to_string(),
            problems,
        })
    }
}

fn open(folder: &Path, tag: &ReleaseTag) -> Result<Release, Problems> {
    if !folder.is_dir() {
        let neighbours = folder.parent().map(names).unwrap_or_default();
        let found = if neighbours.is_empty() {
            "nothing".to_owned()
        } else {
            neighbours.join(", ")
        };
        let problem = Problem::new(
            folder,
            format!("there is no such folder (beside it: {found})"),
        )
        .expected("a folder named by the release's tag in dash form");
        let there: Vec<ReleaseTag> = neighbours.iter().flat_map(|name| name.parse()).collect();
        return Err(match tag.unnoticed(&there) {
            Some(why) => problem.help(why),
            None => problem,
        }
        .into());
    }
    let class_file = class_archive(tag);
    let mut problems = Problems::default();
    let metadata = read_metadata(folder, tag, &mut problems);
    let staged = folder.join(ADDON_CONFIG).is_file();
    if !staged && !folder.join(ADDON_VALUES).is_file() {
        problems.push(missing(folder, ADDON_CONFIG).help(format!(
            "a release without stages has {ADDON_VALUES} in its place"
        )));
    }
    let class_found = require(folder, &class_file, &mut problems);
    // Only metadata tells the addons' version.
    let addon_found = metadata.as_ref().and_then(|metadata| {
        let name = addon_archive(tag, &metadata.cluster_addon);
        require(folder, &name, &mut problems)
    });
    let class_chart = class_found.and_then(|file| read_class(&file, tag, &mut problems));
    let addons = addon_found.and_then(|file| {
        if staged {
            read_staged(folder, &file, &mut problems)
        } else {
            read_single(folder, &file, &mut problems)
        }
    });
    match (metadata, class_chart, addons) {
        (Some(metadata), Some(class_chart), Some(addons)) if problems.0.is_empty() => Ok(Release {
            tag: tag.clone(),
            folder: folder.to_owned(),
            class_name: tag.class_name(),
            kubernetes_version: metadata.kubernetes,
            cluster_stack_version: metadata.cluster_stack,
            addon_version: metadata.cluster_addon,
            node_image_version: metadata.node_image,
            class_chart,
            addons,
            results: Results::default(),
        }),
        _ => Err(problems),
    }
}

fn read_metadata(folder: &Path, tag: &ReleaseTag, problems: &mut Problems) -> Option<Metadata> {
    let file = require(folder, METADATA, problems)?;
    let read = Source::read(&file).and_then(|source| metadata::read(&source, tag));
    keep(read, problems)
}

/// The class chart; its name and version make the name of the ClusterClass.
fn read_class(file: &Path, tag: &ReleaseTag, problems: &mut Problems) -> Option<Chart> {
    let chart = keep(
        Chart::from_archive(file).map_err(|error| of_chart(file, error)),
        problems,
    )?;
    let expected = (
        format!("{}-cluster-class", tag.stem()),
        tag.version.dotted(),
    );
    for (what, actual, expected) in [
        ("name", chart.name(), &expected.0),
        ("version", chart.version(), &expected.1),
    ] {
        if actual != expected {
            problems.push(
                Problem::new(file, format!("the {what} of the chart, `{actual}`, contradicts the release's name `{tag}`"))
                    .expected(format!("`{expected}` in Chart.yaml")),
            );
        }
    }
    Some(chart)
}

/// Several charts, one directory each, and their stages.
fn read_staged(folder: &Path, file: &Path, problems: &mut Problems) -> Option<Addons> {
    let files = keep(
        archive::read(file).map_err(|error| of_archive(file, &error)),
        problems,
    )?;
    let mut charts = BTreeMap::new();
    for (name, files) in by_directory(files) {
        let overwrite = overwrite_of(file, &name, &files, problems);
        let chart = Chart::from_files(&format!("{}:{name}", file.display()), files);
        if let Some(chart) = keep(chart.map_err(|error| of_chart(file, error)), problems) {
            charts.insert(name, AddonChart { chart, overwrite });
        }
    }
    let config = keep(Source::read(&folder.join(ADDON_CONFIG)), problems)?;
    let names = charts.keys().map(String::as_str).collect();
    let hooks = keep(addon_config::read(&config, &names), problems)?;
    Some(Addons {
        staged: true,
        hooks,
        charts,
        config: Some(config),
    })
}

/// One chart for all addons: the same single stage at both hooks.
fn read_single(folder: &Path, file: &Path, problems: &mut Problems) -> Option<Addons> {
    let chart = keep(
        Chart::from_archive(file).map_err(|error| of_chart(file, error)),
        problems,
    )?;
    let values = folder.join(ADDON_VALUES);
    let text = keep(
        std::fs::read_to_string(&values).map_err(|error| whole(&values, &error)),
        problems,
    )?;
    let name = chart.name().to_owned();
    let stage = Stage {
        name: name.clone(),
        action: Action::Apply,
        wait_for_pre_condition: None,
        wait_for_post_condition: None,
    };
    let hooks = [
        Hook::AfterControlPlaneInitialized,
        Hook::BeforeClusterUpgrade,
    ];
    Some(Addons {
        staged: false,
        hooks: hooks
            .into_iter()
            .map(|hook| (hook, vec![stage.clone()]))
            .collect(),
        charts: BTreeMap::from([(
            name,
            AddonChart {
                chart,
                overwrite: Some(Overwrite { file: values, text }),
            },
        )]),
        config: None,
    })
}

/// The files of each top-level directory, by their paths inside it.
fn by_directory(files: Files) -> BTreeMap<String, Files> {
    let mut directories: BTreeMap<String, Files> = BTreeMap::new();
    for (path, content) in files {
        let mut parts = path.components();
        let Some(first) = parts.next() else { continue };
        let rest = parts.as_path();
        // A file beside the directories belongs to no chart.
        if !rest.as_os_str().is_empty() {
            let directory = first.as_os_str().to_string_lossy().into_owned();
            directories
                .entry(directory)
                .or_default()
                .insert(rest.to_owned(), content);
        }
    }
    directories
}

fn overwrite_of(
    archive: &Path,
    chart: &str,
    files: &Files,
    problems: &mut Problems,
) -> Option<Overwrite> {
    let content = files.get(Path::new(OVERWRITE))?;
    let file = PathBuf::from(format!("{}:{chart}/{OVERWRITE}", archive.display()));
    match std::str::from_utf8(content) {
        Ok(text) => Some(Overwrite {
            file,
            text: text.to_owned(),
        }),
        Err(error) => {
            problems.push(
                Problem::new(&file, format!("cannot be read: {error}")).expected("UTF-8 text"),
            );
            None
        }
    }
}

fn require(folder: &Path, name: &str, problems: &mut Problems) -> Option<PathBuf> {
    let file = folder.join(name);
    if file.is_file() {
        return Some(file);
    }
    let problem = missing(folder, name);
    let archives: Vec<String> = names(folder)
        .into_iter()
        .filter(|name| Path::new(name).extension() == Some(OsStr::new("tgz")))
        .collect();
    problems.push(if name.ends_with(".tgz") && !archives.is_empty() {
        problem.help(format!(
            "the name must be exactly this; found {}",
            archives.join(", ")
        ))
    } else {
        problem
    });
    None
}

fn missing(folder: &Path, name: &str) -> Problem {
    Problem::new(folder, format!("there is no file {name}"))
}

/// Names in a folder, in alphabetical order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn whole(file: &Path, error: &dyn std::fmt::Display) -> Problems {
    Problem::new(file, error.to_string()).into()
}

/// The problem of an archive, whose own text would name the file a second time.
fn of_archive(file: &Path, error: &ArchiveError) -> Problems {
    let message = match &error.entry {
        Some(entry) => format!("entry {entry:?} {}", error.reason),
        None => error.reason.to_string(),
    };
    Problem::new(file, message).into()
}

fn of_chart(file: &Path, error: ChartError) -> Problems {
    match error {
        ChartError::Archive(error) => of_archive(file, &error),
        ChartError::File {
            file,
            line,
            message,
        } => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            Problem::new(Path::new(&format!("{file}{line}")), message).into()
        }
        other => whole(file, &other),
    }
}

fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    result.map_err(|found| problems.0.extend(found.0)).ok()
}
