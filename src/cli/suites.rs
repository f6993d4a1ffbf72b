//! `stackgate suites`: which suites there are, what they ask, and whether their files are right.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::exit::Failure;
use crate::checks;
use crate::record::Effect;
use crate::suite::{self, Check, Lifetime, Side, Suite, Weight};

/// Where suites of one's own are, beside those that ship.
const FOLDER: &str = "suites";

fn suites(folder: &Path) -> Result<Vec<Suite>, Failure> {
    let names = suite::names(folder).into_iter();
    names
        .map(|name| Suite::load(&name, folder).map_err(Failure::input))
        .collect()
}

fn print(text: &str) -> Result<(), Failure> {
    super::print(text).map_err(Failure::infrastructure)
}

/// Prints every suite with its checks: those that ship, and those in `suites/` of the working
/// directory.
///
/// # Errors
/// When a suite file cannot be read.
pub fn list() -> Result<(), Failure> {
    let mut text = String::new();
    for suite in suites(Path::new(FOLDER))? {
        text.push_str(&format!("{}: {}\n", suite.name, suite.description));
        let width = suite.checks.iter().map(|check| check.id.len()).max();
        let width = width.unwrap_or_default().max(24);
        for check in &suite.checks {
            let (severity, id, title) = (check.severity, &check.id, &check.title);
            text.push_str(&format!("  {severity:<6} {id:<width$} {title}\n"));
        }
    }
    print(&text)
}

/// Prints one suite with what is known of each check.
///
/// # Errors
/// When there is none of this name, or its file is wrong.
pub fn show(name: &str) -> Result<(), Failure> {
    let suite = Suite::load(name, Path::new(FOLDER)).map_err(Failure::input)?;
    let mut text = format!("{}: {}\n", suite.name, suite.description);
    for check in &suite.checks {
        text.push('\n');
        text.push_str(&explained(check));
    }
    print(&text)
}

/// Prints what one check asks, who demands it, and what follows from its answer.
///
/// # Errors
/// When no suite has it.
pub fn explain(id: &str) -> Result<(), Failure> {
    let suites = suites(Path::new(FOLDER))?;
    let mut text = String::new();
    for suite in &suites {
        if let Some(check) = suite.checks.iter().find(|check| *check.id == *id) {
            text.push_str(&explained(check));
            text.push_str(&format!("  suite         {}\n", suite.name));
        }
    }
    if text.is_empty() {
        let ids = suites.iter().flat_map(|suite| &suite.checks);
        let ids: Vec<&str> = ids.map(|check| &*check.id).collect();
        let failure = Failure::input(anyhow!("no suite has a check '{id}'"));
        return Err(failure.hint(format!("there are: {}", ids.join(", "))));
    }
    print(&text)
}

/// Says of suite files whether they are right: of those given, or of all that can be found.
///
/// # Errors
/// When one of them is wrong, with every finding's line.
pub fn lint(files: &[PathBuf]) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let mut text = String::new();
    let mut judge = |shown: String, read: Result<Suite, suite::SuiteError>| match read {
        Ok(suite) => {
            let count = suite.checks.len();
            let plural = if count == 1 { "" } else { "s" };
            text.push_str(&format!("{shown}: {count} check{plural}, nothing wrong\n"));
        }
        Err(error) => wrong.push(error.to_string()),
    };
    if files.is_empty() {
        let folder = Path::new(FOLDER);
        for name in suite::names(folder) {
            let read = Suite::load(&name, folder);
            judge(name, read);
        }
    }
    for file in files {
        judge(file.display().to_string(), Suite::read(file));
    }
    print(&text)?;
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::input(anyhow!("{}", wrong.join("\n"))))
}

/// A check in words.
fn explained(check: &Check) -> String {
    let mut text = format!("{}\n  {}\n", check.id, check.title);
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<13} {value}\n"));
    };
    line("severity", &check.severity.to_string());
    let status = check.standard.as_ref().map(|standard| standard.status);
    let effect = Effect::of(check.severity, status);
    line("a failure", &effect.to_string());
    if let Some(standard) = &check.standard {
        line("standard", &standard.to_string());
        if let Some(url) = &standard.url {
            line("source", url);
        }
    }
    line("judged by", &judge(check));
    if let Some(cel) = &check.cel {
        for rule in &cel.rules {
            line("rule", &rule.expression.replace('\n', " "));
        }
    }
    let native = check.native.as_deref();
    let native = checks::all().iter().find(|one| Some(one.name) == native);
    if let Some(native) = native {
        let needs: Vec<String> = native.needs().map(|need| need.to_string()).collect();
        line(
            "needs",
            &if needs.is_empty() {
                "nothing of the workload cluster".to_owned()
            } else {
                needs.join("; ")
            },
        );
    }
    for (name, told) in native.map(|one| one.parameters.names()).unwrap_or_default() {
        let value = check
            .parameters
            .get(&name)
            .map(|value| format!("; here {value}"));
        line(
            "parameter",
            &format!(
                "{name}: {}{}",
                told.trim_end_matches('.'),
                value.unwrap_or_default()
            ),
        );
    }
    let when = when(check);
    if !when.is_empty() {
        line("asked only", &when);
    }
    let weight = match check.weight {
        Weight::Light => "light",
        Weight::Heavy => "heavy",
    };
    line("weight", weight);
    line("good for", lifetime(check.lifetime));
    if check.retries > 0 {
        line(
            "retries",
            &format!("{}; a pass after one is flaky", check.retries),
        );
    }
    if let Some(not) = &check.not_testable {
        line("not testable", not);
    }
    text
}

fn judge(check: &Check) -> String {
    if let Some(name) = &check.native {
        return format!("stackgate itself ({name})");
    }
    if let Some(exec) = &check.exec {
        return format!("the executable {}", exec.command);
    }
    let Some(cel) = &check.cel else {
        return "nothing".to_owned();
    };
    let objects = &cel.objects;
    let within = objects.namespace.as_ref();
    let within = within.map(|namespace| format!(" in {namespace}"));
    format!(
        "CEL over each {} of {}{}",
        objects.kind,
        objects.api_version,
        within.unwrap_or_default()
    )
}

fn when(check: &Check) -> String {
    let when = &check.when;
    let mut parts = Vec::new();
    for (what, names) in [("engine", &when.engine), ("provider", &when.provider)] {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            parts.push(format!("with {what} {}", names.join(" or ")));
        }
    }
    parts.extend(
        when.kubernetes
            .as_ref()
            .map(|range| format!("of Kubernetes {range}")),
    );
    parts.extend(when.phase.map(|side| {
        match side {
            Side::Before => "before the upgrade",
            Side::After => "after the upgrade",
        }
        .to_owned()
    }));
    parts.join(", ")
}

const fn lifetime(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Day => "a day",
        Lifetime::Week => "a week",
        Lifetime::Month => "a month",
        Lifetime::Quarter => "a quarter",
        Lifetime::Year => "a year",
    }
}
