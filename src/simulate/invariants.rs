//! What must hold of every run, whatever its stack and whatever goes wrong.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::scenario::Scenario;
use crate::engine::embedded::faults::Class;
use crate::record::{self, Event, Phase, PhaseOutcome, Verdict, What};
use crate::report::{STREAM, Summary};

/// How much longer than its deadline a phase may take: what its waits need to end by themselves.
const GRACE: f64 = 11.0;

/// Everything that does not hold of the run in `folder`, whose reports are written.
pub(super) fn violations(scenario: &Scenario, verdict: Verdict, folder: &Path) -> Vec<String> {
    let mut violations = Vec::new();
    violations.extend(of_verdict(scenario.class(), verdict));
    match stream(folder) {
        Ok(events) => violations.extend(of_stream(&events)),
        Err(error) => violations.push(format!("the stream cannot be read: {error:#}")),
    }
    if let Err(error) = reports(folder) {
        violations.push(format!("a report is not valid: {error:#}"));
    }
    violations
}

fn of_verdict(class: Option<Class>, verdict: Verdict) -> Option<String> {
    let good = match class {
        Some(Class::Fatal) => matches!(verdict, Verdict::Closed | Verdict::None),
        Some(Class::Transport) | None => verdict == Verdict::Open,
    };
    let met = match class {
        Some(Class::Fatal) => "with a fatal fault",
        Some(Class::Transport) => "with accidents of the connection only",
        None => "without any fault",
    };
    (!good).then(|| format!("a run {met} ends with the verdict {verdict:?}"))
}

/// The run's events.
pub(super) fn stream(folder: &Path) -> Result<Vec<Event>> {
    record::read(&folder.join(STREAM))?.collect()
}

fn of_stream(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut waits: BTreeMap<(Phase, String), u64> = BTreeMap::new();
    let mut phases: BTreeMap<Phase, u64> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::WaitStarted {
                phase,
                what,
                deadline_s,
            } => {
                if *deadline_s == 0 {
                    violations.push(format!("the wait for {what} has no deadline"));
                }
                waits.insert((*phase, what.clone()), *deadline_s);
            }
            What::WaitFinished {
                phase,
                what,
                seconds,
                ..
            } => {
                let deadline = waits.remove(&(*phase, what.clone())).unwrap_or_default();
                if *seconds > deadline as f64 + 1.0 {
                    violations.push(format!(
                        "the wait for {what} took {seconds:.1} s of {deadline} s"
                    ));
                }
            }
            What::PhaseStarted { phase, deadline_s } => {
                phases.insert(*phase, *deadline_s);
            }
            What::PhaseFinished {
                phase,
                outcome,
                seconds,
                message,
            } => {
                let started = phases.remove(phase);
                if started.is_some_and(|deadline| *seconds > deadline as f64 + GRACE) {
                    violations.push(format!("phase {phase} took {seconds:.1} s"));
                }
                if *phase == Phase::Teardown && *outcome != PhaseOutcome::Passed {
                    let message = message.as_deref().unwrap_or_default();
                    violations.push(format!("the teardown did not pass: {message}"));
                }
            }
            _ => {}
        }
    }
    violations.extend(
        phases
            .keys()
            .map(|phase| format!("phase {phase} never ends")),
    );
    if let Some(event) = events
        .iter()
        .enumerate()
        .find(|(at, event)| event.seq != *at as u64)
    {
        violations.push(format!("event {} is missing", event.0));
    }
    let verdicts = events
        .iter()
        .filter(|event| matches!(event.what, What::Verdict { .. }));
    if verdicts.count() == 0 {
        violations.push("there is no verdict in the stream".to_owned());
    }
    violations
}

/// Reads the reports back.
fn reports(folder: &Path) -> Result<()> {
    let summary = std::fs::read(folder.join("summary.json")).context("no summary.json")?;
    let summary: Summary = serde_json::from_slice(&summary).context("summary.json")?;
    ensure!(
        summary.rehearsal.is_some(),
        "summary.json is silent on the rehearsal"
    );
    let junit = std::fs::read(folder.join("junit.xml")).context("no junit.xml")?;
    let (announced, cases) = cases(&junit).context("junit.xml")?;
    ensure!(
        announced == cases,
        "junit.xml announces {announced} cases, and has {cases}"
    );
    Ok(())
}

/// How many cases the suites announce, and how many there are.
fn cases(junit: &[u8]) -> Result<(usize, usize)> {
    let mut reader = Reader::from_reader(junit);
    let (mut announced, mut cases) = (0, 0);
    loop {
        match reader.read_event()? {
            Xml::Start(tag) | Xml::Empty(tag) => match tag.name().as_ref() {
                b"testsuite" => {
                    let tests = tag.try_get_attribute("tests")?.context("no tests=")?;
                    let tests = std::str::from_utf8(&tests.value)?;
                    announced += tests.parse::<usize>()?;
                }
                b"testcase" => cases += 1,
                _ => {}
            },
            Xml::Eof => return Ok((announced, cases)),
            _ => {}
        }
    }
}

/// The stream without what was measured of the process: the same for the same seed.
pub(super) fn essence(folder: &Path) -> Result<Vec<String>> {
    let events = stream(folder)?;
    let lasting = events
        .iter()
        .filter(|event| !matches!(event.what, What::Usage(_)));
    lasting
        .map(|event| Ok(serde_json::to_string(event)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_judged_by_what_went_wrong() {
        use Class::{Fatal, Transport};
        for (class, verdict, good) in [
            (None, Verdict::Open, true),
            (None, Verdict::Closed, false),
            (Some(Transport), Verdict::None, false),
            (Some(Transport), Verdict::Open, true),
            (Some(Fatal), Verdict::Open, false),
            (Some(Fatal), Verdict::Closed, true),
            (Some(Fatal), Verdict::NothingRan, false),
        ] {
            assert_eq!(
                of_verdict(class, verdict).is_none(),
                good,
                "{class:?} {verdict:?}"
            );
        }
    }

    fn told(seq: u64, what: What) -> Event {
        let at = jiff::Timestamp::UNIX_EPOCH;
        Event {
            seq,
            at,
            elapsed_ms: 0,
            what,
        }
    }

    #[test]
    fn a_wait_without_a_deadline_and_a_phase_without_an_end_are_told() {
        let wait = What::WaitStarted {
            phase: Phase::Create,
            what: "rain".to_owned(),
            deadline_s: 0,
        };
        let phase = What::PhaseStarted {
            phase: Phase::Create,
            deadline_s: 5,
        };
        let told = of_stream(&[told(0, phase), told(1, wait)]);
        assert_eq!(
            told,
            [
                "the wait for rain has no deadline",
                "phase create never ends",
                "there is no verdict in the stream"
            ]
        );
    }

    #[test]
    fn cases_are_counted() {
        let junit = br#"<testsuites><testsuite tests="2"><testcase/></testsuite></testsuites>"#;
        assert_eq!(cases(junit).unwrap(), (2, 1));
        assert!(cases(b"<testsuites>").is_err() || cases(b"<a></b>").is_err());
    }
}
