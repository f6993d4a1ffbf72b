//! Where a run stands still on request, for somebody to look, and how it goes on from there.

mod desk;
mod keys;
mod point;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

pub use desk::{Wish, ask};
pub use point::Point;

use crate::cluster::Context;
use crate::engine::{Engine, Opened};
use crate::record::{Decision, Pause, Phase, What};
use desk::{Answer, Desk};

/// Where a run stands still, and for how long at most.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    /// Where.
    pub points: Vec<Point>,
    /// After what time by the machine's clock nobody is waited for any more.
    pub at_most: Duration,
    /// Whether the run's time is virtual, and stands still by itself as long as somebody is waited for.
    pub virtual_time: bool,
    /// Whether the keys of the terminal are heard.
    pub keys: bool,
}

/// A pause that is to be made.
pub(super) struct Stop<'a> {
    pub(super) phase: Phase,
    /// Where, in the reader's words.
    pub(super) place: String,
    /// What failed so far.
    pub(super) failed: Vec<String>,
    /// Whether the phase can be begun again.
    pub(super) may_retry: bool,
    pub(super) engine: Option<&'a dyn Engine>,
}

impl Pauses {
    /// Stands still until somebody decides.
    ///
    /// # Errors
    /// When nobody could be heard.
    pub(super) async fn stand(&self, context: &Context, stop: Stop<'_>) -> Result<Decision> {
        let standing = Standing::begin(self.virtual_time);
        if let Some(recording) = &context.recording {
            // What writes it down from time to time stands still, too.
            recording.flush();
        }
        // In the run's own place where there is one, which goes with the run whatever becomes of this process.
        let place = stop.engine.and_then(Engine::private);
        let folder = tempfile::Builder::new()
            .prefix("stackgate-pause-")
            .tempdir_in(place.unwrap_or_else(std::env::temp_dir))
            .context("failed to make a folder for the pause")?;
        let Opened { clusters, served } = open(context, stop.engine, folder.path()).await;
        let (off, called_off) = oneshot::channel();
        let desk = Desk::open(folder.path(), self, stop.may_retry, called_off)?;
        context.emit(What::Paused(Pause {
            phase: stop.phase,
            place: stop.place,
            failed: stop.failed,
            clusters,
            control: desk.path().to_string_lossy().into_owned(),
            keys: desk.hears_keys(),
            may_retry: stop.may_retry,
            at_most_s: self.at_most.as_secs(),
        }));
        let mut answer = standing.wait_for(desk);
        let answer = tokio::select! {
            biased;
            () = context.interrupt.raised() => {
                // Whoever sits at the desk leaves it before time goes on.
                drop(off);
                answer.await
            }
            answer = &mut answer => answer,
        };
        drop(served);
        let Answer {
            decision,
            by,
            seconds,
        } = answer.context("failed to wait at the pause")?;
        context.emit(What::PauseEnded {
            phase: stop.phase,
            decision,
            by,
            seconds,
        });
        Ok(decision)
    }
}

/// Lets people reach the clusters. Who cannot be let in does not keep the run from being paused.
async fn open(context: &Context, engine: Option<&dyn Engine>, folder: &Path) -> Opened {
    let Some(engine) = engine else {
        return Opened::default();
    };
    engine.open(folder).await.unwrap_or_else(|error| {
        context.note(format!("the clusters cannot be looked at: {error:#}"));
        Opened::default()
    })
}

/// While it lives, tokio's clock stands still, and with it every deadline and simulated cluster.
///
/// Virtual time stands as long as a thread is at work; the machine's has to be stopped.
struct Standing {
    orders: mpsc::Sender<Desk>,
    at_work: JoinHandle<Option<Answer>>,
    _stopped: Stopped,
}

/// Lets time go on when it is dropped, if it is this that stopped it.
struct Stopped(bool);

impl Drop for Stopped {
    fn drop(&mut self) {
        if self.0 {
            tokio::time::resume();
        }
    }
}

impl Standing {
    fn begin(virtual_time: bool) -> Self {
        let (orders, ordered) = mpsc::channel::<Desk>();
        let at_work = spawn_blocking(move || ordered.recv().ok().map(Desk::sit));
        if !virtual_time {
            tokio::time::pause();
        }
        Self {
            orders,
            at_work,
            _stopped: Stopped(!virtual_time),
        }
    }

    /// Somebody sits at the desk until there is an answer; then time goes on.
    fn wait_for(self, desk: Desk) -> std::pin::Pin<Box<dyn Future<Output = Result<Answer>>>> {
        Box::pin(async move {
            let Self {
                orders,
                at_work,
                _stopped,
            } = self;
            let _ = orders.send(desk);
            at_work.await?.context("nobody sat at the desk")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::cluster::Interrupt;
    use crate::record::{Clock, Recorder, read};

    /// A pause that nobody ends.
    async fn paused(virtual_time: bool, at_most: Duration) -> (Decision, Vec<What>) {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(folder.path(), Clock::system(), vec![]).unwrap();
        let run = "7f3a09bc".parse().unwrap();
        let context = Context::new(run, recorder, Interrupt::default(), 1.0);
        let pauses = Pauses {
            at_most,
            virtual_time,
            ..Pauses::default()
        };
        let stop = Stop {
            phase: Phase::Upgrade,
            place: "before upgrade".to_owned(),
            failed: Vec::new(),
            may_retry: false,
            engine: None,
        };
        let decision = pauses.stand(&context, stop).await.unwrap();
        let told = read(context.recorder.path()).unwrap();
        (decision, told.map(|event| event.unwrap().what).collect())
    }

    #[tokio::test]
    async fn what_is_due_within_a_pause_is_due_after_it() {
        let rang = Arc::new(AtomicBool::new(false));
        let ring = rang.clone();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            ring.store(true, Ordering::Relaxed);
        });
        tokio::task::yield_now().await;
        let (decision, told) = paused(false, Duration::from_secs(1)).await;
        assert_eq!(decision, Decision::Expires);
        assert!(
            !rang.load(Ordering::Relaxed),
            "a deadline came while the run stood still"
        );
        assert!(matches!(
            told.as_slice(),
            [What::Paused(_), What::PauseEnded { seconds, .. }] if *seconds >= 1.0
        ));
        // It goes on afterwards.
        alarm.await.unwrap();
        assert!(rang.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn virtual_time_stands_as_long_as_somebody_is_waited_for() {
        let began = tokio::time::Instant::now();
        let far = tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
        let (decision, _) = paused(true, Duration::from_millis(50)).await;
        assert_eq!(
            (decision, began.elapsed()),
            (Decision::Expires, Duration::ZERO)
        );
        far.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 3600);
    }
}
