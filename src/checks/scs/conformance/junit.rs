//! The JUnit file that the conformance image writes, read into cases. What is cut off is an error.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// How many characters of what a case says of its failure are kept.
const SAID: usize = 300;
/// How the names of test cases begin; other nodes set up, tear down and report.
const CASE: &str = "[It] ";

/// The file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What the suite says of itself: focus, skip, whether it succeeded.
    properties: BTreeMap<String, String>,
    /// How many cases it says that there are.
    announced: Counts,
    /// Every node of the suite, in the order of the file.
    pub nodes: Vec<Node>,
}

/// Nodes in numbers, as the file has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    tests: usize,
    skipped: usize,
    bad: usize,
}

/// A node of the suite: a case, or what is done before, after or beside the cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name as in the file, which tells its kind: `[It] …` is a case.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// What it says of that, in short.
    pub said: String,
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It did what it has to.
    Passed,
    /// It did not.
    Failed,
    /// It was not meant to run, or left itself out.
    Skipped,
    /// It did not come to an end, or the file says something that is not known.
    Unfinished(String),
}

impl Node {
    /// Whether it is a case.
    pub fn is_case(&self) -> bool {
        self.name.starts_with(CASE)
    }

    /// The name without its kind, where it is a case.
    pub fn title(&self) -> &str {
        self.name.strip_prefix(CASE).unwrap_or(&self.name)
    }

    /// Whether it was to run, and left itself out.
    pub fn left_itself_out(&self) -> bool {
        self.state == State::Skipped && self.said.starts_with("skipped - ")
    }
}

impl Report {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not well-formed, not JUnit, or ends too early.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut reading = Reading::default();
        loop {
            let at = reader.buffer_position();
            let event = reader.read_event().map_err(|error| format!("{error}"))?;
            if matches!(event, Event::Eof) {
                break;
            }
            reading
                .take(event)
                .map_err(|error| format!("at byte {at}: {error}"))?;
        }
        reading.done()
    }

    /// What the suite says of itself under a name.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// How many cases ended in a way.
    pub fn count(&self, state: &State) -> usize {
        self.cases().filter(|case| case.state == *state).count()
    }

    /// The cases.
    pub fn cases(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_case())
    }

    /// What the file announces and does not hold; none when it is complete.
    pub fn missing(&self) -> Option<String> {
        let count = |state: State| self.nodes.iter().filter(|node| node.state == state).count();
        let (passed, skipped) = (count(State::Passed), count(State::Skipped));
        let found = Counts {
            tests: self.nodes.len(),
            skipped,
            bad: self.nodes.len() - passed - skipped,
        };
        if found == self.announced {
            return None;
        }
        let told = |counts: Counts| {
            let Counts {
                tests,
                skipped,
                bad,
            } = counts;
            format!("{tests} nodes, {skipped} of them skipped and {bad} failed")
        };
        Some(format!(
            "the file announces {}, and has {}",
            told(self.announced),
            told(found)
        ))
    }
}

/// A file that is being read.
#[derive(Default)]
struct Reading {
    report: Report,
    /// Names of the elements that are open.
    open: Vec<String>,
    /// Whether there was a suite.
    begun: bool,
    node: Option<Draft>,
}

/// A case that is being read.
#[derive(Default)]
struct Draft {
    name: String,
    status: String,
    /// What follows from the elements in it.
    shown: Option<State>,
    said: String,
}

impl Reading {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(start) => {
                self.start(&start)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => {
                let text = text.xml_content(XmlVersion::Implicit1_0);
                self.say(&text.map_err(|error| error.to_string())?);
                Ok(())
            }
            Event::CData(text) => {
                let text = text.xml_content(XmlVersion::Implicit1_0);
                self.say(&text.map_err(|error| error.to_string())?);
                Ok(())
            }
            Event::GeneralRef(reference) => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    self.say(character.encode_utf8(&mut [0; 4]));
                    return Ok(());
                }
                let name = reference.decode().map_err(|error| error.to_string())?;
                let known = resolve_predefined_entity(&name);
                self.say(known.ok_or_else(|| format!("there is no entity `{name}`"))?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let attributes = attributes(start)?;
        let of = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        if self.open.is_empty() && !matches!(name.as_str(), "testsuites" | "testsuite") {
            return Err(format!("this is no JUnit: it begins with <{name}>"));
        }
        match name.as_str() {
            "testsuite" => self.announce(&attributes)?,
            "property" => {
                self.report.properties.insert(of("name"), of("value"));
            }
            "testcase" => {
                self.node = Some(Draft {
                    name: of("name"),
                    status: of("status"),
                    ..Draft::default()
                });
            }
            "skipped" => self.show(State::Skipped, of("message")),
            "failure" | "error" => self.show(State::Failed, of("message")),
            _ => {}
        }
        self.open.push(name);
        Ok(())
    }

    fn announce(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), String> {
        let number = |key: &str| {
            let text = attributes.get(key).map_or("0", String::as_str);
            text.parse::<usize>()
                .map_err(|_| format!("`{text}` is no number of {key}"))
        };
        if !attributes.contains_key("tests") {
            return Err("the suite does not say how many tests it has".to_owned());
        }
        self.begun = true;
        let announced = &mut self.report.announced;
        announced.tests += number("tests")?;
        announced.skipped += number("skipped")? + number("disabled")?;
        announced.bad += number("failures")? + number("errors")?;
        Ok(())
    }

    fn show(&mut self, state: State, message: String) {
        if let Some(node) = &mut self.node {
            node.shown = Some(state);
            node.said = message;
        }
    }

    fn say(&mut self, text: &str) {
        let telling = ["failure", "error"];
        let within = self.open.last().map_or("", String::as_str);
        if let Some(node) = self.node.as_mut().filter(|_| telling.contains(&within)) {
            let room = (4 * SAID).saturating_sub(node.said.len());
            node.said.extend(text.chars().take(room));
        }
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(name) = self.open.pop() else {
            return Err("an element ends that has not begun".to_owned());
        };
        if name == "testcase"
            && let Some(node) = self.node.take()
        {
            self.report.nodes.push(node.into());
        }
        Ok(())
    }

    fn done(self) -> Result<Report, String> {
        match self.open.last() {
            Some(open) => Err(format!("it ends within <{open}>")),
            None if !self.begun => Err("there is no suite in it".to_owned()),
            None => Ok(self.report),
        }
    }
}

impl From<Draft> for Node {
    fn from(draft: Draft) -> Self {
        let Draft {
            name,
            status,
            shown,
            said,
        } = draft;
        let state = match (status.as_str(), shown) {
            ("passed", None) => State::Passed,
            ("failed" | "timedout" | "panicked", Some(State::Failed)) => State::Failed,
            ("skipped" | "pending", Some(State::Skipped)) => State::Skipped,
            ("interrupted" | "aborted", _) => State::Unfinished(status),
            // What contradicts itself is never taken for a pass.
            (other, shown) => State::Unfinished(match shown {
                _ if other.is_empty() => "without a state".to_owned(),
                None => format!("state `{other}`"),
                Some(_) => format!("state `{other}` beside another one"),
            }),
        };
        Self {
            name,
            state,
            said: shortened(&said),
        }
    }
}

/// What is told of a failure: its lines as one, as far as they fit.
fn shortened(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SAID) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        all.insert(key, value.into_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = include_str!("results/one-failed.xml");

    #[test]
    fn cases_and_the_suites_own_nodes_are_told_apart() {
        let report = Report::read(MIXED).unwrap();
        assert_eq!(report.missing(), None);
        assert_eq!(report.nodes.len() - report.cases().count(), 2);
        assert_eq!(report.count(&State::Passed), 2);
        assert_eq!(report.count(&State::Failed), 1);
        assert_eq!(report.property("DryRun"), Some("false"));
        let failed = report
            .cases()
            .find(|case| case.state == State::Failed)
            .unwrap();
        assert!(
            failed.title().starts_with("[sig-network] DNS"),
            "{}",
            failed.title()
        );
        assert!(
            failed
                .said
                .starts_with("[FAILED] Unable to read wheezy_udp@kubernetes: <timeout>"),
            "{}",
            failed.said
        );
        assert!(!failed.said.contains("STEP:"), "the log is left out");
        let out = report
            .cases()
            .filter(|case| case.left_itself_out())
            .collect::<Vec<_>>();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].said, "skipped - Requires at least 2 nodes");
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_no_report() {
        for end in (0..MIXED.trim_end().len()).step_by(7) {
            let Some(part) = MIXED.get(..end) else {
                continue;
            };
            assert!(Report::read(part).is_err(), "{end}");
        }
    }

    #[test]
    fn cases_that_are_announced_and_not_there_are_missed() {
        let fewer = MIXED.replace("tests=\"7\"", "tests=\"8\"");
        let missing = Report::read(&fewer).unwrap().missing().unwrap();
        assert_eq!(
            missing,
            "the file announces 8 nodes, 2 of them skipped and 1 failed, and has 7 nodes, 2 of them skipped and 1 failed"
        );
        let hidden = MIXED.replace("failures=\"1\"", "failures=\"2\"");
        assert!(Report::read(&hidden).unwrap().missing().is_some());
    }

    #[test]
    fn what_is_unknown_or_contradicts_itself_is_no_pass() {
        for (status, inner) in [
            ("unknown", ""),
            ("", ""),
            ("timeout", ""),
            ("interrupted", "<error type='interrupted'>x</error>"),
            ("passed", "<failure>x</failure>"),
            ("passed", "<skipped message='skipped'/>"),
            ("failed", ""),
        ] {
            let text = format!(
                "<testsuite tests='1'><testcase name='[It] a' status='{status}'>{inner}</testcase></testsuite>"
            );
            let report = Report::read(&text).unwrap();
            assert!(
                matches!(report.nodes[0].state, State::Unfinished(_)),
                "{status} {inner}"
            );
        }
    }

    #[test]
    fn what_is_no_junit_is_refused() {
        for text in [
            "",
            "<html/>",
            "no",
            "<testsuite/>",
            "<testsuite tests='x'/>",
            "<testsuites></testsuite>",
        ] {
            assert!(Report::read(text).is_err(), "{text}");
        }
    }
}
