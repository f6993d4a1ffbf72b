//! Runs somebody else's program: bounded in time and in what it prints, and ended with all it started.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long what a program leaves running may keep its output open.
const LINGER: Duration = Duration::from_secs(2);

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may run; without one, for ever.
    pub time: Option<Duration>,
    /// How many bytes it may print, on both streams together.
    pub output: usize,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which was not ours.
    Killed(i32),
    /// It was ended because it took too long.
    Late,
    /// It was ended because it printed too much.
    Flooded,
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// What it printed as its answer.
    pub stdout: Vec<u8>,
    /// What else it printed.
    pub stderr: Vec<u8>,
}

/// A process group that ends with this value, whatever becomes of the future that holds it.
struct Group(Option<Pid>);

impl Group {
    fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already, which is what is wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a program in a process group of its own, without input, until it ends or exceeds a limit; then
/// nothing of its group is left.
///
/// # Errors
/// When it cannot be started.
pub async fn run(mut command: Command, limits: Limits) -> io::Result<Ended> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut group = Group(pid.map(Pid::from_raw));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let time = limits.time.unwrap_or(Duration::MAX);
    let followed = timeout(
        time,
        follow(&mut child, limits.output, &mut stdout, &mut stderr),
    )
    .await;
    group.end();
    let end = match followed {
        Ok(end) => end?,
        Err(_) => End::Late,
    };
    // Reaps it where a limit ended it; what was killed does not take long.
    let _ = child.wait().await;
    Ok(Ended {
        end,
        stdout,
        stderr,
    })
}

/// Why reading stopped before the end.
enum Stop {
    Flooded,
    Failed(io::Error),
}

async fn follow(
    child: &mut Child,
    limit: usize,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> io::Result<End> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let budget = Mutex::new(limit);
    let reading = try_join(read(out, stdout, &budget), read(err, stderr, &budget));
    let mut reading = std::pin::pin!(reading);
    let mut status = None;
    let read = tokio::select! {
        biased;
        read = &mut reading => Some(read),
        ended = child.wait() => {
            status = Some(ended?);
            // What it left running may hold its output open.
            timeout(LINGER, &mut reading).await.ok()
        }
    };
    match read {
        Some(Err(Stop::Flooded)) => return Ok(End::Flooded),
        Some(Err(Stop::Failed(error))) => return Err(error),
        Some(Ok(_)) | None => {}
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(match status.code() {
        Some(code) => End::Exited(code),
        None => End::Killed(status.signal().unwrap_or_default()),
    })
}

/// Reads to the end, or to that of the budget.
async fn read(
    stream: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    budget: &Mutex<usize>,
) -> Result<(), Stop> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut chunk = [0; 8192];
    loop {
        let count = stream.read(&mut chunk).await.map_err(Stop::Failed)?;
        if count == 0 {
            return Ok(());
        }
        let fits = {
            let mut left = budget.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = count.min(*left);
            *left -= fits;
            fits
        };
        into.extend_from_slice(&chunk[..fits]);
        if fits < count {
            return Err(Stop::Flooded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, time: Duration, output: usize) -> Ended {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let time = Some(time);
        run(command, Limits { time, output }).await.unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn both_streams_and_the_code_are_told() {
        let ended = shell("echo out; echo err >&2; exit 3", LONG, 100).await;
        assert_eq!(ended.end, End::Exited(3));
        assert_eq!(
            (&*ended.stdout, &*ended.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }

    #[tokio::test]
    async fn a_signal_is_told_as_such() {
        assert_eq!(shell("kill -9 $$", LONG, 100).await.end, End::Killed(9));
    }

    #[tokio::test]
    async fn what_hangs_is_ended_with_what_it_started() {
        let ended = shell("sleep 600 & echo $!; wait", Duration::from_millis(300), 100).await;
        assert_eq!(ended.end, End::Late);
        let child: i32 = String::from_utf8_lossy(&ended.stdout)
            .trim()
            .parse()
            .unwrap();
        let stat = format!("/proc/{child}/stat");
        // A signal takes its time, and a zombie that nobody reaps is not alive.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_flood_is_ended_at_its_limit() {
        let ended = shell("yes", LONG, 100_000).await;
        assert_eq!((ended.end, ended.stdout.len()), (End::Flooded, 100_000));
        let ended = shell("yes >&2", LONG, 1000).await;
        assert_eq!((ended.end, ended.stderr.len()), (End::Flooded, 1000));
    }

    #[tokio::test]
    async fn a_program_that_leaves_something_behind_does_not_hold_up_its_answer() {
        let ended = shell("sleep 600 & echo done", LONG, 100).await;
        assert_eq!(ended.end, End::Exited(0));
        assert_eq!(ended.stdout, b"done\n");
    }
}
