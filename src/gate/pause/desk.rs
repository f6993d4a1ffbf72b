//! Who hears how a paused run is to go on: the keys of its terminal, and a socket that its user alone can reach.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::Pauses;
use super::keys::Keys;
use crate::record::Decision;

/// The socket's name in the pause's folder.
const SOCKET: &str = "control";
/// How long somebody who called may take to say what he wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No wish is longer.
const LONGEST: u64 = 32;
/// What is answered to a wish that is granted.
const GRANTED: &str = "granted";

/// How a run can be asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    GoOn,
    /// To begin the phase again.
    Retry,
    /// To tear down.
    Abort,
}

impl Wish {
    const ALL: [Self; 3] = [Self::GoOn, Self::Retry, Self::Abort];

    const fn word(self) -> &'static str {
        match self {
            Self::GoOn => "go on",
            Self::Retry => "retry",
            Self::Abort => "abort",
        }
    }

    /// The wish that a key stands for.
    pub(super) const fn of_key(key: u8) -> Option<Self> {
        match key {
            b'c' | b'C' => Some(Self::GoOn),
            b'r' | b'R' => Some(Self::Retry),
            b'a' | b'A' => Some(Self::Abort),
            _ => None,
        }
    }

    /// What it comes to; where the phase cannot be begun again, why.
    fn decide(self, may_retry: bool) -> Result<Decision, &'static str> {
        match self {
            Self::GoOn => Ok(Decision::GoesOn),
            Self::Retry if may_retry => Ok(Decision::Retries),
            Self::Retry => Err("the phase has not begun yet, so there is nothing to retry"),
            Self::Abort => Ok(Decision::Aborts),
        }
    }
}

/// What came out of a pause.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    pub(super) by: String,
    pub(super) seconds: f64,
}

/// Where somebody sits and listens.
pub(super) struct Desk {
    listener: UnixListener,
    path: PathBuf,
    keys: Option<Keys>,
    may_retry: bool,
    at_most: Duration,
    /// Ends when nobody is to be waited for any more.
    off: oneshot::Receiver<()>,
}

impl Desk {
    /// Opens it in a folder that the user alone can enter.
    pub(super) fn open(
        folder: &Path,
        pauses: &Pauses,
        may_retry: bool,
        off: oneshot::Receiver<()>,
    ) -> Result<Self> {
        let path = folder.join(SOCKET);
        let opening = || format!("failed to listen at {}", path.display());
        let listener = UnixListener::bind(&path).with_context(opening)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| listener.set_nonblocking(true))
            .with_context(opening)?;
        Ok(Self {
            listener,
            path,
            keys: pauses.keys.then(Keys::listen).flatten(),
            may_retry,
            at_most: pauses.at_most,
            off,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn hears_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Waits for somebody, by the machine's clock: on a thread of its own, in a runtime of its own, since that of
    /// the run stands still.
    pub(super) fn sit(self) -> Answer {
        let answer = |decision, by: &str, since: Option<Instant>| Answer {
            decision,
            by: by.to_owned(),
            seconds: since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Err(_) => answer(Decision::Expires, "nobody could be heard", None),
            Ok(runtime) => runtime.block_on(async {
                let since = Instant::now();
                let (decision, by) = self.listen(since).await;
                answer(decision, by, Some(since))
            }),
        }
    }

    async fn listen(mut self, since: Instant) -> (Decision, &'static str) {
        let Ok(listener) = tokio::net::UnixListener::from_std(self.listener) else {
            return (Decision::Expires, "nobody could be heard");
        };
        loop {
            tokio::select! {
                biased;
                _ = &mut self.off => return (Decision::Aborts, "an interruption"),
                () = sleep_until(since + self.at_most) => return (Decision::Expires, "nobody"),
                wish = Keys::next(&mut self.keys) => {
                    if let Ok(decision) = wish.decide(self.may_retry) {
                        return (decision, "a key");
                    }
                }
                called = listener.accept() => {
                    let Ok((stream, _)) = called else { continue };
                    if let Ok(Some(decision)) = timeout(PATIENCE, hear(stream, self.may_retry)).await {
                        return (decision, "another process");
                    }
                }
            }
        }
    }
}

/// What somebody who called wants; none when it is nothing that can be granted.
async fn hear(mut stream: tokio::net::UnixStream, may_retry: bool) -> Option<Decision> {
    let mut said = String::new();
    let (reader, mut writer) = stream.split();
    reader.take(LONGEST).read_to_string(&mut said).await.ok()?;
    let wish = Wish::ALL.into_iter().find(|wish| wish.word() == said);
    let decided = match wish {
        Some(wish) => wish.decide(may_retry),
        None => Err("that is no wish of this version of stackgate"),
    };
    let answer = match decided {
        Ok(_) => GRANTED,
        Err(why) => why,
    };
    // Who does not wait for the answer still has his wish.
    let _ = writer.write_all(answer.as_bytes()).await;
    decided.ok()
}

/// Tells a paused run how to go on, through its socket.
///
/// # Errors
/// When nobody listens there, the socket is somebody else's, or the wish is not granted.
pub fn ask(socket: &Path, wish: Wish) -> Result<()> {
    let shown = socket.display();
    let own = std::fs::metadata("/proc/self").map(|own| own.uid())?;
    let there = std::fs::symlink_metadata(socket)
        .with_context(|| format!("failed to reach the run at {shown}: its process is gone"))?;
    if !there.file_type().is_socket() || there.uid() != own {
        bail!("failed to reach the run at {shown}: that is not a socket of yours");
    }
    let asking = || format!("failed to reach the run at {shown}");
    let answer = (|| -> io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(wish.word().as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.take(1000).read_to_string(&mut answer)?;
        Ok(answer)
    })()
    .with_context(asking)?;
    match answer.as_str() {
        GRANTED => Ok(()),
        "" => bail!("{}: it did not answer", asking()),
        why => bail!("the run refused: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A desk with somebody at it, and what it is left with.
    fn sitting(
        folder: &Path,
        may_retry: bool,
        at_most: Duration,
    ) -> (
        PathBuf,
        oneshot::Sender<()>,
        std::thread::JoinHandle<Answer>,
    ) {
        let (off, called_off) = oneshot::channel();
        let pauses = Pauses {
            at_most,
            ..Pauses::default()
        };
        let desk = Desk::open(folder, &pauses, may_retry, called_off).unwrap();
        let path = desk.path().to_owned();
        (path, off, std::thread::spawn(|| desk.sit()))
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn each_wish_is_heard_and_answered() {
        for (wish, decision) in [
            (Wish::GoOn, Decision::GoesOn),
            (Wish::Retry, Decision::Retries),
            (Wish::Abort, Decision::Aborts),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (path, _off, sitting) = sitting(folder.path(), true, LONG);
            ask(&path, wish).unwrap();
            let answer = sitting.join().unwrap();
            assert_eq!(
                (answer.decision, answer.by.as_str()),
                (decision, "another process")
            );
        }
    }

    #[test]
    fn what_cannot_be_granted_is_refused_and_waited_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _off, sitting) = sitting(folder.path(), false, LONG);
        let error = ask(&path, Wish::Retry).unwrap_err().to_string();
        assert!(error.contains("nothing to retry"), "{error}");
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"dance").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("no wish"), "{answer}");
        ask(&path, Wish::GoOn).unwrap();
        assert_eq!(sitting.join().unwrap().decision, Decision::GoesOn);
    }

    #[test]
    fn nobody_is_waited_for_longer_than_was_said_nor_after_being_called_off() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _off, at_desk) = sitting(folder.path(), true, Duration::ZERO);
        assert_eq!(at_desk.join().unwrap().decision, Decision::Expires);
        let error = format!("{:#}", ask(&path, Wish::GoOn).unwrap_err());
        assert!(error.starts_with("failed to reach the run"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let (_, off, at_desk) = sitting(folder.path(), true, LONG);
        drop(off);
        assert_eq!(at_desk.join().unwrap().decision, Decision::Aborts);
    }

    #[test]
    fn only_the_user_reaches_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _off, at_desk) = sitting(folder.path(), true, LONG);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        ask(&path, Wish::Abort).unwrap();
        at_desk.join().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = ask(&file, Wish::GoOn).unwrap_err().to_string();
        assert!(error.contains("not a socket of yours"), "{error}");
    }
}
