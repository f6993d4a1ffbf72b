//! Signals from outside, sent to a real process with a run in it that never ends by itself.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stackgate::cli::args::SummaryFormat;
use stackgate::cli::conduct::Conduct;
use stackgate::gate::Ending;
use stackgate::record::{ReleaseRef, Verdict};

/// Tells this test binary that it is the process with the run, and where the run's folder goes.
const FOLDER: &str = "STACKGATE_TEST_FOLDER";

/// Not a test when it is run as one: the body of the process that gets the signals.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let release = || ReleaseRef {
        tag: "demo-1".to_owned(),
        kubernetes: "v1.35.0".to_owned(),
    };
    let run = Conduct {
        run: "7f3a09bc".parse().unwrap(),
        folder: Path::new(&folder).join("run"),
        timeout_scale: 1.0,
        stack: "demo".to_owned(),
        from: release(),
        to: release(),
        engine: "kind".to_owned(),
        delivery: "direct".to_owned(),
        command: vec![],
        recorded: false,
        judged_on: None,
        resumed: None,
        rehearsal: None,
        virtual_time: false,
        open: false,
        format: SummaryFormat::Plain,
    };
    let _ = run.run(async |_| -> Ending { std::future::pending().await });
}

struct Run {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Run {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut run = Self { child, stderr };
        run.read_until("run 7f3a09bc");
        run
    }

    fn read_until(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "the process ended before it said '{wanted}'");
        }
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

#[test]
fn the_second_signal_leaves_at_once_and_says_how_to_clean_up() {
    for first in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::start(folder.path());
        run.send(first);
        run.read_until("the same signal once more leaves at once");
        run.send(first);
        let mut rest = String::new();
        run.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(run.child.wait().unwrap().code(), Some(130));
        let expected = "error: left before everything was removed\n\
                        hint: remove what is left with: stackgate clean 7f3a09bc\n";
        assert!(rest.ends_with(expected), "{rest}");
    }
}

#[test]
fn a_killed_run_leaves_a_stream_of_which_reports_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start(folder.path());
    run.send(Signal::SIGKILL);
    run.child.wait().unwrap();
    let run = folder.path().join("run");
    let written = stackgate::report::write_all(&run).unwrap();
    assert!(written.iter().all(|path| path.exists()));
    let summary = stackgate::report::Summary::read(&run.join("events.jsonl")).unwrap();
    assert_eq!(
        (summary.verdict, summary.exit_code),
        (None::<Verdict>, None)
    );
}
