//! A release in one archive: a gzip-compressed tar file that holds a release's folder.

use std::path::Path;

use super::{ReleaseFiles, SourceError};
use crate::stack::{ReleaseTag, archive};

/// The files of release `tag`, by name, from an archive that has them at its top, in a folder named by the tag, or in
/// `cluster-stacks/` as the Cluster Stack Operator's release directory has it.
///
/// # Errors
/// When it cannot be read, lies about what it holds, or holds anything else.
pub fn unpack(file: &Path, tag: &ReleaseTag) -> Result<ReleaseFiles, SourceError> {
    let wrong = |why: String| SourceError::Packed {
        file: file.to_owned(),
        why,
    };
    let files = archive::read(file).map_err(|error| wrong(error.to_string()))?;
    let folder = tag.to_string();
    let mut release = ReleaseFiles::new();
    for (path, content) in files {
        let inside = path.strip_prefix("cluster-stacks").unwrap_or(&path);
        let inside = inside.strip_prefix(&folder).unwrap_or(inside);
        let name = inside.to_str().filter(|name| !name.contains('/'));
        let Some(name) = name else {
            return Err(wrong(format!(
                "it holds {}, expected the files of release `{tag}` alone",
                path.display()
            )));
        };
        if release.insert(name.to_owned(), content).is_some() {
            return Err(wrong(format!("it holds {name} twice")));
        }
    }
    if release.contains_key("metadata.yaml") {
        Ok(release)
    } else {
        Err(wrong("it holds no metadata.yaml".to_owned()))
    }
}
