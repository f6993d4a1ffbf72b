//! What must hold between the fields of a suite file, beyond the form of each.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::cel::VARIABLES;
use super::exec;
use super::file::{CelCheck, Check, ExecCheck, SuiteFile};
use crate::checks;
use crate::cluster::cel::{CelError, Condition};
use crate::stack::{Problem, Problems, Source, Timeout};

/// How often a check may be asked again.
const RETRIES: u8 = 5;
/// How much an executable may be allowed to print.
const OUTPUT: usize = 64 << 20;

/// A problem of a check's field.
pub(super) fn at(
    source: &Source,
    check: usize,
    field: &str,
    message: impl Into<String>,
) -> Problem {
    source.problem(&["spec", "checks", &check.to_string(), field], message)
}

/// Everything that is wrong. `folder` is that of the file, for what does not ship.
pub(super) fn validate(
    name: &str,
    file: &SuiteFile,
    source: &Source,
    folder: Option<&Path>,
) -> Problems {
    let mut problems = Problems::default();
    if *file.metadata.name != *name {
        problems.push(
            source
                .problem(
                    &["metadata", "name"],
                    format!("the suite is called `{}`", file.metadata.name),
                )
                .expected(format!("`{name}`, as its file")),
        );
    }
    if file.spec.checks.is_empty() {
        problems.push(
            source
                .problem(&["spec", "checks"], "there is no check")
                .expected("at least one, or nothing would be judged"),
        );
    }
    let mut first = BTreeMap::new();
    for (index, check) in file.spec.checks.iter().enumerate() {
        if let Some(earlier) = first.insert(&*check.id, index) {
            let message = format!("check `{}` is number {} already", check.id, earlier + 1);
            problems.push(at(source, index, "id", message).expected("an id of its own"));
        }
        let one = One {
            source,
            index,
            check,
        };
        one.validate(folder, &mut problems);
    }
    problems
}

/// One check of a file.
struct One<'a> {
    source: &'a Source,
    index: usize,
    check: &'a Check,
}

impl One<'_> {
    fn at(&self, field: &str, message: impl Into<String>) -> Problem {
        at(self.source, self.index, field, message)
    }

    /// A problem below a field.
    fn below(&self, path: &[&str], message: impl Into<String>) -> Problem {
        self.source
            .problem(&self.path(path, &self.index.to_string()), message)
    }

    fn path<'p>(&self, path: &[&'p str], index: &'p str) -> Vec<&'p str> {
        [&["spec", "checks", index], path].concat()
    }

    fn validate(&self, folder: Option<&Path>, problems: &mut Problems) {
        let check = self.check;
        if check.title.trim().is_empty() {
            let problem = self.at("title", "the title is empty");
            problems.push(problem.expected("what is asked, in one line"));
        }
        if check.retries > RETRIES {
            let problem = self.at("retries", format!("{} retries are too many", check.retries));
            problems.push(problem.expected(format!("at most {RETRIES}")));
        }
        let kinds = [
            check.native.is_some(),
            check.cel.is_some(),
            check.exec.is_some(),
        ];
        match kinds.iter().filter(|is| **is).count() {
            1 => {}
            0 => problems.push(
                self.at(
                    "id",
                    format!("check `{}` does not say how it is answered", check.id),
                )
                .expected("one of native, cel and exec beside it"),
            ),
            _ => problems.push(
                self.at(
                    "id",
                    format!("check `{}` is answered in several ways", check.id),
                )
                .expected("only one of native, cel and exec beside it"),
            ),
        }
        if check.native.is_none() && !check.parameters.is_empty() {
            let problem = self.at("parameters", "parameters are set");
            problems.push(problem.expected("none: only native checks take them"));
        }
        self.native(problems);
        if let Some(cel) = &check.cel {
            self.cel(cel, problems);
        }
        if let Some(exec) = &check.exec {
            self.exec(exec, folder, problems);
        }
    }

    fn native(&self, problems: &mut Problems) {
        let Some(name) = self.check.native.as_deref() else {
            return;
        };
        let natives = checks::all();
        let Some(native) = natives.iter().find(|native| native.name == name) else {
            let known: Vec<&str> = natives.iter().map(|native| native.name).collect();
            let message = format!("there is no check `{name}`");
            let problem = self.at("native", message);
            problems.push(problem.expected(format!("one of {}", known.join(", "))));
            return;
        };
        if let Some(timeout) = self.check.timeout.filter(|set| set.get() < native.timeout) {
            let least = Timeout::from_secs(native.timeout.as_secs());
            let message = format!("{timeout} is too short for `{name}`");
            let problem = self.at("timeout", message);
            problems.push(problem.expected(format!("at least {least}")));
        }
        let set = Value::Object(self.check.parameters.clone());
        if let Err(wrong) = native.parameters.validate(&set) {
            let message = format!("`{name}`: {}", wrong.message);
            let problem = match &wrong.name {
                Some(parameter) => self.below(&["parameters", parameter], message),
                None => self.at("native", message),
            };
            problems.push(problem.expected(wrong.expected));
        }
    }

    fn cel(&self, cel: &CelCheck, problems: &mut Problems) {
        if cel.rules.is_empty() {
            let problem = self.below(&["cel", "rules"], "there is no rule");
            problems.push(problem.expected("at least one"));
        }
        if cel.objects.api_version.split('/').count() > 2 || cel.objects.api_version.is_empty() {
            let message = format!("`{}` is no apiVersion", cel.objects.api_version);
            let problem = self.below(&["cel", "objects", "apiVersion"], message);
            problems.push(problem.expected("VERSION or GROUP/VERSION"));
        }
        for (number, rule) in cel.rules.iter().enumerate() {
            let number = number.to_string();
            let message = rule.message.iter().map(|text| ("message", text));
            for (field, text) in std::iter::once(("expression", &rule.expression)).chain(message) {
                self.expression(&["cel", "rules", &number, field], text, problems);
            }
        }
    }

    fn expression(&self, path: &[&str], text: &str, problems: &mut Problems) {
        let parsed = match Condition::parse(text) {
            Ok(parsed) => parsed,
            Err(CelError::Syntax { reason, at, .. }) => {
                let index = self.index.to_string();
                let path = self.path(path, &index);
                let message = format!("this is no CEL: {reason}");
                let (line, column) = at.unwrap_or((1, 1));
                let line = text.lines().nth(line - 1).unwrap_or_default();
                let problem = self.source.problem_within(&path, line, column, message);
                problems.push(problem.expected("a CEL expression"));
                return;
            }
            Err(error) => {
                problems.push(self.below(path, error.to_string()));
                return;
            }
        };
        for name in parsed.variables() {
            if !VARIABLES.contains(&name.as_str()) {
                let problem = self.below(path, format!("there is no variable `{name}`"));
                problems.push(problem.expected(format!("one of {}", VARIABLES.join(", "))));
            }
        }
    }

    fn exec(&self, exec: &ExecCheck, folder: Option<&Path>, problems: &mut Problems) {
        if exec.output == 0 || exec.output > OUTPUT {
            let message = format!("an output of {} bytes", exec.output);
            let problem = self.below(&["exec", "output"], message);
            problems.push(problem.expected(format!("from 1 to {OUTPUT}")));
        }
        let Some(folder) = folder else {
            let problem = self.at("exec", "a suite that ships has no executables");
            problems.push(problem.expected("native or cel"));
            return;
        };
        let program = exec::program(exec, folder);
        let runs = std::fs::metadata(&program)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if !runs {
            let message = format!("`{}` cannot be run", exec.command);
            let problem = self.below(&["exec", "command"], message);
            problems.push(problem.expected(format!("an executable file at {}", program.display())));
        }
    }
}

#[cfg(test)]
mod tests;
