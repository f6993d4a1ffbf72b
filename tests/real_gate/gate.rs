//! One run of the real binary, and what it left in its folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Failed;
use stackgate::report::summary::Summary;

use crate::variant::Variant;

/// The exit code of a run without a verdict.
const NO_VERDICT: i32 = 3;

/// A run to be made.
pub struct Gate {
    folder: tempfile::TempDir,
    /// With what the command line begins.
    words: Vec<PathBuf>,
    options: Vec<String>,
}

/// A run that has ended.
pub struct Ended {
    pub code: i32,
    pub output: String,
    pub summary: Summary,
    pub folder: PathBuf,
    // Keeps the reports until the assertions are done.
    _reports: tempfile::TempDir,
}

impl Gate {
    /// The shipped demo stack.
    pub fn demo() -> Self {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
        Self::of(|_| stacks.join("docker-demo"))
    }

    /// A run that was recorded, again.
    pub fn again(bundle: &str) -> Self {
        Self::made_of(|_| vec!["reproduce".into(), bundle.into()])
    }

    /// A variant of it.
    pub fn variant(variant: Variant) -> Self {
        Self::of(|folder| variant.write(folder))
    }

    fn of(stack: impl FnOnce(&Path) -> PathBuf) -> Self {
        // What is seen without a cluster would close the gate before there is one.
        Self::made_of(|folder| vec!["run".into(), stack(folder), "--no-lint".into()])
    }

    fn made_of(words: impl FnOnce(&Path) -> Vec<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            words: words(folder.path()),
            folder,
            options: Vec::new(),
        }
    }

    /// Adds options to the command line.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// Where its runs' folders go.
    pub fn reports(&self) -> PathBuf {
        self.folder.path().join("reports")
    }

    /// Starts it, and leaves it running.
    pub fn start(&self) -> Child {
        self.command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stackgate"));
        command
            .args(&self.words)
            .args(["--engine", "kind", "--reports"])
            .arg(self.reports())
            .args(&self.options)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end. A run without a verdict says nothing about the product's judgement and is
    /// tried once more, told on stderr; one that has a verdict is never tried again.
    pub fn run(self) -> Result<Ended, Failed> {
        let first = self.once()?;
        if first.0 != NO_VERDICT {
            return self.ended(first);
        }
        eprintln!(
            "no verdict, tried once more; the first run said:\n{}",
            first.1
        );
        std::fs::remove_dir_all(self.reports())?;
        let second = self.once()?;
        self.ended(second)
    }

    fn once(&self) -> Result<(i32, String), Failed> {
        let output = self.command().output()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let code = output.status.code().ok_or("the run was killed")?;
        Ok((code, text))
    }

    fn ended(self, (code, output): (i32, String)) -> Result<Ended, Failed> {
        let folder = run_folder(&self.reports())
            .ok_or_else(|| format!("the run left no folder; exit code {code}:\n{output}"))?;
        let summary = std::fs::read_to_string(folder.join("summary.json"))?;
        let summary = serde_json::from_str(&summary)?;
        Ok(Ended {
            code,
            output,
            summary,
            folder,
            _reports: self.folder,
        })
    }
}

/// The folder of the one run below a reports folder, once it is there.
pub fn run_folder(reports: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(reports).ok()?.flatten();
    // `latest` is a link to it, and a README lies beside it.
    let own = entries.find(|entry| entry.path().is_dir() && !entry.path().is_symlink());
    own.map(|entry| entry.path())
}

impl Ended {
    /// The gate is closed, by a cause of this name, and what is told holds all of `words`.
    pub fn closed_by(&self, cause: &str, words: &[&str]) -> Result<(), Failed> {
        self.expect(self.code == 1, "exit code 1")?;
        let named = self
            .summary
            .findings
            .iter()
            .any(|finding| finding.cause == cause);
        self.expect(named, &format!("a finding named {cause}"))?;
        for word in words {
            let told = self.summary.reason.contains(word);
            self.expect(told, &format!("'{word}' in the reason"))?;
            self.expect(
                self.output.contains(word),
                &format!("'{word}' on the terminal"),
            )?;
        }
        let junit = std::fs::read_to_string(self.folder.join("junit.xml"))?;
        let report = crate::junit::parse(&junit);
        let failures: usize = report.test_suites.iter().map(|suite| suite.failures).sum();
        self.expect(failures > 0, "a failure in junit.xml")
    }

    /// Fails with everything that is known unless `holds`.
    pub fn expect(&self, holds: bool, what: &str) -> Result<(), Failed> {
        if holds {
            return Ok(());
        }
        let message = format!(
            "expected {what}; exit code {}, reason: {}, findings: {:#?}\n{}",
            self.code, self.summary.reason, self.summary.findings, self.output
        );
        // Now rather than at the end of all tests, which may be half an hour away.
        eprintln!("{message}");
        Err(message.into())
    }
}
