//! What the SCS checker prints.

use super::{Outcome, ScsCheckArgs};
use crate::cli::exit::Failure;
use crate::suite::scs::{Form, Invocation, Scope, Version, Word};

/// The channel beside the answers.
pub struct Log {
    warns: bool,
    debugs: bool,
}

impl Log {
    /// As loud as was asked for.
    pub const fn new(args: &ScsCheckArgs) -> Self {
        let debugs = args.debug || args.verbose > 1;
        Self {
            warns: debugs || !args.quiet,
            debugs,
        }
    }

    pub fn warning(&self, line: &str) {
        if self.warns {
            super::super::note(&format!("WARNING: {line}"));
        }
    }

    pub fn debug(&self, line: &str) {
        if self.debugs {
            super::super::note(&format!("DEBUG: {line}"));
        }
    }
}

impl Log {
    /// Tells how a script ended.
    pub fn ended(&self, invocation: &Invocation, form: Form) {
        let (code, levels) = (invocation.code, invocation.levels);
        self.debug(&match form {
            Form::Modules => format!(
                ".. rc {code}, {} critical, {} error",
                levels.critical, levels.error
            ),
            Form::Groups => format!(".. rc {code}"),
        });
    }
}

/// Standard output.
pub struct Console<'a> {
    args: &'a ScsCheckArgs,
    scope: &'a Scope,
    /// Scripts' lines are there, which are to be set apart from the verdicts.
    told: bool,
}

impl<'a> Console<'a> {
    pub const fn new(args: &'a ScsCheckArgs, scope: &'a Scope) -> Self {
        let told = false;
        Self { args, scope, told }
    }

    /// Prints a script's output where it matters.
    pub fn told(&mut self, invocation: &Invocation) -> Result<(), Failure> {
        let verbose = self.args.verbose > 0;
        if self.scope.form == Form::Groups {
            let stderr = invocation.beside().join("\n");
            if invocation.code != 0 || verbose && !stderr.is_empty() {
                super::super::note(&stderr);
                self.told = true;
            }
            return Ok(());
        }
        let stderr = invocation.stderr.join("\n");
        if verbose && !invocation.stdout.is_empty() {
            print(&format!("{}\n", invocation.stdout.join("\n")))?;
            self.told = true;
        }
        if invocation.code != 0 || verbose && !invocation.stderr.is_empty() {
            print(&format!("{stderr}\n"))?;
            self.told = true;
        }
        Ok(())
    }

    /// Prints what came of each version.
    pub fn verdicts(&self, outcome: &Outcome<'_>) -> Result<(), Failure> {
        let args = self.args;
        let wanted = match self.scope.form {
            Form::Modules => !args.quiet,
            Form::Groups => args.verbose > 0 || args.output.is_none(),
        };
        if !wanted {
            return Ok(());
        }
        let mut text = String::new();
        if self.told {
            text.push_str(&format!("{}\n", "*".repeat(80)));
        }
        let mut title = format!("{} {}", args.subject, self.scope.name);
        if let Some(sections) = &outcome.choice.sections {
            title.push_str(&format!(" [sections: {}]", sections.join(", ")));
        }
        if let Some(pattern) = &args.tests {
            title.push_str(&format!(" [tests: '{pattern}']"));
        }
        let results = outcome.results();
        if self.scope.form == Form::Groups {
            text.push_str(&format!("{title}:\n"));
        }
        for version in &outcome.order.versions {
            let Version { version, targets } = version;
            match self.scope.form {
                Form::Modules => text.push_str(&format!("{title} {version}:\n")),
                Form::Groups => text.push_str(&format!("- {version}: ")),
            }
            for (target, ids) in targets {
                if self.scope.form == Form::Modules {
                    text.push_str(&format!("- {target}: "));
                }
                text.push_str(&self.target(ids, &results, outcome));
            }
        }
        print(&text)
    }

    fn target(&self, ids: &[String], results: &[(String, Word)], outcome: &Outcome<'_>) -> String {
        let said = |wanted: Option<Word>| -> Vec<&String> {
            let word = |id: &String| {
                let found = results.iter().find(|(known, _)| known == id);
                found.map(|(_, word)| *word)
            };
            ids.iter().filter(|id| word(id) == wanted).collect()
        };
        let (missing, passed) = (said(None), said(Some(Word::Pass)));
        let (failed, aborted) = (said(Some(Word::Fail)), said(Some(Word::Abort)));
        let verdict = if !failed.is_empty() || !aborted.is_empty() {
            "FAIL"
        } else if missing.is_empty() {
            "PASS"
        } else {
            "TENTATIVE pass"
        };
        let mut text = format!("{verdict} ({} passed", passed.len());
        for (list, word) in [
            (&failed, "failed"),
            (&aborted, "aborted"),
            (&missing, "missing"),
        ] {
            if !list.is_empty() {
                text.push_str(&format!(", {} {word}", list.len()));
            }
        }
        text.push_str(")\n");
        let partial = outcome.choice.sections.is_some() || self.args.tests.is_some();
        let verbose = self.args.verbose > 0;
        for (list, word, shown) in [
            (&failed, "FAILED", true),
            (&aborted, "ABORTED", true),
            (&missing, "MISSING", !partial),
            (&passed, "PASSED", verbose),
        ] {
            if list.is_empty() || !shown {
                continue;
            }
            text.push_str(&format!("  - {word}:\n"));
            for id in list {
                text.push_str(&self.testcase(id, verbose));
            }
        }
        text
    }

    fn testcase(&self, id: &str, verbose: bool) -> String {
        let (colon, explained) = match self.scope.form {
            Form::Modules => (":", true),
            Form::Groups => ("", verbose),
        };
        let mut text = format!("    - {id}{colon}\n");
        if let Some((_, testcase)) = self.scope.testcase(id).filter(|_| explained) {
            for line in [&testcase.description, &testcase.url].into_iter().flatten() {
                text.push_str(&format!("      > {line}\n"));
            }
        }
        text
    }
}

fn print(text: &str) -> Result<(), Failure> {
    super::super::print(text).map_err(Failure::infrastructure)
}
