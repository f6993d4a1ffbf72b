//! `conformance`, the image of Kubernetes' conformance tests: it takes its time, says how far it is, and
//! leaves a JUnit report that is as real ones are.
//!
//! What a script in a second container of this image does cannot be simulated. One that a shell is told to
//! run there is taken for one that hands out the report, line by line: `progress` with how many cases will
//! run, have ended, have failed, and were flaky; then `results begin`, the report packed by gzip in base64,
//! and `results end`.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_xml::Writer;
use quick_xml::events::BytesText;
use regex::Regex;
use serde_json::Value;

use super::program::{End, Listens, Program, Run, Start};
use crate::object::{list, text};

/// How long setting up takes, and the second container between two looks.
const MOMENT: Duration = Duration::from_secs(5);
/// How many characters a line of the packed report has.
const LINE: usize = 4096;

/// What the tests do, apart from what they are asked to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Course {
    /// Every case passes.
    #[default]
    Well,
    /// Cases with one of these in their names fail.
    Fails(Vec<String>),
    /// So do those, but pass when they are tried again.
    Flaky(Vec<String>),
    /// What has to be there before the first case is not.
    NotSetUp,
    /// They end at once, without a report.
    NoReport,
    /// They never come to an end.
    Hangs,
    /// They are killed from outside, half-way.
    Killed,
    /// The report is cut off on its way out.
    CutOff,
}

/// The program.
#[derive(Clone, Debug)]
pub struct Conformance {
    /// The names of all cases.
    pub cases: Vec<String>,
    /// How long one takes.
    pub takes: Duration,
    /// What they do.
    pub course: Course,
}

impl Default for Conformance {
    /// As many cases as Kubernetes 1.35 has, of names made up but for one.
    fn default() -> Self {
        let mut cases = vec![
            "[sig-node] Pods should be submitted and removed [NodeConformance] [Conformance]"
                .to_owned(),
        ];
        for number in 1..441 {
            let tags = match number {
                1..=2 => "[Serial] [Disruptive] ",
                3..=28 => "[Serial] ",
                _ => "",
            };
            let group = ["apps", "network", "node", "storage"][number % 4];
            cases.push(format!(
                "[sig-{group}] Simulated {tags}thing {number} should be as specified [Conformance]"
            ));
        }
        for number in 1..=50 {
            cases.push(format!(
                "[sig-network] Netpol NetworkPolicy between server and client should hold in case {number} [Feature:NetworkPolicy]"
            ));
        }
        for number in 1..=60 {
            cases.push(format!("[sig-cloud] Simulated thing {number} of a cloud"));
        }
        Self {
            cases,
            takes: Duration::from_secs(10),
            course: Course::Well,
        }
    }
}

impl Conformance {
    /// The same tests, another course.
    #[must_use]
    pub fn with(course: Course) -> Self {
        Self {
            course,
            ..Self::default()
        }
    }
}

impl Program for Conformance {
    fn start(&self, start: &mut Start<'_>) -> Run {
        let words = start.words();
        let by_shell = |words: &[String]| {
            let first = words.first().map(|word| word.rsplit('/').next());
            matches!(first, Some(Some("sh" | "bash" | "dash")))
        };
        let image = text(start.container, "/image");
        let tests = list(start.pod, "/spec/containers")
            .iter()
            .find(|container| {
                text(container, "/image") == image && list(container, "/command").is_empty()
            });
        let of = |container: &Value| self.asked(container);
        if by_shell(&words) {
            // Without the tests beside it there is nothing to wait for that would come.
            return tests.map_or_else(endless, |tests| match of(tests) {
                Some(asked) => asked.handed_out(),
                None => run(MOMENT * 2, 0, vec![(MOMENT * 2, "results none".to_owned())]),
            });
        }
        match of(start.container) {
            Some(asked) => asked.tested(),
            None => run(
                MOMENT,
                1,
                vec![(MOMENT, "running command: exit status 1".to_owned())],
            ),
        }
    }
}

fn run(after: Duration, code: i32, logs: Vec<(Duration, String)>) -> Run {
    Run {
        ready_after: Some(Duration::ZERO),
        end: Some(End {
            after,
            code,
            message: String::new(),
        }),
        logs,
        asks: Vec::new(),
        listens: Listens::At(Vec::new()),
        stops_after: Duration::from_secs(30),
    }
}

fn endless() -> Run {
    Run {
        end: None,
        ..run(Duration::ZERO, 0, Vec::new())
    }
}

/// How a case ended, in the words of ginkgo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Passed,
    Failed,
    Skipped,
}

/// What a container of the image is asked to do, and what comes of it.
struct Asked<'a> {
    tests: &'a Conformance,
    focus: String,
    skip: String,
    processes: u32,
    attempts: u32,
    dry: bool,
    states: Vec<State>,
    /// How many of those that run fail at first and pass then.
    flaky: usize,
}

impl Conformance {
    /// What a container is asked for by its environment; nothing when that makes no sense to ginkgo, or
    /// the tests end at once.
    fn asked(&self, container: &Value) -> Option<Asked<'_>> {
        let set = |name: &str| {
            let mut all = list(container, "/env").iter();
            let found = all.find(|one| one["name"] == name);
            found.map(|one| text(one, "/value").to_owned())
        };
        let of = |name: &str| set(name).unwrap_or_default();
        let or = |text: String, default: &str| match text.as_str() {
            "" => default.to_owned(),
            _ => text,
        };
        let focus = or(of("E2E_FOCUS"), r"\[Conformance\]");
        let extra = of("E2E_EXTRA_GINKGO_ARGS");
        let flag = |name: &str| {
            let mut words = extra.split(' ');
            words.find_map(|word| word.strip_prefix(name)?.parse::<u32>().ok())
        };
        let (mut skip, mut processes) = (of("E2E_SKIP"), flag("--procs=").unwrap_or(1));
        if matches!(of("E2E_PARALLEL").as_str(), "y" | "Y" | "true") {
            processes = processes.max(2);
            skip = or(skip, r"\[Serial\]");
        }
        let wanted = Regex::new(&focus).ok()?;
        let unwanted = Regex::new(&skip).ok()?;
        if self.course == Course::NoReport {
            return None;
        }
        let attempts = flag("--flake-attempts=").unwrap_or(0);
        let dry = !of("E2E_DRYRUN").is_empty();
        let mut flaky = 0;
        let state = |name: &String| {
            let selected = wanted.is_match(name) && (skip.is_empty() || !unwanted.is_match(name));
            let fails = |words: &Vec<String>| words.iter().any(|word| name.contains(word));
            match &self.course {
                _ if !selected => State::Skipped,
                Course::NotSetUp => State::Skipped,
                Course::Fails(words) if !dry && fails(words) => State::Failed,
                Course::Flaky(words) if !dry && fails(words) && attempts > 1 => {
                    flaky += 1;
                    State::Passed
                }
                Course::Flaky(words) if !dry && fails(words) => State::Failed,
                _ => State::Passed,
            }
        };
        let states = self.cases.iter().map(state).collect();
        Some(Asked {
            tests: self,
            focus,
            skip,
            processes,
            attempts,
            dry,
            states,
            flaky,
        })
    }
}

impl Asked<'_> {
    fn count(&self, state: State) -> usize {
        self.states.iter().filter(|one| **one == state).count()
    }

    /// When the case of this place among those that run has ended.
    fn ended(&self, place: usize) -> Duration {
        let rounds = u32::try_from(place)
            .unwrap_or(u32::MAX)
            .div_ceil(self.processes);
        let takes = if self.dry {
            Duration::ZERO
        } else {
            self.tests.takes
        };
        MOMENT + takes * rounds
    }

    /// How many cases run.
    fn ran(&self) -> usize {
        self.states.len() - self.count(State::Skipped)
    }

    fn succeeded(&self) -> bool {
        self.count(State::Failed) == 0 && self.tests.course != Course::NotSetUp
    }

    /// The container of the tests.
    fn tested(&self) -> Run {
        let (ran, all) = (self.ran(), self.states.len());
        let end = self.ended(ran);
        let begin = (MOMENT, format!("Will run {ran} of {all} specs"));
        match self.tests.course {
            Course::Hangs => Run {
                logs: vec![begin],
                ..endless()
            },
            Course::Killed => run(end / 2, 137, vec![begin]),
            _ => {
                let word = if self.succeeded() {
                    "SUCCESS!"
                } else {
                    "FAIL!"
                };
                let (passed, failed) = (self.count(State::Passed), self.count(State::Failed));
                let told = format!("{word} -- {passed} Passed | {failed} Failed");
                run(end, i32::from(!self.succeeded()), vec![begin, (end, told)])
            }
        }
    }

    /// The container beside it.
    fn handed_out(&self) -> Run {
        let ran = self.ran();
        let (mut logs, mut failed) = (vec![(Duration::ZERO, "progress 0 0 0 0".to_owned())], 0);
        let states = self.states.iter().filter(|state| **state != State::Skipped);
        for (place, state) in states.enumerate() {
            failed += usize::from(*state == State::Failed);
            let flaky = if place + 1 == ran { self.flaky } else { 0 };
            let told = format!("progress {ran} {} {failed} {flaky}", place + 1);
            logs.push((self.ended(place + 1), told));
        }
        if matches!(self.tests.course, Course::Hangs | Course::Killed) {
            logs.truncate(1 + ran / 2);
            return Run { logs, ..endless() };
        }
        let end = self.ended(ran) + MOMENT;
        let mut packed = packed(&self.report());
        if self.tests.course == Course::CutOff {
            packed.truncate(packed.len() / 2);
        }
        let lines = packed.as_bytes().chunks(LINE);
        let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
        let all = std::iter::once("results begin".to_owned()).chain(lines);
        logs.extend(all.map(|line| (end, line)));
        if self.tests.course != Course::CutOff {
            logs.push((end, "results end".to_owned()));
        }
        run(end, 0, logs)
    }

    /// The report, as ginkgo writes it for Kubernetes.
    fn report(&self) -> String {
        let suite = "Kubernetes e2e suite";
        let set_up = self.tests.course != Course::NotSetUp;
        let bad = self.count(State::Failed) + usize::from(!set_up);
        let tests = (self.states.len() + 1).to_string();
        let (skipped, bad) = (self.count(State::Skipped).to_string(), bad.to_string());
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        let written = writer
            .create_element("testsuites")
            .with_attributes([
                ("tests", tests.as_str()),
                ("disabled", &skipped),
                ("errors", "0"),
                ("failures", &bad),
            ])
            .write_inner_content(|writer| {
                writer
                    .create_element("testsuite")
                    .with_attributes([
                        ("name", suite),
                        ("tests", &tests),
                        ("disabled", "0"),
                        ("skipped", &skipped),
                        ("errors", "0"),
                        ("failures", &bad),
                    ])
                    .write_inner_content(|writer| {
                        self.properties(writer)?;
                        for (name, state) in self.tests.cases.iter().zip(&self.states) {
                            case(writer, &format!("[It] {name}"), *state)?;
                        }
                        let state = if set_up { State::Passed } else { State::Failed };
                        case(writer, "[SynchronizedBeforeSuite]", state)
                    })?;
                Ok(())
            })
            .is_ok();
        let text = written.then(|| String::from_utf8(writer.into_inner()).ok());
        text.flatten().unwrap_or_default()
    }

    fn properties(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let (attempts, processes) = (self.attempts.to_string(), self.processes.to_string());
        let words = |truth: bool| if truth { "true" } else { "false" };
        let all = [
            ("SuiteSucceeded", words(self.succeeded())),
            ("SpecialSuiteFailureReason", ""),
            ("FocusStrings", &self.focus),
            ("SkipStrings", &self.skip),
            ("FlakeAttempts", &attempts),
            ("DryRun", words(self.dry)),
            ("ParallelTotal", &processes),
        ];
        let element = writer.create_element("properties");
        element.write_inner_content(|writer| {
            for (name, value) in all {
                let property = writer.create_element("property");
                property
                    .with_attributes([("name", name), ("value", value)])
                    .write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn case(writer: &mut Writer<Vec<u8>>, name: &str, state: State) -> std::io::Result<()> {
    let status = match state {
        State::Passed => "passed",
        State::Failed => "failed",
        State::Skipped => "skipped",
    };
    let element = writer.create_element("testcase").with_attributes([
        ("name", name),
        ("status", status),
        ("time", "0"),
    ]);
    match state {
        State::Passed => element.write_empty()?,
        State::Skipped => element.write_inner_content(|writer| {
            let skipped = writer.create_element("skipped");
            skipped
                .with_attribute(("message", "skipped"))
                .write_empty()?;
            Ok(())
        })?,
        State::Failed => element.write_inner_content(|writer| {
            let said = BytesText::new("[FAILED] the simulation was told to let it fail");
            let failure = writer.create_element("failure");
            failure
                .with_attributes([("message", ""), ("type", "failed")])
                .write_text_content(said)?;
            Ok(())
        })?,
    };
    Ok(())
}

fn packed(report: &str) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; what came of it is looked at by whoever reads it.
    let _ = gzip.write_all(report.as_bytes());
    STANDARD.encode(gzip.finish().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(environment: &[(&str, &str)]) -> Value {
        let all: Vec<Value> = environment
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({"env": all})
    }

    #[test]
    fn focus_and_skip_select_as_ginkgo_does() {
        let tests = Conformance::default();
        for (environment, ran) in [
            (vec![], 441),
            (vec![("E2E_FOCUS", "NetworkPolicy")], 50),
            (
                vec![("E2E_FOCUS", "Pods should be submitted and removed")],
                1,
            ),
            (vec![("E2E_SKIP", r"\[Disruptive\]")], 439),
            // The trap of the image's own switch.
            (vec![("E2E_PARALLEL", "true")], 413),
            (vec![("E2E_EXTRA_GINKGO_ARGS", "--procs=4")], 441),
            (vec![("E2E_FOCUS", "no such case")], 0),
        ] {
            let container = container(&environment);
            let asked = tests.asked(&container).unwrap();
            assert_eq!(asked.ran(), ran, "{environment:?}");
        }
        assert!(tests.asked(&container(&[("E2E_FOCUS", "[")])).is_none());
    }

    #[test]
    fn the_report_tells_what_ran_and_how() {
        let fails = Course::Fails(vec!["thing 7 ".to_owned()]);
        let tests = Conformance::with(fails);
        let container = container(&[("E2E_EXTRA_GINKGO_ARGS", "--procs=4 --flake-attempts=2")]);
        let asked = tests.asked(&container).unwrap();
        let report = asked.report();
        for told in [
            "tests=\"552\"",
            "failures=\"1\"",
            "<property name=\"FocusStrings\" value=\"\\[Conformance\\]\"/>",
            "<property name=\"ParallelTotal\" value=\"4\"/>",
            "<property name=\"FlakeAttempts\" value=\"2\"/>",
            "<property name=\"SuiteSucceeded\" value=\"false\"/>",
        ] {
            assert!(report.contains(told), "{told}");
        }
        assert_eq!(report.matches("status=\"failed\"").count(), 1);
        // 441 cases of ten seconds by four, after the set-up.
        assert_eq!(
            asked.tested().end.unwrap().after,
            Duration::from_secs(5 + 1110)
        );
    }
}
