//! The keys of the terminal that a run was started from, each as it is pressed.

use std::io::{IsTerminal as _, stdin};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, read, tcgetpgrp};

use super::desk::Wish;

/// How often it is looked whether a key was pressed: nobody feels that.
const LOOK: Duration = Duration::from_millis(100);

/// A terminal that hands over each key at once, without showing it; dropping it restores what was. Ctrl-C means
/// what it always does.
pub(super) struct Keys {
    before: Termios,
}

impl Keys {
    /// Begins to listen, if there is a terminal and the run is in its foreground: another one would be stopped.
    pub(super) fn listen() -> Option<Self> {
        let stdin = stdin();
        let foreground = stdin.is_terminal() && tcgetpgrp(&stdin).ok()? == getpgrp();
        if !foreground {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut changed = before.clone();
        changed
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSANOW, &changed).ok()?;
        Some(Self { before })
    }

    /// The next wish; never resolves without a terminal.
    pub(super) async fn next(keys: &mut Option<Self>) -> Wish {
        while keys.is_some() {
            match pressed() {
                Ok(keys) => {
                    if let Some(wish) = keys.into_iter().find_map(Wish::of_key) {
                        return wish;
                    }
                    tokio::time::sleep(LOOK).await;
                }
                // The terminal is gone; whoever comes another way is still heard.
                Err(()) => *keys = None,
            }
        }
        std::future::pending().await
    }
}

/// What was pressed since the last look; an error when nothing will be any more.
fn pressed() -> Result<Vec<u8>, ()> {
    let stdin = stdin();
    let mut watched = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    if poll(&mut watched, PollTimeout::ZERO).map_err(drop)? == 0 {
        return Ok(Vec::new());
    }
    let mut keys = [0; 64];
    match read(&stdin, &mut keys).map_err(drop)? {
        0 => Err(()),
        count => Ok(keys[..count].to_vec()),
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.before);
    }
}
