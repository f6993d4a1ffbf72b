//! Checks that are executables of somebody else's, which print a verdict.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use super::file::ExecCheck;
use super::process::{self, End, Ended, Limits};
use super::scs::{Word, lines, verdict};
use crate::checks::Answer;
use crate::record::Outcome;

/// Variables of ours that a program is given.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];
/// How many of its last lines an answer carries.
const EVIDENCE: usize = 40;
/// Fields of a kubeconfig that are secret.
const SECRETS: [&str; 5] = [
    "client-key-data",
    "client-certificate-data",
    "token",
    "password",
    "certificate-authority-data",
];

/// What an executable is given beside what its suite says.
pub(super) struct Given<'a> {
    /// The check's id.
    pub(super) id: &'a str,
    /// The suite's folder.
    pub(super) folder: &'a Path,
    /// A kubeconfig file of the workload cluster.
    pub(super) kubeconfig: &'a Path,
    /// How long it may run.
    pub(super) time: Duration,
}

/// Asks.
pub(super) async fn run(check: &ExecCheck, given: &Given<'_>) -> Result<Answer> {
    let place = tempfile::tempdir().context("failed to make a working directory")?;
    let program = program(check, given.folder);
    let kubeconfig = std::path::absolute(given.kubeconfig)?;
    let mut command = Command::new(&program);
    command
        .args(&check.args)
        .current_dir(place.path())
        .env_clear()
        .envs(
            INHERITED
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(&check.env)
        .env("KUBECONFIG", &kubeconfig);
    let limits = Limits {
        time: Some(given.time),
        output: check.output,
    };
    let ended = process::run(command, limits)
        .await
        .with_context(|| format!("failed to start {}", program.display()))?;
    let secrets = secrets(&kubeconfig);
    Ok(judge(check, given, ended, &secrets))
}

/// The program's whole path.
pub(super) fn program(check: &ExecCheck, folder: &Path) -> PathBuf {
    let path = folder.join(&check.command);
    std::path::absolute(&path).unwrap_or(path)
}

/// What must not be told of a kubeconfig.
fn secrets(kubeconfig: &Path) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(text) if SECRETS.contains(&name.as_str()) => {
                            found.push(text.clone());
                        }
                        _ => collect(field, found),
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    let text = std::fs::read_to_string(kubeconfig).unwrap_or_default();
    if let Ok(value) = serde_saphyr::from_str(&text) {
        collect(&value, &mut found);
    }
    found.retain(|secret| !secret.is_empty());
    found
}

fn judge(check: &ExecCheck, given: &Given<'_>, ended: Ended, secrets: &[String]) -> Answer {
    let text = |bytes: &[u8]| {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for secret in secrets {
            text = text.replace(secret, "(hidden)");
        }
        lines(&text)
    };
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    let (outcome, message) = answer(check, given, ended.end, &stdout, &stderr);
    let mut evidence: Vec<String> = [stdout, stderr].concat();
    let dropped = evidence.len().saturating_sub(EVIDENCE);
    evidence.drain(..dropped);
    if dropped > 0 {
        evidence.insert(0, format!("[{dropped} earlier lines]"));
    }
    Answer {
        outcome,
        message,
        evidence,
    }
}

fn answer(
    check: &ExecCheck,
    given: &Given<'_>,
    end: End,
    stdout: &[String],
    stderr: &[String],
) -> (Outcome, String) {
    let abort = |message: String| (Outcome::Abort, message);
    let command = &check.command;
    let code = match end {
        End::Exited(code) => code,
        End::Killed(signal) => {
            return abort(format!(
                "{command} was ended by signal {signal}; expected it to end by itself"
            ));
        }
        End::Late => {
            let limit = given.time.as_secs_f64();
            return abort(format!(
                "{command} did not end within {limit:.0} s, and was ended"
            ));
        }
        End::Flooded => {
            let limit = check.output;
            return abort(format!(
                "{command} printed more than {limit} bytes, and was ended"
            ));
        }
    };
    let wanted = check.verdict.as_deref().unwrap_or(given.id);
    let said: Vec<(&str, Word)> = stdout.iter().filter_map(|line| verdict(line)).collect();
    let own = said.iter().rev().find(|(id, _)| *id == wanted);
    let expected = format!("expected a line `{wanted}: PASS`, `FAIL` or `ABORT`");
    let why = || {
        let telling = ["critical", "error", "fail"];
        let all = stderr.iter().chain(stdout);
        all.map(|line| line.trim())
            .find(|line| {
                let line_start = line.to_lowercase();
                telling.iter().any(|word| line_start.starts_with(word))
            })
            .map(|line| format!(": {line}"))
            .unwrap_or_default()
    };
    match (own, said.first()) {
        (Some((_, Word::Pass)), _) if code != 0 => abort(format!(
            "{command} says PASS, but ended with code {code}{}",
            why()
        )),
        (Some((_, Word::Pass)), _) => (Outcome::Pass, format!("{command} says PASS")),
        (Some((_, Word::Fail)), _) => (Outcome::Fail, format!("{command} says FAIL{}", why())),
        (Some((_, Word::Abort)), _) => abort(format!("{command} says ABORT{}", why())),
        (None, Some((other, _))) => abort(format!(
            "{command} gave a verdict on `{other}`, and none on `{wanted}`; {expected}"
        )),
        (None, None) => abort(format!(
            "{command} gave no verdict (code {code}){}; {expected}",
            why()
        )),
    }
}

#[cfg(test)]
mod tests;
