//! Ctrl-C and its kin: once to tear down and leave, twice to leave at once.

use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use futures::future::select_all;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use crate::cluster::Interrupt;
use crate::record::{Recorder, RunId, What};

/// Listens until the process ends, on a thread of its own: a run that is busy cannot delay it.
///
/// The first signal raises `interrupt`; the second ends the process.
///
/// `run_time` is the runtime of the run, whose clock its events are told by.
///
/// # Errors
/// When the handlers cannot be set.
pub fn listen(
    interrupt: Interrupt,
    recorder: Recorder,
    run: RunId,
    run_time: Handle,
) -> Result<()> {
    let (tell_ready, ready) = mpsc::channel();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell_ready.send(Err(error))),
            };
            runtime.block_on(async {
                match handlers() {
                    Err(error) => drop(tell_ready.send(Err(error))),
                    Ok(mut handlers) => {
                        let _ = tell_ready.send(Ok(()));
                        next(&mut handlers).await;
                        interrupt.raise();
                        let message = "stopping: what was created is being removed; \
                                       the same signal once more leaves at once";
                        {
                            let _by_its_clock = run_time.enter();
                            recorder.emit(What::Note {
                                message: message.to_owned(),
                            });
                        }
                        next(&mut handlers).await;
                        leave_at_once(&run);
                    }
                }
            });
        })
        .context("failed to start the thread that listens to signals")?;
    ready.recv()?.context("failed to listen to signals")
}

/// A closed terminal (SIGHUP) is a wish to stop, too.
pub(super) fn handlers() -> std::io::Result<Vec<Signal>> {
    [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
    .into_iter()
    .map(signal)
    .collect()
}

/// The next of these signals.
pub(super) async fn next(handlers: &mut [Signal]) {
    select_all(handlers.iter_mut().map(|handler| Box::pin(handler.recv()))).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "skipping the teardown is what was asked for"
)]
fn leave_at_once(run: &RunId) -> ! {
    let hint = format!("remove what is left with: stackgate clean {run}");
    super::complain("left before everything was removed", &[hint]);
    std::process::exit(Exit::Interrupted.code().into())
}
