//! Draws the run as it happens on standard error: lines that stay, and below them one that moves. Where
//! there is no terminal, the moving line is printed every 30 seconds instead.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::progress::Progress;
use super::screen::Screen;
use super::sections::Sections;
use crate::record::{Event, Sink, What};

/// How often the moving line is drawn anew. Twice a second looks alive and costs next to nothing.
const FRAME: Duration = Duration::from_millis(500);
/// How often the moving line is printed where there is no terminal.
const QUIET: Duration = Duration::from_secs(30);

/// A live view. Only its own thread draws, so that a slow terminal does not slow the run down.
pub struct Live {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    progress: Progress,
    sections: Sections,
    lines: Vec<String>,
    /// The run's milliseconds at the last event, and when that was.
    seen: (u64, Instant),
    /// Whether the run's time goes on between events as that of the view does; virtual time does not.
    goes_on: bool,
    ended: bool,
}

impl Live {
    /// Starts to draw. With virtual time, the run's time stands still between its events.
    #[must_use]
    pub fn new(screen: Screen, sections: Sections, virtual_time: bool) -> Self {
        let canvas = if screen.is_terminal && sections == Sections::None {
            Canvas::moving(screen)
        } else {
            Canvas::Plain(Box::new(std::io::stderr()), QUIET)
        };
        Self::on(canvas, screen, sections, !virtual_time)
    }

    fn on(mut canvas: Canvas, screen: Screen, sections: Sections, goes_on: bool) -> Self {
        let state = State {
            progress: Progress::new(screen),
            sections,
            lines: Vec::new(),
            seen: (0, Instant::now()),
            goes_on,
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let drawn = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("live view".to_owned())
            .spawn(move || drawn.draw(&mut canvas));
        // Without the thread there is no view, but there is a run.
        Self {
            shared,
            thread: thread.ok(),
        }
    }

    fn end(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sink for Live {
    fn take(&mut self, event: &Event) {
        let mut state = self.shared.lock();
        let lines = state.progress.take(event);
        let lines = state.sections.mark(event, lines);
        state.lines.extend(lines);
        state.seen = (event.elapsed_ms, Instant::now());
        drop(state);
        self.shared.changed.notify_one();
        // What comes after the run must not be mixed with the view of it.
        if matches!(event.what, What::RunFinished { .. }) {
            self.end();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, canvas: &mut Canvas) {
        let period = canvas.period();
        let mut next = Instant::now() + period;
        let mut state = self.lock();
        loop {
            let lines = std::mem::take(&mut state.lines);
            let due = Instant::now() >= next;
            if due {
                next = Instant::now() + period;
            }
            let now = state.now(canvas.columns());
            let ended = state.ended;
            drop(state);
            canvas.draw(&lines, now, due);
            if ended {
                return canvas.clear();
            }
            state = self.lock();
            if state.lines.is_empty() && !state.ended {
                let wait = next.saturating_duration_since(Instant::now());
                let woken = self.changed.wait_timeout(state, wait);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl State {
    fn now(&self, columns: usize) -> Option<String> {
        let (elapsed_ms, at) = self.seen;
        if !self.goes_on {
            return self.progress.now(elapsed_ms, columns);
        }
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress.now(elapsed_ms.saturating_add(since), columns)
    }
}

/// Where it is drawn.
enum Canvas {
    /// A terminal: one line moves.
    Moving(Screen, ProgressBar),
    /// Lines only, and how often the moving one is among them.
    Plain(Box<dyn Write + Send>, Duration),
}

impl Canvas {
    fn moving(screen: Screen) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {spinner} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self::Moving(screen, bar)
    }

    const fn period(&self) -> Duration {
        match self {
            Self::Moving(..) => FRAME,
            Self::Plain(_, period) => *period,
        }
    }

    fn columns(&self) -> usize {
        match self {
            // Two columns of margin, the spinner, a space, and the last column, in which some
            // terminals wrap.
            Self::Moving(screen, _) => screen.columns().unwrap_or(80).saturating_sub(5),
            Self::Plain(..) => usize::MAX,
        }
    }

    fn draw(&mut self, lines: &[String], now: Option<String>, due: bool) {
        match self {
            Self::Moving(_, bar) => {
                for line in lines {
                    bar.println(line);
                }
                bar.set_message(now.unwrap_or_default());
                if due {
                    bar.tick();
                }
            }
            Self::Plain(out, _) => {
                let mut text = String::new();
                for line in lines {
                    text.push_str(line);
                    text.push('\n');
                }
                if let Some(now) = now.filter(|_| due) {
                    text.push_str(&format!("  … {now}\n"));
                }
                // A view that nobody can see is no reason to end the run.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
        }
    }

    fn clear(&self) {
        if let Self::Moving(_, bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use jiff::Timestamp;

    use super::*;
    use crate::record::{Phase, PhaseOutcome};

    /// Hands every write to the test.
    struct Out(mpsc::Sender<String>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn live(period: Duration) -> (Live, mpsc::Receiver<String>) {
        let (out, written) = mpsc::channel();
        let canvas = Canvas::Plain(Box::new(Out(out)), period);
        (
            Live::on(canvas, Screen::PLAIN, Sections::None, true),
            written,
        )
    }

    fn event(seq: u64, what: What) -> Event {
        Event {
            seq,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: seq * 1000,
            what,
        }
    }

    #[test]
    fn all_lines_are_out_when_the_run_has_finished_and_the_thread_is_gone() {
        let (mut live, written) = live(Duration::from_secs(3600));
        for number in 0..100 {
            live.take(&event(
                number,
                What::Note {
                    message: number.to_string(),
                },
            ));
        }
        live.take(&event(
            100,
            What::RunFinished {
                exit_code: 0,
                seconds: 1.0,
            },
        ));
        assert!(live.thread.is_none());
        let text: String = written.try_iter().collect();
        let expected: String = (0..100).map(|number| format!("    {number}\n")).collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn without_a_terminal_the_present_moment_is_told_again_and_again() {
        let (mut live, written) = live(Duration::from_millis(1));
        let phase = Phase::Upgrade;
        live.take(&event(
            0,
            What::PhaseStarted {
                phase,
                deadline_s: 900,
            },
        ));
        let told = |line: &String| line.contains("… upgrade") && line.contains("/ 15:00");
        assert_eq!(written.iter().filter(told).take(2).count(), 2);
        let (outcome, message) = (PhaseOutcome::Passed, None);
        live.take(&event(
            1,
            What::PhaseFinished {
                phase,
                outcome,
                seconds: 1.0,
                message,
            },
        ));
        drop(live);
        let last: String = written.iter().collect();
        assert!(last.contains("✓ upgrade"), "{last}");
    }
}
