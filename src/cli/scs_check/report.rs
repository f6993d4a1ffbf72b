//! The outcome as the report that the scope's form asks for.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use uuid::Uuid;

use super::{Outcome, ScsCheckArgs};
use crate::cli::exit::Failure;
use crate::report::scs_yaml::{
    self, GroupsHead, GroupsReport, GroupsRest, ModulesReport, ModulesRest, Pairs, Run, Spec,
    TestResult,
};
use crate::suite::scs::{Form, Scope};

/// Refuses a report that the scope has not the names for, before anything is run.
pub fn possible(args: &ScsCheckArgs, scope: &Scope) -> Result<(), Failure> {
    if args.output.is_none() {
        return Ok(());
    }
    let missing = match scope {
        Scope { uuid: None, .. } => "uuid",
        Scope {
            url: None,
            form: Form::Modules,
            ..
        } => "url",
        _ => return Ok(()),
    };
    let file = args.scope.display();
    Err(Failure::input(anyhow!(
        "{file}: there is no `{missing}`, which the report needs; expected it at the top of the file"
    )))
}

/// Writes the report.
pub fn write(outcome: &Outcome<'_>, argv: Vec<String>, path: &Path) -> Result<(), Failure> {
    let failed = || format!("failed to write {}", path.display());
    let made = || -> anyhow::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        match outcome.scope.form {
            Form::Modules => modules(outcome, argv).write(&mut out)?,
            Form::Groups => groups(outcome, &argv).write(&mut out)?,
        }
        Ok(out.flush()?)
    };
    made().with_context(failed).map_err(Failure::infrastructure)
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

fn modules(outcome: &Outcome<'_>, argv: Vec<String>) -> ModulesReport {
    let Outcome {
        args,
        scope,
        choice,
        invocations,
        now,
        ..
    } = outcome;
    let invocations = invocations.iter().map(|one| {
        let id = id();
        let levels = one.levels;
        let results = one.results.iter();
        let told = scs_yaml::Invocation {
            id: id.clone(),
            cmd: one.command.clone(),
            results: Pairs(
                results
                    .map(|(id, word)| (id.clone(), word.number()))
                    .collect(),
            ),
            rc: one.code,
            stdout: one.stdout.clone(),
            stderr: one.stderr.clone(),
            info: levels.info,
            warning: levels.warning,
            error: levels.error,
            critical: levels.critical,
        };
        (id, told)
    });
    ModulesReport {
        spec: Spec {
            uuid: scope.uuid.clone().unwrap_or_default(),
            name: scope.name.clone(),
            url: scope.url.clone().unwrap_or_default(),
        },
        checked_at: now.datetime(),
        reference_date: choice.date,
        rest: ModulesRest {
            subject: args.subject.clone(),
            run: Run {
                uuid: id(),
                argv,
                assignment: Pairs(choice.assignment.clone()),
                sections: choice.sections.clone(),
                forced_version: choice.version.clone(),
                forced_tests: args.tests.clone(),
                invocations: Pairs(invocations.collect()),
            },
        },
    }
}

fn groups(outcome: &Outcome<'_>, argv: &[String]) -> GroupsReport {
    let mut log = vec![format!("running: stackgate scs-check {}", argv.join(" "))];
    for one in outcome.invocations {
        log.push(format!("$ {}", one.command));
        log.extend(one.beside());
    }
    let result = |number| TestResult { result: number };
    let tests = outcome.results().into_iter();
    GroupsReport {
        head: GroupsHead {
            uuid: id(),
            creator: format!("stackgate; version={}", env!("CARGO_PKG_VERSION")),
            scope: outcome.scope.uuid.clone().unwrap_or_default(),
        },
        checked_at: outcome.now.datetime(),
        rest: GroupsRest {
            subject: outcome.args.subject.clone(),
            tests: Pairs(
                tests
                    .map(|(id, word)| (id, result(word.number())))
                    .collect(),
            ),
            log,
        },
    }
}
