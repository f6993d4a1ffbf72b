//! The `kind` program at work: started, listened to, and never left behind.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

use super::docker::clean_lines;
use super::names::{NETWORK, RUN_VARIABLE};
use crate::record::RunId;

/// How many of the last lines are kept for the error.
const KEPT_LINES: usize = 400;
/// How many of them an error shows.
const SHOWN_LINES: usize = 12;

/// What kind is told to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Creation<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// The cluster's name.
    pub(super) cluster: &'a str,
    /// kind's own configuration of it.
    pub(super) config: &'a Path,
    /// The node image.
    pub(super) image: &'a str,
    /// Where kind writes the kubeconfig.
    pub(super) kubeconfig: &'a Path,
    /// The run that it is for.
    pub(super) run: &'a RunId,
}

/// A line of kind's progress, as it writes it where there is no terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Begun(String),
    Done(String),
    Failed(String),
}

fn parse(line: &str) -> Option<Progress> {
    let mut characters = line.trim_start().chars();
    let mark = characters.next()?;
    let text: String = characters
        .filter(|c| c.is_ascii() && !c.is_control())
        .collect();
    let text = text.trim().trim_end_matches("...").trim().to_owned();
    if text.is_empty() {
        return None;
    }
    match mark {
        '•' => Some(Progress::Begun(text)),
        '✓' => Some(Progress::Done(text)),
        '✗' => Some(Progress::Failed(text)),
        _ => None,
    }
}

/// Makes a cluster, and tells each step in `steps` as it begins. Nodes stay when it fails, for their
/// logs. Dropping the future ends kind and what it started.
pub(super) async fn create(creation: Creation<'_>, steps: &watch::Sender<String>) -> Result<()> {
    let mut command = Command::new(creation.program);
    command
        .args(["create", "cluster", "--retain", "--name", creation.cluster])
        .arg("--config")
        .arg(creation.config)
        .args(["--image", creation.image])
        .arg("--kubeconfig")
        .arg(creation.kubeconfig)
        // CAPD knows this network alone, so the two must not differ.
        .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", NETWORK);
    run(command, creation.run, |line| match parse(line) {
        Some(Progress::Begun(step) | Progress::Failed(step)) => {
            steps.send_replace(step);
        }
        Some(Progress::Done(_)) | None => {}
    })
    .await
    .with_context(|| {
        let step = steps.borrow();
        let step = if step.is_empty() { "starting" } else { &step };
        format!(
            "failed to create cluster {} with kind, at the step '{step}'",
            creation.cluster
        )
    })
}

/// Runs a program of a run to its end, with each line that it writes given to `heard`; fails with its
/// last lines.
pub(super) async fn run(
    mut command: Command,
    run: &RunId,
    mut heard: impl FnMut(&str),
) -> Result<()> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut child = command
        .env(RUN_VARIABLE, run.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A terminal's Ctrl-C is for us alone, and what the program started ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start {program}"))?;
    let group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()));
    let mut stdout = lines(child.stdout.take());
    let mut stderr = lines(child.stderr.take());
    let mut last = VecDeque::with_capacity(KEPT_LINES);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let line = tokio::select! {
            line = stdout.next_line(), if out_open => { out_open = matches!(line, Ok(Some(_))); line }
            line = stderr.next_line(), if err_open => { err_open = matches!(line, Ok(Some(_))); line }
        };
        if let Ok(Some(line)) = line {
            heard(&line);
            if last.len() == KEPT_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
    let status = child
        .wait()
        .await
        .with_context(|| format!("failed to wait for {program}"))?;
    group.disarm();
    if !status.success() {
        bail!(
            "{program} ended with {status}:\n{}",
            telling(&last).join("\n")
        );
    }
    Ok(())
}

type Lines = tokio::io::Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>;

fn lines(stream: Option<impl AsyncRead + Send + Unpin + 'static>) -> Lines {
    let stream: Box<dyn AsyncRead + Send + Unpin> = match stream {
        Some(stream) => Box::new(stream),
        None => Box::new(tokio::io::empty()),
    };
    BufReader::new(stream).lines()
}

/// The lines that tell why: from the first that says so, else the last ones.
fn telling(last: &VecDeque<String>) -> Vec<String> {
    let lines: Vec<String> = last.iter().flat_map(|line| clean_lines(line)).collect();
    let error = lines
        .iter()
        .position(|line| line.starts_with("ERROR") || line.starts_with("Error:"));
    // kind appends the whole output of the command that failed, whose end tells most.
    let tail = lines.len().saturating_sub(SHOWN_LINES);
    match error {
        Some(error) if error < tail => {
            let mut shown = vec![lines[error].clone()];
            shown.extend_from_slice(&lines[tail + 1..]);
            shown
        }
        Some(error) => lines[error..].to_vec(),
        None => lines[tail..].to_vec(),
    }
}

/// A program with what it started; ends with this value unless the program has ended itself.
struct Group(Option<i32>);

impl Group {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in between; then there is nothing to end.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RunId {
        "7f3a09bc".parse().unwrap()
    }

    #[test]
    fn the_progress_of_kind_is_read() {
        let output = "Creating cluster \"stackgate-7f3a09bc\" ...\n \
            • Ensuring node image (kindest/node:v1.35.0) 🖼  ...\n \
            ✓ Ensuring node image (kindest/node:v1.35.0) 🖼\n \
            • Starting control-plane 🕹️  ...\n \
            ✗ Starting control-plane 🕹️\n\
            ERROR: failed to create cluster: failed to init node with kubeadm\n";
        let image = "Ensuring node image (kindest/node:v1.35.0)".to_owned();
        let start = "Starting control-plane".to_owned();
        assert_eq!(
            output.lines().filter_map(parse).collect::<Vec<_>>(),
            [
                Progress::Begun(image.clone()),
                Progress::Done(image),
                Progress::Begun(start.clone()),
                Progress::Failed(start),
            ]
        );
        assert_eq!(parse(""), None);
        assert_eq!(parse(" •  ..."), None);
    }

    #[test]
    fn an_error_shows_what_failed_and_the_end_of_its_output() {
        let mut lines: VecDeque<String> = ["✓ Preparing nodes", "ERROR: failed to create cluster"]
            .map(str::to_owned)
            .into();
        assert_eq!(telling(&lines), ["ERROR: failed to create cluster"]);
        lines.extend((0..100).map(|n| format!("I0101 line {n}")));
        let shown = telling(&lines);
        assert_eq!(shown.len(), SHOWN_LINES);
        assert_eq!(shown[0], "ERROR: failed to create cluster");
        assert_eq!(shown.last().unwrap(), "I0101 line 99");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let mut heard = Vec::new();
        let error = run(command, &id(), |line| heard.push(line.to_owned()))
            .await
            .unwrap_err()
            .to_string();
        heard.sort();
        assert_eq!(heard, ["one", "two"]);
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("two"), "{error}");
    }

    #[tokio::test]
    async fn what_a_program_started_ends_with_the_future() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let run_id = id();
        let mut future = Box::pin(run(command, &run_id, |line| {
            let _ = sender.send(line.to_owned());
        }));
        let pid = tokio::select! {
            pid = receiver.recv() => pid.unwrap(),
            ended = &mut future => panic!("ended early: {ended:?}"),
        };
        let alive = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
        };
        assert!(alive());
        drop(future);
        while alive() {
            tokio::task::yield_now().await;
        }
    }
}
