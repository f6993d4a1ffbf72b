//! Packs a release from its sources: the same bytes for the same sources.

use std::collections::BTreeMap;
use std::path::Path;

use super::metadata;
use super::open::{ADDON_CONFIG, ADDON_VALUES, METADATA, addon_archive, class_archive};
use crate::stack::archive::{self, ArchiveError, Files};
use crate::stack::problem::Problems;
use crate::stack::values::ReleaseTag;
use crate::stack::yaml::Source;

/// Why sources cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error(transparent)]
    Invalid(#[from] Problems),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{file} cannot be read: {source}")]
    Read {
        file: String,
        source: std::io::Error,
    },
}

/// The files of release `tag`, by name, from the folder `sources`: `metadata.yaml`,
/// `clusteraddon.yaml` or `cluster-addon-values.yaml`, the chart `cluster-class/`, and
/// `cluster-addon/` with one chart per folder (or, without stages, one chart).
pub fn pack(sources: &Path, tag: &ReleaseTag) -> Result<BTreeMap<String, Vec<u8>>, PackError> {
    let metadata = metadata::read(&Source::read(&sources.join(METADATA))?, tag)?;
    let staged = sources.join(ADDON_CONFIG).is_file();
    let config = if staged { ADDON_CONFIG } else { ADDON_VALUES };
    let mut release = BTreeMap::new();
    for name in [METADATA, config] {
        release.insert(name.to_owned(), read(&sources.join(name))?);
    }
    // A Helm package has one folder, named by its chart; an addon archive has one per addon.
    let stem = tag.stem();
    let class = archive::read_dir(&sources.join("cluster-class"))?;
    let class = inside(&format!("{stem}-cluster-class"), class);
    let addons = archive::read_dir(&sources.join("cluster-addon"))?;
    let addons = if staged {
        addons
    } else {
        inside(&format!("{stem}-cluster-addon"), addons)
    };
    for (name, files) in [
        (class_archive(tag), class),
        (addon_archive(tag, &metadata.cluster_addon), addons),
    ] {
        let bytes = archive::pack_files(&name, &files)?;
        release.insert(name, bytes);
    }
    Ok(release)
}

fn inside(folder: &str, files: Files) -> Files {
    let folder = Path::new(folder);
    files
        .into_iter()
        .map(|(path, content)| (folder.join(path), content))
        .collect()
}

fn read(file: &Path) -> Result<Vec<u8>, PackError> {
    std::fs::read(file).map_err(|source| PackError::Read {
        file: file.display().to_string(),
        source,
    })
}
