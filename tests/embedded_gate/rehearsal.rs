//! One rehearsal and what it left.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::common::TestContext;

/// A rehearsal that has ended.
pub struct Rehearsal {
    /// Its working directory, which goes with it.
    context: TestContext,
    pub output: Output,
    pub summary: Value,
}

/// The shipped stacks.
pub fn stacks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test")
}

impl Rehearsal {
    /// Rehearses the demo stack, with further arguments.
    pub fn demo(arguments: &[&str]) -> Self {
        Self::of("docker-demo", arguments)
    }

    /// Rehearses a stack by name or folder.
    pub fn of(stack: &str, arguments: &[&str]) -> Self {
        let context = TestContext::new();
        let output = context
            .command()
            .args(["run", stack, "--stacks"])
            .arg(stacks())
            .args(arguments)
            .output()
            .expect("the binary starts");
        let summary = std::fs::read(context.path().join("reports/latest/summary.json"));
        let summary = summary.unwrap_or_else(|_| panic!("there is no run: {output:?}"));
        Self {
            context,
            summary: serde_json::from_slice(&summary).unwrap(),
            output,
        }
    }

    pub fn verdict(&self) -> &str {
        self.summary["verdict"].as_str().unwrap()
    }

    pub fn reason(&self) -> &str {
        self.summary["reason"].as_str().unwrap()
    }

    /// What is printed, for messages.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// The stream's events but for what the process itself cost.
    pub fn events(&self) -> Vec<String> {
        let stream = self.context.path().join("reports/latest/events.jsonl");
        let stream = std::fs::read_to_string(stream).unwrap();
        let lasting = stream.lines().filter(|line| !line.contains("\"usage\""));
        // Each has a working directory of its own, which the command does not name.
        lasting.map(str::to_owned).collect()
    }

    /// The gate is closed, by exit code 1, and the report says by what: each of these words is in the reason
    /// or in the first finding.
    pub fn is_closed_by(&self, words: &[&str]) {
        assert_eq!(
            (self.verdict(), self.output.status.code()),
            ("closed", Some(1)),
            "{}",
            self.stdout()
        );
        let told = format!("{} {}", self.reason(), self.summary["findings"][0]);
        for word in words {
            assert!(told.contains(word), "expected {word:?} in: {told}");
        }
    }

    /// The gate is open, and every report says that it was a rehearsal.
    pub fn is_open(&self) {
        assert_eq!(
            (self.verdict(), self.output.status.code()),
            ("open", Some(0)),
            "{}",
            self.stdout()
        );
        assert!(self.stdout().contains("gate open (rehearsal)"));
        assert!(self.summary["rehearsal"].is_object());
    }
}
