//! Draws the run as it happens on standard error: lines that stay, and below them one that moves. Where
//! there is no terminal, the moving line is printed every 30 seconds instead.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Progress;
use super::screen::Screen;
use crate::record::{Event, Sink, What};
use crate::report::text::cut;

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
    lines: Vec<String>,
    /// The run's milliseconds at the last event, and when that was.
    seen: (u64, Instant),
    ended: bool,
}

impl Live {
    /// Starts to draw.
    #[must_use]
    pub fn new(screen: Screen) -> Self {
        let canvas = if screen.is_terminal {
            Canvas::moving(screen)
        } else {
            Canvas::Plain
        };
        Self::on(canvas, screen)
    }

    fn on(canvas: Canvas, screen: Screen) -> Self {
        let state = State {
            progress: Progress::new(screen),
            lines: Vec::new(),
            seen: (0, Instant::now()),
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let drawn = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("live view".to_owned())
            .spawn(move || drawn.draw(&canvas));
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

    fn draw(&self, canvas: &Canvas) {
        let period = canvas.period();
        let mut next = Instant::now() + period;
        let mut state = self.lock();
        loop {
            let lines = std::mem::take(&mut state.lines);
            let due = Instant::now() >= next;
            if due {
                next = Instant::now() + period;
            }
            let now = state.now();
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
    fn now(&self) -> Option<String> {
        let (elapsed_ms, at) = self.seen;
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress.now(elapsed_ms.saturating_add(since))
    }
}

/// Where it is drawn.
enum Canvas {
    /// A terminal: one line moves.
    Moving(Screen, ProgressBar),
    /// Lines only.
    Plain,
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
            Self::Plain => QUIET,
        }
    }

    fn draw(&self, lines: &[String], now: Option<String>, due: bool) {
        match self {
            Self::Moving(screen, bar) => {
                // Two columns of margin, the spinner, a space, and the last column, in which some
                // terminals wrap.
                let columns = screen.columns().unwrap_or(80).saturating_sub(5);
                for line in lines {
                    bar.println(line);
                }
                bar.set_message(cut(&now.unwrap_or_default(), columns).into_owned());
                if due {
                    bar.tick();
                }
            }
            Self::Plain => {
                let mut text = String::new();
                for line in lines {
                    text.push_str(line);
                    text.push('\n');
                }
                if let Some(now) = now.filter(|_| due) {
                    text.push_str(&format!("  … {now}\n"));
                }
                let _ = std::io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }

    fn clear(&self) {
        if let Self::Moving(_, bar) = self {
            bar.finish_and_clear();
        }
    }
}
