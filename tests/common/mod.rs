//! What the tests of the command line and of the reports share.
#![expect(dead_code, reason = "each test binary uses its own part")]

pub mod junit;
pub mod stream;

use std::path::Path;
use std::process::{Command, Output};

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A working directory of its own, and the real binary in it with nothing of the caller's environment.
pub struct TestContext {
    folder: tempfile::TempDir,
}

impl TestContext {
    /// An empty working directory.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The working directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        std::fs::write(path, text).expect("the file");
    }

    /// The real binary.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackgate"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("COLUMNS", "100");
        command
    }

    /// Runs it with arguments, separated by spaces, and shows everything that a caller sees.
    pub fn run(&self, arguments: &str) -> String {
        let output = self.command().args(arguments.split_whitespace()).output();
        self.show(&output.expect("the binary starts"))
    }

    /// Exit code, output and errors, without what differs from place to place.
    pub fn show(&self, output: &Output) -> String {
        let code = output
            .status
            .code()
            .map_or("none".to_owned(), |code| code.to_string());
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let shown = format!("exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        shown.replace(&*self.path().to_string_lossy(), "[folder]")
    }
}
