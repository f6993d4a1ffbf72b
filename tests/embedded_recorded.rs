//! A real run whose gate closed (tests/data/README.md), kept as its bundle: what it was like is asked with kubectl,
//! and it is run again from the bundle alone.

#[path = "common/program.rs"]
mod program;
#[path = "common/recorded.rs"]
mod recorded;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use recorded::{BUNDLE, IMAGE, failing};
use stackgate::report::summary::Summary;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kubectl = program::find("kubectl");
    if kubectl.is_none() {
        eprintln!("ignored: there is no kubectl on this machine");
    }
    let there = kubectl.is_some();
    let trials = vec![
        Trial::test("embedded_kubectl_tells_why_the_pod_waited", move || {
            why_it_waited(&kubectl.ok_or("there is no kubectl")?)
        })
        .with_ignored_flag(!there),
        Trial::test("embedded_recorded_failure_is_rehearsed", rehearsed),
        Trial::test("embedded_recorded_failure_is_reported_again", reported),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// At the moment of the verdict, through the served past.
fn why_it_waited(kubectl: &Path) -> Result<(), Failed> {
    let mut served = stackgate()
        .args(["replay", BUNDLE, "--serve"])
        .stdout(Stdio::piped())
        .spawn()?;
    let told = (|| -> Result<String, Failed> {
        let mut line = String::new();
        BufReader::new(served.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=");
        let output = Command::new(kubectl)
            .env("KUBECONFIG", kubeconfig.ok_or("no kubeconfig")?)
            .args(["get", "pods", "-n", "kube-system", "-o"])
            .arg("jsonpath={range .items[*].status.containerStatuses[?(@.state.waiting)]}{.image} {.state.waiting.reason}{\"\\n\"}{end}")
            .output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    })();
    // A Ctrl-C, so that it removes the kubeconfig.
    let process = nix::unistd::Pid::from_raw(served.id().try_into()?);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT)?;
    served.wait()?;
    let told = told?;
    let waits = told.lines().any(|line| {
        line.strip_prefix(IMAGE)
            .is_some_and(|reason| [" ErrImagePull", " ImagePullBackOff"].contains(&reason))
    });
    holds(waits, &format!("a container that waits for {IMAGE}"), &told)
}

/// On simulated clusters, which know from the recording which image cannot be had.
fn rehearsed() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let output = stackgate()
        .current_dir(folder.path())
        .args(["reproduce", BUNDLE, "--engine", "embedded"])
        .output()?;
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    holds(output.status.code() == Some(1), "exit code 1", &told)?;
    for line in ["the engine was kind, is embedded", IMAGE] {
        holds(told.contains(line), line, &told)?;
    }
    let summary = std::fs::read(folder.path().join("reports/latest/summary.json"))?;
    let then = recorded::summary()?;
    let now: Summary = serde_json::from_slice(&summary)?;
    holds(
        failing(&then) == failing(&now) && !failing(&now).is_empty(),
        &format!("{:?} to fail", failing(&then)),
        &format!("{:?}\n{told}", failing(&now)),
    )
}

/// A view of a bundle, without unpacking it.
fn reported() -> Result<(), Failed> {
    let output = stackgate()
        .args(["report", BUNDLE, "--format", "junit"])
        .output()?;
    let junit = String::from_utf8_lossy(&output.stdout).into_owned();
    holds(
        junit.contains("image-not-available") && junit.contains(IMAGE),
        "the cause in junit.xml",
        &junit,
    )
}

fn holds(holds: bool, expected: &str, told: &str) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(format!("expected {expected}, was:\n{told}").into())
    }
}

fn stackgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stackgate"))
}
