//! What all askers saw of everything that is measured, brought together as it comes in, and told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Probe;
use super::judge;
use super::network::{Agents, Skip};
use super::nodes::Nodes;
pub use super::series::Try;
use super::series::{Series, Stretch, holes};
use super::volume;
use crate::cluster::{Context, Object};
use crate::record::{ProbeBudget, ProbeGap, ProbeResult, ProbeWindow, What};

/// How long a window of samples is, in milliseconds.
const WINDOW: i64 = 10_000;
/// How long after its end a window is complete: lines tell of up to so long ago.
const LATE: i64 = 25_000;
/// How often samples are told.
const TELL: i64 = 60_000;
/// How many gaps of a probe are told one by one.
const GAPS: usize = 200;

/// How far a probe is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It does not count yet.
    Trying,
    /// It counts, since so many milliseconds of the run.
    Measuring(i64),
    /// It never will: why.
    Skipped(String),
}

/// What is known of one probe.
#[derive(Debug)]
pub struct Course {
    /// The probe.
    pub probe: &'static Probe,
    /// What it may lose.
    pub budget: ProbeBudget,
    /// How far it is.
    pub stage: Stage,
    /// The last word of each asker.
    pub words: BTreeMap<String, String>,
    /// What each asker saw, by its name.
    pub series: BTreeMap<String, Series>,
    /// From where each asker looks.
    seen_from: BTreeMap<String, String>,
    /// How many answers took how many milliseconds.
    pub answers: BTreeMap<u32, u64>,
    /// How often it was tried.
    pub tries: u64,
    /// How many of these were lost.
    pub lost: u64,
    /// The longest gap.
    pub longest: Option<ProbeGap>,
    gaps: Vec<Stretch>,
    windows: BTreeMap<i64, Window>,
}

#[derive(Debug, Default)]
struct Window {
    tries: u32,
    lost: u32,
    answers: Vec<u32>,
}

impl Course {
    /// A probe that does not count yet.
    pub fn new(probe: &'static Probe, budget: ProbeBudget, stage: Stage) -> Self {
        Self {
            probe,
            budget,
            stage,
            words: BTreeMap::new(),
            series: BTreeMap::new(),
            seen_from: BTreeMap::new(),
            answers: BTreeMap::new(),
            tries: 0,
            lost: 0,
            longest: None,
            gaps: Vec::new(),
            windows: BTreeMap::new(),
        }
    }

    /// When anybody looked.
    pub fn covered(&self) -> Vec<(i64, i64)> {
        let series = self.series.values();
        series
            .flat_map(|series| series.covered().iter().copied())
            .collect()
    }

    fn windows(&mut self, until: i64) -> Vec<ProbeWindow> {
        let later = self.windows.split_off(&until.div_euclid(WINDOW));
        let told = std::mem::replace(&mut self.windows, later);
        let told = told.into_iter().map(|(number, mut window)| {
            window.answers.sort_unstable();
            let from = number * WINDOW;
            ProbeWindow {
                from_ms: u64::try_from(from).unwrap_or(0),
                to_ms: u64::try_from(from + WINDOW).unwrap_or(0),
                tries: window.tries,
                lost: window.lost,
                median_ms: window.answers.get(window.answers.len() / 2).copied(),
                slowest_ms: window.answers.last().copied(),
            }
        });
        told.collect()
    }
}

/// What is known of all probes; clones are the same.
#[derive(Clone)]
pub struct Measured(Arc<Inner>);

struct Inner {
    context: Context,
    state: Mutex<State>,
    news: Notify,
}

struct State {
    courses: Vec<Course>,
    nodes: Nodes,
    agents: Agents,
    told: i64,
    /// When the run stood still: what was tried then does not count.
    still: Vec<(i64, i64)>,
}

impl Measured {
    /// Of these probes, in this order.
    pub fn new(context: Context, courses: Vec<Course>) -> Self {
        let state = State {
            courses,
            nodes: Nodes::default(),
            agents: Agents::default(),
            told: 0,
            still: Vec::new(),
        };
        Self(Arc::new(Inner {
            context,
            state: Mutex::new(state),
            news: Notify::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run's context.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// The run's time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        let elapsed = self.0.context.recorder.clock().elapsed();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// Resolves when an asker has another answer than before.
    pub fn news(&self) -> Notified<'_> {
        self.0.news.notified()
    }

    /// Looks at, or changes, what is known of a probe.
    pub fn with<T>(&self, probe: &str, look: impl FnOnce(&mut Course) -> T) -> Option<T> {
        let mut state = self.lock();
        let mut courses = state.courses.iter_mut();
        courses.find(|course| course.probe.name == probe).map(look)
    }

    /// Whether a probe is still to begin.
    pub fn is_trying(&self, probe: &str) -> bool {
        let trying = |course: &mut Course| course.stage == Stage::Trying;
        self.with(probe, trying).unwrap_or(false)
    }

    /// From now on a probe counts.
    pub fn begin(&self, probe: &str) {
        let now = self.now_ms();
        let begun = self.with(probe, |course| {
            (course.stage == Stage::Trying).then(|| {
                course.stage = Stage::Measuring(now);
                What::ProbeStarted {
                    probe: course.probe.name.to_owned(),
                    title: course.probe.title.to_owned(),
                    budget: course.budget,
                }
            })
        });
        if let Some(told) = begun.flatten() {
            self.0.context.emit(told);
        }
    }

    /// A probe that has not begun will not.
    pub fn skip(&self, probe: &str, why: impl FnOnce(&Course) -> String) {
        self.with(probe, |course| {
            if course.stage == Stage::Trying {
                course.stage = Stage::Skipped(why(course));
            }
        });
    }

    /// A node is as it was, or another way.
    pub fn saw_node(&self, name: &str, state: super::nodes::Seen) {
        let now = self.now_ms();
        self.lock().nodes.saw(name, state, now);
    }

    /// These Pods are there.
    pub fn saw_pods(&self, pods: &[Arc<Object>]) {
        let now = self.now_ms();
        self.lock().agents.saw(pods, now);
    }

    /// Whether the network left out a step while a probe that failed lost what it failed for.
    pub fn skipped(&self, result: &ProbeResult) -> Option<Skip> {
        self.lock().skipped(result)
    }

    /// An asker, on a node, has tried.
    pub fn take(&self, probe: &str, asker: &str, seen_from: &str, one: &Try<'_>) {
        let now = self.now_ms();
        let mut state = self.lock();
        let State {
            courses,
            nodes,
            still,
            ..
        } = &mut *state;
        let Some(course) = courses.iter_mut().find(|course| course.probe.name == probe) else {
            return;
        };
        let known = course.words.insert(asker.to_owned(), one.word.to_owned());
        let mut events = Vec::new();
        let stood = |(from, to): &(i64, i64)| one.start < *to && *from < one.end;
        let still = still.iter().any(stood);
        match course.stage {
            Stage::Measuring(since) if one.start >= since && !still => {
                let over = course.count(asker, one);
                course
                    .seen_from
                    .insert(asker.to_owned(), seen_from.to_owned());
                if let Some(stretch) = over {
                    events.extend(course.gap(stretch, asker, nodes));
                }
            }
            _ => {}
        }
        if now - state.told >= TELL {
            state.told = now;
            events.extend(state.samples(now - LATE));
        }
        drop(state);
        for event in events {
            self.0.context.emit(event);
        }
        if known.as_deref() != Some(one.word) {
            self.0.news.notify_waiters();
        }
    }

    /// The run stands still, or goes on. What was lost by then has lasted until then, as far as it counts.
    pub fn stands(&self, still: bool) {
        let now = self.now_ms();
        let mut state = self.lock();
        if still {
            state.still.push((now, i64::MAX));
            return;
        }
        let Some((from, _)) = state.still.pop() else {
            return;
        };
        if now <= from {
            // Where the clusters stood still, too, nothing happened meanwhile.
            return;
        }
        state.still.push((from, now));
        let mut events = Vec::new();
        let State { courses, nodes, .. } = &mut *state;
        for course in courses {
            let open: Vec<(String, Stretch)> = course
                .series
                .iter_mut()
                .filter_map(|(asker, series)| Some((asker.clone(), series.close()?)))
                .collect();
            for (asker, stretch) in open {
                events.extend(course.gap(stretch, &asker, nodes));
            }
        }
        drop(state);
        for event in events {
            self.0.context.emit(event);
        }
    }

    /// An asker is gone. What it lost last was its own end where another one was answered meanwhile.
    pub fn ended(&self, asker: &str) {
        let mut state = self.lock();
        let State { courses, nodes, .. } = &mut *state;
        let mut events = Vec::new();
        for course in courses {
            course.words.remove(asker);
            let open = course.series.get_mut(asker).and_then(Series::close);
            let Some(open) = open else { continue };
            let mut others = course.series.iter().filter(|(name, _)| *name != asker);
            let middle = i64::midpoint(open.from, open.to);
            if others.any(|(_, series)| series.well_at(middle)) {
                continue;
            }
            events.extend(course.gap(open, asker, nodes));
        }
        drop(state);
        for event in events {
            self.0.context.emit(event);
        }
    }

    /// Ends all of it, and tells what was measured; where the upgrade has ended, each has to have been measured
    /// after `upgraded`, in milliseconds of the run.
    pub fn finish(&self, upgraded: Option<i64>) -> Vec<ProbeResult> {
        let now = self.now_ms();
        let mut state = self.lock();
        let mut events = Vec::new();
        let State {
            courses,
            nodes,
            still,
            ..
        } = &mut *state;
        for course in courses.iter_mut() {
            let series = course.series.iter_mut();
            let open: Vec<(String, Stretch)> = series
                .filter_map(|(asker, series)| Some((asker.clone(), series.close()?)))
                .collect();
            for (asker, stretch) in open {
                events.extend(course.gap(stretch, &asker, nodes));
            }
            if let (true, Stage::Measuring(since)) = (course.probe.moves, &course.stage) {
                let covered = [course.covered(), still.clone()].concat();
                for hole in holes(covered, (*since, now), judge::PAUSE) {
                    events.extend(course.gap(Stretch::between(hole, "AWAY"), "", nodes));
                }
            }
        }
        events.extend(state.samples(i64::MAX));
        let results: Vec<ProbeResult> = state
            .courses
            .iter()
            .map(|course| {
                let mut result = judge::result(course, now, upgraded, &state.still);
                if let Some(skip) = state.skipped(&result) {
                    result.message = format!("{skip}: {}", result.message);
                }
                result
            })
            .collect();
        drop(state);
        for event in events {
            self.0.context.emit(event);
        }
        for result in &results {
            self.0.context.emit(What::ProbeFinished(result.clone()));
        }
        results
    }
}

impl State {
    fn skipped(&self, result: &ProbeResult) -> Option<Skip> {
        if !judge::is_explained(result) {
            return None;
        }
        if let Some(gap) = judge::too_long(result) {
            let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            return self.agents.skipped((ms(gap.from_ms), ms(gap.to_ms)));
        }
        // All gaps together are the share, none by itself: a step explains it where it explains most of what was lost.
        let mut courses = self.courses.iter();
        let course = courses.find(|course| course.probe.name == result.probe)?;
        let mut lost = 0;
        let mut found = None;
        for gap in &course.gaps {
            if let Some(skip) = self.agents.skipped((gap.from, gap.to)) {
                lost += gap.lost;
                found.get_or_insert(skip);
            }
        }
        found.filter(|_| lost * 2 > result.lost)
    }

    fn samples(&mut self, until: i64) -> Vec<What> {
        let told = self.courses.iter_mut().filter_map(|course| {
            let windows = course.windows(until);
            (!windows.is_empty()).then(|| What::ProbeSamples {
                probe: course.probe.name.to_owned(),
                windows,
            })
        });
        told.collect()
    }
}

impl Course {
    fn count(&mut self, asker: &str, one: &Try<'_>) -> Option<Stretch> {
        let lost = (self.probe.is_lost)(one.word);
        let series = self.series.entry(asker.to_owned()).or_default();
        // What must not happen must not happen on a new node either.
        let taken = series.take(one, lost, self.probe.forbids);
        if taken.counts {
            self.tries += 1;
            self.lost += u64::from(lost);
            let window = self
                .windows
                .entry(one.start.div_euclid(WINDOW))
                .or_default();
            window.tries += 1;
            window.lost += u32::from(lost);
            if !lost && !self.probe.forbids {
                let took = u32::try_from(one.end - one.start).unwrap_or(0);
                *self.answers.entry(took).or_default() += 1;
                window.answers.push(took);
            }
        }
        taken.over
    }

    fn gap(&mut self, stretch: Stretch, asker: &str, nodes: &Nodes) -> Option<What> {
        let positive = |ms: i64| u64::try_from(ms).unwrap_or(0);
        let gap = ProbeGap {
            probe: self.probe.name.to_owned(),
            from_ms: positive(stretch.from),
            to_ms: positive(stretch.to),
            reason: stretch.word.clone(),
            seen_from: self.seen_from.get(asker).cloned().unwrap_or_default(),
            meanwhile: nodes.meanwhile(stretch.from, stretch.to),
        };
        // Data that is gone is worse than data that is away, for however long.
        let weight = |gap: &ProbeGap| (gap.reason == volume::GONE, gap.length_ms());
        if self
            .longest
            .as_ref()
            .is_none_or(|longest| weight(&gap) > weight(longest))
        {
            self.longest = Some(gap.clone());
        }
        self.gaps.push(stretch);
        (self.gaps.len() <= GAPS).then_some(What::ProbeGap(gap))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster::Interrupt;
    use crate::probe::{api, service};
    use crate::record::{Clock, Outcome, Recorder};

    /// One probe, which may lose something for ten seconds, and a share.
    fn trying(probe: &'static Probe, share: Option<f64>, folder: &std::path::Path) -> Measured {
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder, clock, vec![]).unwrap();
        let run = "7f3a09bc".parse().unwrap();
        let context = Context::new(run, recorder, Interrupt::default(), 1.0);
        let budget = ProbeBudget {
            longest_gap_ms: 10_000,
            share_lost_percent: share,
        };
        Measured::new(context, vec![Course::new(probe, budget, Stage::Trying)])
    }

    /// Tries every two seconds, with the same answer.
    async fn tries(measured: &Measured, probe: &str, count: u32, word: &str) {
        for _ in 0..count {
            tokio::time::advance(Duration::from_secs(2)).await;
            let end = measured.now_ms();
            let start = end - 10;
            measured.take(probe, api::HERE, api::HERE, &Try { start, end, word });
        }
    }

    /// What comes of an API server that is away for six seconds before two minutes in which nobody is to look, and
    /// all the time then.
    async fn measured(stands_still: bool) -> ProbeResult {
        let folder = tempfile::tempdir().unwrap();
        let measured = trying(&api::PROBE, None, folder.path());
        let name = api::PROBE.name;
        let tries = async |count, word| tries(&measured, name, count, word).await;
        measured.begin(name);
        tries(10, "ok").await;
        tries(3, "TIMEOUT").await;
        if stands_still {
            measured.stands(true);
        }
        tries(60, "TIMEOUT").await;
        if stands_still {
            measured.stands(false);
        }
        let upgraded = measured.now_ms();
        tries(10, "ok").await;
        measured.finish(Some(upgraded)).remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_while_the_run_stands_still_does_not_count() {
        let result = measured(true).await;
        assert_eq!((result.tries, result.lost), (23, 3));
        assert_eq!(result.outcome, Outcome::Pass, "{}", result.message);
        assert_eq!(result.unmeasured_ms, 0);
        let gap = result.longest_gap.unwrap();
        assert_eq!((gap.from_ms, gap.to_ms), (21_990, 26_000));
        let result = measured(false).await;
        assert_eq!((result.tries, result.lost), (83, 63));
        assert_eq!(result.outcome, Outcome::Fail, "{}", result.message);
    }

    /// What a probe says that loses tries while agents of the network are two versions apart, and others once they are
    /// not: so many in a row, so often.
    async fn of_a_step(during: (u32, u32), later: (u32, u32)) -> ProbeResult {
        let folder = tempfile::tempdir().unwrap();
        let measured = trying(&service::PROBE, Some(2.0), folder.path());
        let name = service::PROBE.name;
        let tries = async |count, word| tries(&measured, name, count, word).await;
        let lose = async |(row, times): (u32, u32)| {
            for _ in 0..times {
                tries(row, "TIMEOUT").await;
                tries(1, "ok").await;
            }
        };
        let agent = |uid: &str, version: &str| {
            let owners = json!([{"kind": "DaemonSet", "name": "cilium"}]);
            let image = format!("quay.io/cilium/cilium:{version}");
            let pod = json!({"kind": "Pod", "spec": {"containers": [{"image": image}]},
                "metadata": {"namespace": "kube-system", "name": uid, "uid": uid, "ownerReferences": owners}});
            Arc::new(Object::new("workload", pod))
        };
        let (old, new) = (agent("a", "v1.16.6"), agent("b", "v1.18.9"));
        measured.begin(name);
        measured.saw_pods(std::slice::from_ref(&old));
        tries(20, "ok").await;
        measured.saw_pods(&[old, new.clone()]);
        lose(during).await;
        measured.saw_pods(&[new]);
        tries(20, "ok").await;
        lose(later).await;
        let upgraded = measured.now_ms();
        tries(20, "ok").await;
        measured.finish(Some(upgraded)).remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_explains_what_a_probe_failed_for_and_nothing_else_issue_7() {
        for (during, later, is_named) in [
            // By its share alone: most of what was lost has to be lost by the step.
            ((1, 3), (1, 1), true),
            ((1, 2), (1, 2), false),
            ((2, 1), (1, 3), false),
            // By a gap: that has to be one of the step.
            ((7, 1), (1, 20), true),
            ((1, 20), (7, 1), false),
        ] {
            let result = of_a_step(during, later).await;
            assert_eq!(result.outcome, Outcome::Fail, "{}", result.message);
            let named = result.message.starts_with("DaemonSet kube-system/cilium");
            assert_eq!(named, is_named, "{during:?} {later:?}: {}", result.message);
        }
    }
}
