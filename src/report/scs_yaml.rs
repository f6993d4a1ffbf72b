//! The YAML report of the SCS compliance checker, in both of its forms.

use std::io::Write;

use anyhow::{Context, Result};
use jiff::civil::{Date, DateTime};
use serde::{Serialize, Serializer};
use serde_saphyr::SerializerOptions;

/// The report on a scope with modules.
#[derive(Debug)]
pub struct ModulesReport {
    /// The scope.
    pub spec: Spec,
    /// When, by the clock on the wall.
    pub checked_at: DateTime,
    /// The day for which it was checked.
    pub reference_date: Date,
    /// Who was checked, and the run.
    pub rest: ModulesRest,
}

/// The scope that was checked.
#[derive(Debug, Serialize)]
pub struct Spec {
    /// Its identity.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Where it is published.
    pub url: String,
}

/// What follows after the dates.
#[derive(Debug, Serialize)]
pub struct ModulesRest {
    /// Who was checked.
    pub subject: String,
    /// The run.
    pub run: Run,
}

/// What was run, and how.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub uuid: String,
    /// The command line.
    pub argv: Vec<String>,
    /// The variables that were assigned.
    pub assignment: Pairs<String>,
    /// The sections that it was restricted to.
    pub sections: Option<Vec<String>>,
    /// The version that was forced.
    pub forced_version: Option<String>,
    /// The pattern of testcases that it was restricted to.
    pub forced_tests: Option<String>,
    /// Every script that ran, by its id.
    pub invocations: Pairs<Invocation>,
}

/// One script that ran.
#[derive(Debug, Serialize)]
pub struct Invocation {
    /// Its id.
    pub id: String,
    /// The command line, as text.
    pub cmd: String,
    /// What it said: 1 for a pass, 0 for an abort, -1 for a failure.
    pub results: Pairs<i8>,
    /// Its code.
    pub rc: i32,
    /// Its lines.
    pub stdout: Vec<String>,
    /// Its other lines.
    pub stderr: Vec<String>,
    /// How many lines begin so.
    pub info: u32,
    /// How many lines begin so.
    pub warning: u32,
    /// How many lines begin so.
    pub error: u32,
    /// How many lines begin so.
    pub critical: u32,
}

/// The report on a scope with groups.
#[derive(Debug)]
pub struct GroupsReport {
    /// The report and the scope.
    pub head: GroupsHead,
    /// When, by the clock on the wall.
    pub checked_at: DateTime,
    /// Who was checked, and what came of it.
    pub rest: GroupsRest,
}

/// What stands before the date.
#[derive(Debug, Serialize)]
pub struct GroupsHead {
    /// The report's id.
    pub uuid: String,
    /// Who made it.
    pub creator: String,
    /// The scope's identity.
    pub scope: String,
}

/// What follows after the date.
#[derive(Debug, Serialize)]
pub struct GroupsRest {
    /// Who was checked.
    pub subject: String,
    /// What was said of each testcase.
    pub tests: Pairs<TestResult>,
    /// What was run, and what it told beside its verdicts.
    pub log: Vec<String>,
}

/// What was said of a testcase.
#[derive(Debug, Serialize)]
pub struct TestResult {
    /// 1 for a pass, 0 for an abort, -1 for a failure.
    pub result: i8,
}

/// A mapping that keeps its order.
#[derive(Debug)]
pub struct Pairs<V>(pub Vec<(String, V)>);

impl<V: Serialize> Serialize for Pairs<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl ModulesReport {
    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        write(
            out,
            &[
                yaml(&[("spec", &self.spec)])?,
                date("checked_at", moment(self.checked_at)),
                date("reference_date", self.reference_date.to_string()),
                yaml_of(&self.rest)?,
            ],
        )
    }
}

impl GroupsReport {
    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        write(
            out,
            &[
                yaml_of(&self.head)?,
                date("checked_at", moment(self.checked_at)),
                yaml_of(&self.rest)?,
            ],
        )
    }
}

/// The parts of one mapping, one after the other. The library has no timestamps, which have to stand
/// there without quotes to be read as such; it quotes every text that looks like one.
fn write(out: &mut dyn Write, parts: &[String]) -> Result<()> {
    out.write_all(b"---\n")?;
    for part in parts {
        out.write_all(part.as_bytes())?;
    }
    Ok(())
}

fn date(key: &str, value: String) -> String {
    format!("{key}: {value}\n")
}

/// As Python writes a moment without zone.
fn moment(at: DateTime) -> String {
    let micros = at.subsec_nanosecond() / 1000;
    let seconds = at.strftime("%Y-%m-%d %H:%M:%S");
    if micros == 0 {
        seconds.to_string()
    } else {
        format!("{seconds}.{micros:06}")
    }
}

fn yaml(pairs: &[(&str, &Spec)]) -> Result<String> {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), *value));
    yaml_of(&Pairs(pairs.collect()))
}

fn yaml_of(value: &impl Serialize) -> Result<String> {
    let mut options = SerializerOptions::default();
    // One line for each text: folded and literal blocks are read alike by few.
    options.quote_all = true;
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)
        .context("failed to write YAML")?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
