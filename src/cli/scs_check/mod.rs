//! `stackgate scs-check`: takes the command line of the SCS compliance checker, runs what it would
//! run, and gives its answers.

mod call;
mod console;
mod natives;
mod report;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;

use super::exit::{Ending, Exit, Failure};
use crate::cluster::Interrupt;
use crate::record::Clock;
use crate::stack::Timeout;
use crate::suite::scs::{Choice, Form, Invocation, Means, Order, Scope, Word};

/// The most that a count can add to an exit code.
const MOST: i64 = 127;

/// What is typed: the checker's own options, and ours.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    infer_long_args = true,
    override_usage = "stackgate scs-check [OPTIONS] --subject <SUBJECT> <SPEC_YAML>",
    after_help = "Exit code: the number of errors, failures and critical lines, at most 127; only the critical \
ones with -C. A testcase that was aborted, or of which nothing was said, makes it at least 1, and it is 4 \
when nothing was run; with --strict-compat both can end in 0, as with the checker."
)]
pub struct ScsCheckArgs {
    /// The certificate scope, as published in the SCS standards
    #[arg(value_name = "SPEC_YAML")]
    scope: PathBuf,
    /// Name of the subject (cloud, cluster) under test, for the report
    #[arg(short, long)]
    subject: String,
    /// Assigns a variable that the scope needs
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = assignment)]
    assign: Vec<(String, String)>,
    /// Check the versions that are valid on this day instead of today
    #[arg(short, long, value_name = "YYYY-MM-DD")]
    date: Option<Date>,
    /// Check this version, valid or not
    #[arg(short = 'V', long, value_name = "VERS")]
    version: Option<String>,
    /// Only testcases of these sections, separated by commas
    #[arg(short = 'S', long, value_name = "SECTION_LIST")]
    sections: Option<String>,
    /// Only testcases whose ids begin with a match of this expression
    #[arg(short, long, value_name = "REGEX")]
    tests: Option<String>,
    /// Write the YAML report to this file
    #[arg(short, long, value_name = "REPORT_FILEPATH")]
    output: Option<PathBuf>,
    /// Count only critical errors in the exit code
    #[arg(short = 'C', long)]
    critical_only: bool,
    /// Print the scripts' output; twice: also what is done
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// Print what is done
    #[arg(long)]
    debug: bool,
    /// Run every script, also where stackgate has a check for its testcases
    #[arg(long)]
    no_native: bool,
    /// Let an abort and a missing verdict end in 0, and wrong usage in 1
    #[arg(long)]
    strict_compat: bool,
    /// How long one script may take, e.g. 30m [default: for ever]
    #[arg(long, value_name = "DURATION")]
    script_timeout: Option<Timeout>,
    /// What runs scripts that end in .py
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: OsString,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "expected KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ScsCheckArgs {
    fn choice(&self, today: Date) -> Result<Choice, Failure> {
        let mut assigned = BTreeMap::new();
        for (key, value) in &self.assign {
            if assigned.insert(key, value).is_some() {
                return Err(Failure::input(anyhow!("'{key}' is assigned twice")));
            }
        }
        let tests = self.tests.as_deref().map(|pattern| {
            Regex::new(&format!("^(?:{pattern})")).map_err(|error| {
                Failure::input(error).hint("look-around and references back are not supported")
            })
        });
        Ok(Choice {
            date: self.date.unwrap_or(today),
            version: self.version.clone(),
            sections: self.section_list(),
            tests: tests.transpose()?,
            assignment: self.assign.clone(),
        })
    }

    fn section_list(&self) -> Option<Vec<String>> {
        let list = self.sections.as_deref()?.split(',');
        Some(list.map(|section| section.trim().to_owned()).collect())
    }
}

/// What came of it all.
struct Outcome<'a> {
    args: &'a ScsCheckArgs,
    scope: &'a Scope,
    choice: &'a Choice,
    order: &'a Order<'a>,
    invocations: &'a [Invocation],
    now: Zoned,
}

impl Outcome<'_> {
    /// The last word on each testcase.
    fn results(&self) -> Vec<(String, Word)> {
        let mut results: Vec<(String, Word)> = Vec::new();
        for (id, word) in self.invocations.iter().flat_map(|one| &one.results) {
            match results.iter_mut().find(|(known, _)| known == id) {
                Some((_, known)) => *known = *word,
                None => results.push((id.clone(), *word)),
            }
        }
        results
    }

    /// The exit code.
    fn code(&self) -> u8 {
        let results = self.results();
        let critical_only = self.args.critical_only
            || (self.scope.form == Form::Groups && self.args.output.is_some());
        let counted = match self.scope.form {
            Form::Modules => {
                let aborts: i64 = self.sum(|one| one.levels.critical.into());
                let errors: i64 = self.sum(|one| one.levels.error.into());
                let failed = self.sum(|one| {
                    let failed = one.results.iter().filter(|(_, word)| *word == Word::Fail);
                    i64::try_from(failed.count()).unwrap_or(MOST)
                });
                aborts + if critical_only { 0 } else { errors + failed }
            }
            Form::Groups => {
                let codes = self.sum(|one| if one.not_run { 1 } else { one.code.into() });
                let others = results
                    .iter()
                    .filter(|(_, word)| *word != Word::Pass)
                    .count();
                let others = i64::try_from(others).unwrap_or(MOST);
                codes + if critical_only { 0 } else { others }
            }
        };
        let counted = counted.min(MOST);
        // A negative sum becomes what the system makes of it.
        let code = u8::try_from(counted.rem_euclid(256)).unwrap_or(1);
        if code != 0 || self.args.strict_compat {
            return code;
        }
        if self.order.jobs.is_empty() {
            return Exit::NothingRan.code();
        }
        let asked = self.order.jobs.iter().flat_map(|job| &job.testcases);
        let unjudged = asked.filter(|id| {
            let word = results.iter().find(|(known, _)| known == *id);
            word.is_none_or(|(_, word)| match word {
                Word::Abort => true,
                // Where the sum of the scripts' codes has hidden it.
                Word::Fail => self.scope.form == Form::Groups && !critical_only,
                Word::Pass => false,
            })
        });
        u8::from(unjudged.count() > 0)
    }

    fn sum(&self, count: impl Fn(&Invocation) -> i64) -> i64 {
        self.invocations.iter().map(count).sum()
    }
}

/// The checker's own code for wrong usage, where it is wanted. The command line could not be read, so
/// its words are looked at.
pub fn usage_code() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    let strict = words.next()? == "scs-check" && words.any(|word| word == "--strict-compat");
    strict.then_some(1)
}

/// Checks a subject against a scope.
///
/// # Errors
/// When the command line or the scope is wrong, or the report cannot be written.
pub fn ending(args: &ScsCheckArgs, argv: Vec<String>) -> Result<Ending, Failure> {
    match super::runtime()?.block_on(check(args, argv)) {
        Ok(code) => Ok(Ending::Counted(code)),
        Err(failure) if args.strict_compat => {
            super::tell(&failure);
            Ok(Ending::Counted(1))
        }
        Err(failure) => Err(failure),
    }
}

async fn check(args: &ScsCheckArgs, argv: Vec<String>) -> Result<u8, Failure> {
    let now = || Clock::system().now().to_zoned(TimeZone::system());
    let choice = args.choice(now().date())?;
    if args.subject.is_empty() {
        return Err(Failure::input(anyhow!("the subject's name is empty")));
    }
    let scope = Scope::read(&args.scope)
        .map_err(|problems| Failure::input(anyhow!("invalid scope\n{problems}")))?;
    report::possible(args, &scope)?;
    let order = Order::new(&scope, &choice).map_err(Failure::input)?;
    let log = console::Log::new(args);
    if scope.has_prerequisite {
        log.warning("prerequisite not yet implemented!");
    }
    let means = Means {
        python: args.python.clone(),
        time: args.script_timeout.map(|limit| limit.get()),
        natives: if args.no_native {
            &[]
        } else {
            natives::NATIVES
        },
        interrupt: Interrupt::default(),
    };
    let mut console = console::Console::new(args, &scope);
    let mut invocations = Vec::new();
    for job in &order.jobs {
        log.debug(&format!("running '{}'...", job.command()));
        let native = job.is_native(&means);
        if native {
            log.debug(".. by a check of our own; --no-native runs the script");
        }
        let running = job.run(&means);
        tokio::pin!(running);
        let invocation = tokio::select! {
            invocation = &mut running => invocation,
            () = interrupted() => {
                if native {
                    // What it has created goes with it; who cannot wait says so once more.
                    means.interrupt.raise();
                    tokio::select! {
                        _ = &mut running => {}
                        () = interrupted() => {}
                    }
                }
                return Ok(Exit::Interrupted.code());
            }
        };
        for stranger in &invocation.strangers {
            log.warning(&format!("ignoring invalid result id: {stranger}"));
        }
        console.told(&invocation)?;
        log.ended(&invocation, scope.form);
        invocations.push(invocation);
    }
    let outcome = Outcome {
        args,
        scope: &scope,
        choice: &choice,
        order: &order,
        invocations: &invocations,
        now: now(),
    };
    console.verdicts(&outcome)?;
    if let Some(path) = &args.output {
        report::write(&outcome, argv, path)?;
    }
    Ok(outcome.code())
}

/// Resolves when somebody asks to stop.
async fn interrupted() {
    let signals = super::signals::handlers();
    match signals {
        Ok(mut signals) => super::signals::next(&mut signals).await,
        Err(_) => std::future::pending().await,
    }
}
