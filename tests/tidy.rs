//! Rules that no compiler checks: what each room may import, that modules say what they are for, and
//! that files stay small.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with those that it may import (ARCHITECTURE.md).
const ROOMS: [(&str, &[&str]); 16] = [
    ("stack", &[]),
    ("record", &[]),
    ("cluster", &["record"]),
    ("engine", &["cluster", "record", "stack"]),
    ("checks", &["cluster", "record", "stack", "suite"]),
    ("suite", &["checks", "cluster", "record", "stack"]),
    ("delivery", &["cluster", "record", "stack"]),
    ("probe", &["checks", "cluster", "record", "stack"]),
    (
        "gate",
        &[
            "checks", "cluster", "delivery", "engine", "probe", "record", "stack", "suite",
        ],
    ),
    ("source", &["stack"]),
    ("scenario", &["stack"]),
    (
        "lint",
        &["cluster", "delivery", "gate", "record", "report", "stack"],
    ),
    ("report", &["record"]),
    ("replay", &["record"]),
    (
        "simulate",
        &[
            "cluster", "engine", "gate", "record", "report", "stack", "suite",
        ],
    ),
    (
        "cli",
        &[
            "checks", "cluster", "delivery", "engine", "gate", "lint", "record", "replay",
            "report", "scenario", "simulate", "source", "stack", "suite",
        ],
    ),
];

/// Most lines of code a file may have, its tests not counted.
const LINES: usize = 500;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source of the workspace.
fn workspace() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/kubesim/src");
    [sources(&src()), sources(&crates)].concat()
}

#[test]
fn each_room_imports_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        for file in sources(&src().join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for (other, _) in ROOMS {
                    let imports = code.contains(&format!("crate::{other}::"));
                    if imports && other != room && !allowed.contains(&other) {
                        wrong.push(format!(
                            "{}:{}: imports {other}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports against ARCHITECTURE.md:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_engine_knows_docker_and_kind() {
    let mut wrong = Vec::new();
    for (room, _) in ROOMS
        .iter()
        .filter(|(room, _)| !["engine", "cli", "stack"].contains(room))
    {
        for file in sources(&src().join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if ["bollard", "DockerMachine", "DockerCluster", "engine::kind"]
                    .iter()
                    .any(|word| code.contains(word))
                {
                    wrong.push(format!(
                        "{}:{}: {}",
                        file.display(),
                        number + 1,
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "knows the engine:\n{}", wrong.join("\n"));
}

#[test]
fn each_module_says_in_its_first_line_what_it_is_for() {
    let silent: Vec<_> = workspace()
        .into_iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "without a first line: {silent:?}");
}

#[test]
fn no_file_grows_past_what_can_be_read_in_one_sitting() {
    let long: Vec<_> = workspace()
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            (code.lines().count(), file)
        })
        .filter(|(lines, _)| *lines > LINES)
        .collect();
    assert!(long.is_empty(), "over {LINES} lines: {long:?}");
}

#[test]
fn no_document_is_left_with_a_placeholder() {
    let root = src().parent().unwrap().to_owned();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        assert!(!text.contains("@@"), "{name} has a placeholder");
    }
}
