//! Finds the folder of a stack under test by path or by name.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::exit::Failure;
use crate::source::{self, Obtained};
use crate::stack::{STACK_FILE, Stack};

/// The folder in which stacks are found by name.
const STACKS: &str = "stacks-under-test";

/// The folder of `stack`: itself when it is a path to a folder with a stack file, else the one of that
/// name in `stacks` or, without that, in `stacks-under-test` of the working directory or of the
/// checkout that this program was built in.
///
/// # Errors
/// When there is none; tells where it was looked for and which there are.
pub fn find(stack: &Path, stacks: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(folder) = folder_of(stack) {
        return Ok(folder);
    }
    let shown = stack.display();
    if stack.components().count() != 1 || stack.exists() {
        let error = anyhow!("failed to find {STACK_FILE} in {shown}");
        return Err(Failure::input(error).hint("STACK is a folder with stack.yaml, or a name"));
    }
    let places = match stacks {
        Some(folder) => vec![folder.to_owned()],
        None => default_places(),
    };
    if let Some(folder) = places
        .iter()
        .find_map(|place| folder_of(&place.join(stack)))
    {
        return Ok(folder);
    }
    let looked: Vec<_> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    let error = anyhow!(
        "failed to find the stack '{shown}' in {}",
        looked.join(" or ")
    );
    let known = names(&places);
    let hint = if known.is_empty() {
        "name the folder that holds the stacks with --stacks DIR, or give a path".to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    };
    Err(Failure::input(error).hint(hint))
}

/// Reads the stack in a folder; kind's configurations are looked for beside the folder of the stacks.
///
/// # Errors
/// When its file is wrong.
pub fn read(folder: &Path, stacks: Option<&Path>) -> Result<Stack, Failure> {
    let beside = stacks
        .map(Path::to_owned)
        .or_else(|| default_places().into_iter().find(|place| place.is_dir()))
        .unwrap_or_else(|| PathBuf::from(STACKS));
    Stack::load(&folder.to_string_lossy(), &beside).map_err(Failure::input)
}

/// Fetches or builds the releases of a stack where they do not lie in a folder; they go with what is returned.
///
/// # Errors
/// When they cannot be had.
pub fn obtain(stack: &mut Stack) -> Result<Option<Obtained>, Failure> {
    let obtained = super::runtime()?.block_on(source::obtain(stack));
    obtained.map_err(super::release::failure)
}

/// A path to a stack file stands for its folder.
fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.join(STACK_FILE).is_file() {
        Some(path.to_owned())
    } else if path.file_name()? == STACK_FILE && path.is_file() {
        let parent = path.parent()?;
        let here = parent.as_os_str().is_empty();
        Some(if here {
            PathBuf::from(".")
        } else {
            parent.to_owned()
        })
    } else {
        None
    }
}

fn default_places() -> Vec<PathBuf> {
    let here = PathBuf::from(STACKS);
    let beside = std::env::current_exe().ok().and_then(|program| {
        let mut above = program
            .ancestors()
            .skip(1)
            .map(|folder| folder.join(STACKS));
        above.find(|stacks| stacks.is_dir())
    });
    std::iter::once(here).chain(beside).collect()
}

fn names(places: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = places
        .iter()
        .filter_map(|place| std::fs::read_dir(place).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(STACK_FILE).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(STACK_FILE), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("no-stack")).unwrap();
        folder
    }

    #[test]
    fn a_stack_is_found_by_name_by_folder_and_by_file() {
        let stacks = stacks();
        let one = stacks.path().join("one");
        let by_name = find(Path::new("one"), Some(stacks.path())).unwrap();
        assert_eq!(by_name, one);
        assert_eq!(find(&one, None).unwrap(), one);
        assert_eq!(find(&one.join(STACK_FILE), None).unwrap(), one);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let stacks = stacks();
        let failure = find(Path::new("three"), Some(stacks.path())).unwrap_err();
        assert!(
            failure
                .error
                .to_string()
                .starts_with("failed to find the stack 'three' in ")
        );
        assert_eq!(failure.hints, ["there are: one, two"]);
    }

    #[test]
    fn a_folder_without_a_stack_file_is_refused() {
        let stacks = stacks();
        let failure = find(&stacks.path().join("no-stack"), None).unwrap_err();
        assert!(
            failure
                .error
                .to_string()
                .contains("failed to find stack.yaml in")
        );
    }
}
