//! Which testcases of a scope are to be judged, and asking the scripts that judge them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use nix::errno::Errno;
use regex::Regex;
use tokio::process::Command;

use super::native::{Call, Said, Substitute};
use super::protocol::{Levels, Word, lines, verdicts};
use super::scope::{Form, Scope, Script, Version};
use super::words::{FillError, SplitError, fill, split};
use crate::cluster::Interrupt;
use crate::suite::process::{self, End, Ended, Limits};

/// The code of a script that could not be run, as the SCS checker reports it.
const NOT_RUN: i32 = 127;
/// How much a script may print: far more than any does, and less than the machine's memory.
const OUTPUT: usize = 64 << 20;

/// What is asked of a scope.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The day whose valid versions are checked.
    pub date: Date,
    /// This version, valid or not.
    pub version: Option<String>,
    /// Only testcases of these sections.
    pub sections: Option<Vec<String>>,
    /// Only testcases whose ids match.
    pub tests: Option<Regex>,
    /// Values of variables.
    pub assignment: Vec<(String, String)>,
}

/// Why nothing can be run.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A variable has neither value nor default.
    #[error("missing variable assignments (via -a) for: {}", .0.join(", "))]
    Unassigned(Vec<String>),
    /// The version that was asked for is not there.
    #[error("requested version '{version}' not found; expected one of {}", .known.join(", "))]
    NoSuchVersion {
        /// As asked for.
        version: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The timeline lists nothing.
    #[error("no valid version found for {0}")]
    NothingValid(Date),
    /// A target demands what no script judges.
    #[error("version {version} demands testcase `{testcase}`, which no script judges")]
    NoScript {
        /// The version.
        version: String,
        /// The testcase.
        testcase: String,
    },
    /// The command line of a script cannot be filled in.
    #[error("failed to read `{text}` of script {script}")]
    Fill {
        /// The executable.
        script: String,
        /// The arguments or the value.
        text: String,
        /// Why.
        source: FillError,
    },
}

/// What is to be run.
#[derive(Debug)]
pub struct Order<'a> {
    /// The versions that are checked.
    pub versions: Vec<&'a Version>,
    /// The scripts, in order.
    pub jobs: Vec<Job>,
}

/// One invocation of one script.
#[derive(Clone, Debug)]
pub struct Job {
    executable: String,
    env: Vec<(String, String)>,
    args: String,
    /// What it is asked to judge, sorted.
    pub testcases: Vec<String>,
    folder: PathBuf,
}

/// What came of one invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The command line, as text.
    pub command: String,
    /// What it was asked to judge.
    pub asked: Vec<String>,
    /// What it said.
    pub results: Vec<(String, Word)>,
    /// Of whom it spoke without being asked.
    pub strangers: Vec<String>,
    /// Its code; the negative number of the signal that ended it.
    pub code: i32,
    /// Whether it could not be started, or its output not be read.
    pub not_run: bool,
    /// Its lines.
    pub stdout: Vec<String>,
    /// Its other lines.
    pub stderr: Vec<String>,
    /// What kinds of lines.
    pub levels: Levels,
}

/// How scripts are run.
#[derive(Clone)]
pub struct Means {
    /// What runs `.py` files.
    pub python: OsString,
    /// How long one script may take.
    pub time: Option<Duration>,
    /// Checks that take a script's place, by the testcases that they judge.
    pub natives: &'static [Substitute],
    /// The wish to stop, for checks that take a script's place.
    pub interrupt: Interrupt,
}

impl Invocation {
    /// What it told beside its verdicts, without blank lines at the ends.
    #[must_use]
    pub fn beside(&self) -> Vec<String> {
        lines(self.stderr.join("\n").trim())
    }
}

impl<'a> Order<'a> {
    /// Decides what is to be run; nothing is run unless everything can be.
    ///
    /// # Errors
    /// When a variable, a version or a script is missing, or a command line cannot be filled in.
    pub fn new(scope: &'a Scope, choice: &Choice) -> Result<Self, ChoiceError> {
        let values = values(scope, choice)?;
        let versions = versions(scope, choice)?;
        let mut wanted: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for version in &versions {
            for id in version.testcases() {
                let Some((script, testcase)) = scope.testcase(id) else {
                    return Err(ChoiceError::NoScript {
                        version: version.version.clone(),
                        testcase: id.to_owned(),
                    });
                };
                let in_section = choice.sections.as_ref().is_none_or(|sections| {
                    testcase
                        .section
                        .as_ref()
                        .is_some_and(|own| sections.contains(own))
                });
                let matches = choice.tests.as_ref().is_none_or(|tests| tests.is_match(id));
                if script.executable.is_none() || !in_section || !matches {
                    continue;
                }
                let index = scope
                    .scripts
                    .iter()
                    .position(|other| std::ptr::eq(other, script));
                let ids = wanted.entry(index.unwrap_or_default()).or_default();
                if !ids.iter().any(|known| known == id) {
                    ids.push(id.to_owned());
                }
            }
        }
        let jobs = wanted.into_iter().map(|(index, mut testcases)| {
            testcases.sort();
            Job::new(scope, &scope.scripts[index], testcases, &values)
        });
        let jobs = jobs.collect::<Result<_, _>>()?;
        Ok(Self { versions, jobs })
    }
}

/// The value of every variable.
fn values(scope: &Scope, choice: &Choice) -> Result<BTreeMap<String, String>, ChoiceError> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let defaults = scope.variables.iter();
    values.extend(defaults.filter_map(|(name, value)| Some((name.clone(), value.clone()?))));
    values.extend(choice.assignment.iter().cloned());
    let missing: Vec<String> = scope
        .variables
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| !values.contains_key(name))
        .collect();
    if missing.is_empty() {
        Ok(values)
    } else {
        Err(ChoiceError::Unassigned(missing))
    }
}

fn versions<'a>(scope: &'a Scope, choice: &Choice) -> Result<Vec<&'a Version>, ChoiceError> {
    let Some(forced) = &choice.version else {
        let valid = scope.valid(choice.date);
        if valid.is_empty() {
            return Err(ChoiceError::NothingValid(choice.date));
        }
        return Ok(valid);
    };
    let found = scope
        .versions
        .iter()
        .find(|version| version.version == *forced);
    match found {
        Some(version) => Ok(vec![version]),
        None => Err(ChoiceError::NoSuchVersion {
            version: forced.clone(),
            known: scope.versions.iter().map(|v| v.version.clone()).collect(),
        }),
    }
}

impl Job {
    fn new(
        scope: &Scope,
        script: &Script,
        testcases: Vec<String>,
        values: &BTreeMap<String, String>,
    ) -> Result<Self, ChoiceError> {
        let executable = script.executable.clone().unwrap_or_default();
        let joined = testcases.join(" ");
        let value = |name: &str| match values.get(name) {
            // A variable of this name goes before, as in the checker.
            None if name == "testcases" => Some(joined.as_str()),
            value => value.map(String::as_str),
        };
        let filled = |text: &str| {
            fill(text, value).map_err(|source| ChoiceError::Fill {
                script: executable.clone(),
                text: text.to_owned(),
                source,
            })
        };
        let args = filled(&script.args)?;
        // The checker of the form with groups takes an environment, and does not pass it on.
        let env = match scope.form {
            Form::Modules => &*script.env,
            Form::Groups => &[],
        };
        let env: Result<Vec<_>, _> = env
            .iter()
            .map(|(name, value)| Ok((name.clone(), filled(value)?)))
            .collect();
        Ok(Self {
            env: env?,
            args,
            testcases,
            folder: scope.folder.clone(),
            executable,
        })
    }

    /// The command line, as text.
    #[must_use]
    pub fn command(&self) -> String {
        let env: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let command = format!("{} {} {}", env.join(" "), self.executable, self.args);
        command.trim().to_owned()
    }

    /// Our own checks where there is one for each of its testcases, and all understand how the script
    /// would be called, with what stops them.
    fn natives(&self, means: &Means) -> Option<(Interrupt, Vec<(&'static Substitute, Said)>)> {
        let call = Call {
            words: split(&self.args).ok()?,
            env: self.env.clone(),
            folder: self.folder.clone(),
            interrupt: Interrupt::default(),
        };
        let native = |id: &String| {
            let native = means.natives.iter().find(|one| one.testcase == id)?;
            Some((native, (native.run)(&call)?))
        };
        let natives = self.testcases.iter().map(native).collect::<Option<_>>()?;
        Some((call.interrupt, natives))
    }

    /// Whether our own checks take the script's place.
    #[must_use]
    pub fn is_native(&self, means: &Means) -> bool {
        self.natives(means).is_some()
    }

    /// Runs the script, or our own checks in its place. That it cannot be run is part of the answer.
    pub async fn run(&self, means: &Means) -> Invocation {
        if let Some((interrupt, natives)) = self.natives(means) {
            return self.run_natively(&interrupt, natives, means).await;
        }
        let ended = match self.prepare(means) {
            Ok(command) => {
                let limits = Limits {
                    time: means.time,
                    output: OUTPUT,
                };
                process::run(command, limits)
                    .await
                    .map_err(|error| self.not_started(&error))
            }
            Err(why) => Err(why),
        };
        let (code, stdout, stderr) = match ended.and_then(|ended| self.read(ended, means)) {
            Ok((code, stdout, stderr)) => (Ok(code), stdout, stderr),
            Err(why) => (Err(()), String::new(), format!("CRITICAL: {why}")),
        };
        self.told(code, lines(&stdout), lines(&stderr))
    }

    async fn run_natively(
        &self,
        interrupt: &Interrupt,
        natives: Vec<(&'static Substitute, Said)>,
        means: &Means,
    ) -> Invocation {
        let (mut stdout, mut stderr, mut code) = (Vec::new(), Vec::new(), 0);
        for (native, judging) in natives {
            let spoken = native.spoken(judging, means.time, interrupt, &means.interrupt);
            let spoken = spoken.await;
            stdout.extend(spoken.stdout);
            stderr.extend(spoken.stderr);
            code = code.max(spoken.code);
        }
        self.told(Ok(code), stdout, stderr)
    }

    fn told(&self, code: Result<i32, ()>, stdout: Vec<String>, stderr: Vec<String>) -> Invocation {
        let (results, strangers) = verdicts(&stdout, &self.testcases);
        Invocation {
            command: self.command(),
            asked: self.testcases.clone(),
            results,
            strangers: strangers.into_iter().map(str::to_owned).collect(),
            not_run: code.is_err(),
            code: code.unwrap_or(NOT_RUN),
            levels: Levels::count(stderr.iter().chain(&stdout)),
            stdout,
            stderr,
        }
    }

    fn prepare(&self, means: &Means) -> Result<Command, String> {
        let executable = self.executable.as_str();
        if executable.starts_with("http://") || executable.starts_with("https://") {
            return Err(format!("remote check_tool {executable} not yet supported"));
        }
        let words = split(&self.args).map_err(|error: SplitError| error.to_string())?;
        let program = self.program();
        let is_python = program.as_os_str().to_string_lossy().ends_with(".py");
        let mut command = if is_python {
            let mut command = Command::new(&means.python);
            command.arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(words).current_dir(&self.folder);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// The program's whole path, without dots.
    fn program(&self) -> PathBuf {
        let path = self.executable.strip_prefix("file://");
        let path = Path::new(path.unwrap_or(&self.executable));
        let here = std::path::absolute(self.folder.join(path));
        let mut whole = PathBuf::new();
        for part in here.unwrap_or_else(|_| self.folder.join(path)).components() {
            match part {
                Component::ParentDir => drop(whole.pop()),
                Component::CurDir => {}
                other => whole.push(other),
            }
        }
        whole
    }

    fn not_started(&self, error: &std::io::Error) -> String {
        match error.raw_os_error() {
            Some(code) => format!(
                "[Errno {code}] {}: '{}'",
                Errno::from_raw(code).desc(),
                self.program().display()
            ),
            None => error.to_string(),
        }
    }

    fn read(&self, ended: Ended, means: &Means) -> Result<(i32, String, String), String> {
        let code = match ended.end {
            End::Exited(code) => code,
            End::Killed(signal) => -signal,
            End::Late => {
                let limit = means.time.unwrap_or_default().as_secs_f64();
                return Err(format!("ended because it took longer than {limit} s"));
            }
            End::Flooded => {
                return Err(format!("ended because it printed more than {OUTPUT} bytes"));
            }
        };
        Ok((code, decoded(ended.stdout)?, decoded(ended.stderr)?))
    }
}

/// Text, or why it is none in the words of Python.
fn decoded(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        let why = match (error.utf8_error().error_len(), byte) {
            (None, _) => "unexpected end of data",
            (Some(_), 0xc2..=0xf4) => "invalid continuation byte",
            (Some(_), _) => "invalid start byte",
        };
        format!("'utf-8' codec can't decode byte {byte:#04x} in position {at}: {why}")
    })
}

#[cfg(test)]
mod tests;
