//! What must hold of every run, whatever its stack and whatever goes wrong.

mod junit;
mod stream;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::scenario::Scenario;
use crate::engine::embedded::faults::Class;
use crate::record::{self, Event, Verdict, What};
use crate::report::{self, STREAM, Summary};

/// A run that has ended, its reports written.
pub(super) struct Ended<'a> {
    /// What was run.
    pub scenario: &'a Scenario,
    /// What its gate said.
    pub verdict: Verdict,
    /// Which faults were given and never happened.
    pub unmet: &'a [String],
    /// What it made and that is still there, by name.
    pub left: &'a [String],
    /// The folder with its stream and reports.
    pub folder: &'a Path,
    /// Whether the page is among them.
    pub has_page: bool,
}

/// Everything that does not hold of a run.
pub(super) fn violations(ended: &Ended<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    let class = ended.scenario.class();
    violations.extend(of_verdict(class, ended.verdict, ended.unmet));
    violations.extend(ended.left.iter().map(|what| format!("left behind: {what}")));
    match stream(ended.folder) {
        Ok(events) => violations.extend(stream::violations(&events, ended.verdict)),
        Err(error) => violations.push(format!("the stream cannot be read: {error:#}")),
    }
    if let Err(error) = reports(ended.folder, ended.has_page) {
        violations.push(format!("a report is not valid: {error:#}"));
    }
    violations
}

fn of_verdict(class: Option<Class>, verdict: Verdict, unmet: &[String]) -> Option<String> {
    let good = match class {
        Some(Class::Fatal) => verdict == Verdict::Closed,
        // Some accidents hit some requests only, and may hit none: that must be said.
        Some(Class::Transport) if !unmet.is_empty() => verdict == Verdict::None,
        Some(Class::Transport) | None => verdict == Verdict::Open,
    };
    let met = match class {
        Some(Class::Fatal) => "with a fatal fault",
        Some(Class::Transport) if !unmet.is_empty() => "whose accident never happened",
        Some(Class::Transport) => "with accidents of the connection only",
        None => "without any fault",
    };
    (!good).then(|| format!("a run {met} ends with the verdict {verdict:?}"))
}

/// The run's events.
pub(super) fn stream(folder: &Path) -> Result<Vec<Event>> {
    record::read(&folder.join(STREAM))?.collect()
}

/// What the folder of a run holds, and nothing else.
fn expected(has_page: bool) -> Vec<&'static str> {
    let mut expected = vec![STREAM, "junit.xml", "summary.json"];
    expected.extend(has_page.then_some(report::PAGE));
    expected
}

/// Reads the reports back, each by the rules of its schema.
fn reports(folder: &Path, has_page: bool) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let expected = expected(has_page);
    for wanted in &expected {
        ensure!(
            names.iter().any(|name| name == wanted),
            "there is no {wanted}"
        );
    }
    names.retain(|name| !expected.contains(&name.as_str()));
    ensure!(
        names.is_empty(),
        "nobody asked for the files {}",
        names.join(", ")
    );
    let text = std::fs::read(folder.join("summary.json"))?;
    summary(&text, &Summary::read(&folder.join(STREAM))?).context("summary.json")?;
    let text = std::fs::read(folder.join("junit.xml"))?;
    junit::judge(&text).context("junit.xml")
}

/// A summary is what the stream says, in the types that its schema is made of: these refuse what they do not
/// know, so that nothing else is in it.
fn summary(text: &[u8], stream: &Summary) -> Result<()> {
    let told: Summary = serde_json::from_slice(text)?;
    ensure!(told == *stream, "it is not what the stream says");
    ensure!(told.rehearsal.is_some(), "it is silent on the rehearsal");
    let shown: serde_json::Value = serde_json::from_slice(text)?;
    ensure!(
        shown == serde_json::to_value(&told)?,
        "it has more or less than its schema"
    );
    Ok(())
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

/// Where two streams of the same seed part.
pub(super) fn difference(one: &[String], other: &[String]) -> Option<String> {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    match differs {
        Some(at) => Some(format!(
            "the same seed gives another stream from event {at} on: {} / {}",
            one[at], other[at]
        )),
        None if one.len() != other.len() => Some(format!(
            "the same seed gives {} events, then {}",
            one.len(),
            other.len()
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Clock, FORMAT, Recorder, Rehearsal, ReleaseRef, RunId};

    #[test]
    fn a_verdict_is_judged_by_what_went_wrong() {
        use Class::{Fatal, Transport};
        for (class, verdict, good) in [
            (None, Verdict::Open, true),
            (None, Verdict::Closed, false),
            (None, Verdict::None, false),
            (Some(Transport), Verdict::None, false),
            (Some(Transport), Verdict::Closed, false),
            (Some(Transport), Verdict::Open, true),
            (Some(Fatal), Verdict::Open, false),
            (Some(Fatal), Verdict::None, false),
            (Some(Fatal), Verdict::Closed, true),
            (Some(Fatal), Verdict::NothingRan, false),
        ] {
            assert_eq!(
                of_verdict(class, verdict, &[]).is_none(),
                good,
                "{class:?} {verdict:?}"
            );
        }
    }

    #[test]
    fn an_accident_that_never_happened_is_no_proof() {
        let unmet = ["fault gone never happened".to_owned()];
        let class = Some(Class::Transport);
        assert_eq!(of_verdict(class, Verdict::None, &unmet), None);
        assert!(of_verdict(class, Verdict::Open, &unmet).is_some());
        assert!(of_verdict(Some(Class::Fatal), Verdict::None, &unmet).is_some());
    }

    #[test]
    fn streams_are_the_same_or_it_is_told_where_they_part() {
        let stream = |events: &[&str]| -> Vec<String> {
            events.iter().map(|event| (*event).to_owned()).collect()
        };
        let one = stream(&["a", "b"]);
        assert_eq!(difference(&one, &one), None);
        let told = difference(&one, &stream(&["a", "c"])).unwrap();
        assert!(told.contains("from event 1 on: b / c"), "{told}");
        let told = difference(&one, &stream(&["a"])).unwrap();
        assert!(told.contains("2 events, then 1"), "{told}");
    }

    /// The beginning of a run.
    pub(super) fn started(rehearsal: Option<Rehearsal>) -> What {
        let release = || ReleaseRef {
            tag: "demo-1".to_owned(),
            kubernetes: "v1.35.0".to_owned(),
        };
        What::RunStarted {
            run: RunId::of_seed(1),
            format: FORMAT,
            version: "0".to_owned(),
            stack: "demo".to_owned(),
            from: release(),
            to: release(),
            engine: "embedded".to_owned(),
            delivery: "direct".to_owned(),
            command: Vec::new(),
            rehearsal,
        }
    }

    /// A folder with a short run and its reports.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        let rehearsal = Rehearsal {
            seed: 1,
            missing: Vec::new(),
            faults: Vec::new(),
            missing_images: Vec::new(),
            reproduce: String::new(),
        };
        recorder.emit(started(Some(rehearsal)));
        report::write_all(folder.path()).unwrap();
        folder
    }

    #[test]
    fn reports_are_read_back_and_what_is_wrong_with_one_is_told() {
        let folder = folder();
        reports(folder.path(), true).unwrap();
        let file = |name: &str| folder.path().join(name);
        let summary = std::fs::read_to_string(file("summary.json")).unwrap();
        let told = |name: &str, text: &str| {
            let before = std::fs::read(file(name)).unwrap();
            std::fs::write(file(name), text).unwrap();
            let told = format!("{:#}", reports(folder.path(), true).unwrap_err());
            std::fs::write(file(name), before).unwrap();
            told
        };
        let more = summary.replacen('{', "{\"more\": 1,", 1);
        assert!(told("summary.json", &more).contains("unknown field `more`"));
        let other = summary.replace("\"demo\"", "\"other\"");
        assert!(told("summary.json", &other).contains("not what the stream says"));
        assert!(told("junit.xml", "<testsuites/>").contains("junit.xml"));
        std::fs::write(file("notes.tmp"), "").unwrap();
        let error = reports(folder.path(), true).unwrap_err().to_string();
        assert_eq!(error, "nobody asked for the files notes.tmp");
        std::fs::remove_file(file("notes.tmp")).unwrap();
        std::fs::remove_file(file(report::PAGE)).unwrap();
        let error = reports(folder.path(), true).unwrap_err().to_string();
        assert_eq!(error, "there is no report.html");
        reports(folder.path(), false).unwrap();
    }
}
