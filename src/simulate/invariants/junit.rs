//! The rules of `schemas/junit.xsd`, and that the numbers of a suite are those of its cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use regex::Regex;

/// An element with what is in it; its text does not matter.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Element>,
}

/// What an attribute may be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// Not empty.
    Name,
    /// Not negative.
    Count,
    /// In UTC, without a zone.
    Moment,
    /// With milliseconds.
    Seconds,
}

use Kind::{Count, Moment, Name, Seconds, Text};

static MOMENT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$").ok());
static SECONDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\d+\.\d{3}$").ok());

/// Judges a whole report.
///
/// # Errors
/// When it breaks a rule: which, and where.
pub(super) fn judge(document: &[u8]) -> Result<()> {
    let root = read(document)?;
    ensure!(root.name == "testsuites", "the root is <{}>", root.name);
    root.has(&[])?;
    ensure!(!root.children.is_empty(), "there is no suite");
    let mut names = BTreeSet::new();
    for suite in &root.children {
        ensure!(
            suite.name == "testsuite",
            "<{}> in <testsuites>",
            suite.name
        );
        judge_suite(suite).with_context(|| format!("suite {}", suite.text("name")))?;
        ensure!(
            names.insert(suite.text("name")),
            "two suites are called {}",
            suite.text("name")
        );
    }
    Ok(())
}

fn judge_suite(suite: &Element) -> Result<()> {
    suite.has(&[
        ("name", Name),
        ("package", Name),
        ("id", Count),
        ("hostname", Name),
        ("timestamp", Moment),
        ("tests", Count),
        ("failures", Count),
        ("errors", Count),
        ("skipped", Count),
        ("time", Seconds),
    ])?;
    let [properties, cases @ .., out, err] = suite.children.as_slice() else {
        bail!("expected properties, cases, system-out and system-err");
    };
    ensure!(
        properties.name == "properties" && out.name == "system-out" && err.name == "system-err",
        "expected properties, cases, system-out and system-err, in this order"
    );
    for plain in [properties, out, err] {
        plain.has(&[])?;
    }
    ensure!(
        out.children.is_empty() && err.children.is_empty(),
        "there are elements in the output"
    );
    for property in &properties.children {
        ensure!(property.name == "property", "<{}>", property.name);
        property.has(&[("name", Name), ("value", Text)])?;
        property.is_leaf()?;
    }
    ensure!(!cases.is_empty(), "there is no case");
    let mut counted = BTreeMap::from([("failure", 0), ("error", 0), ("skipped", 0)]);
    for case in cases {
        let result = judge_case(case).with_context(|| format!("case {}", case.text("name")))?;
        if let Some(count) = result.and_then(|result| counted.get_mut(result)) {
            *count += 1;
        }
    }
    for (announced, is) in [
        ("tests", cases.len()),
        ("failures", counted["failure"]),
        ("errors", counted["error"]),
        ("skipped", counted["skipped"]),
    ] {
        let said = suite.text(announced);
        ensure!(
            said == is.to_string(),
            "{announced} is {said}, and there are {is}"
        );
    }
    Ok(())
}

/// What came of a case, beside a pass.
fn judge_case(case: &Element) -> Result<Option<&str>> {
    ensure!(case.name == "testcase", "<{}> among the cases", case.name);
    case.has(&[("name", Name), ("classname", Name), ("time", Seconds)])?;
    let result = match case.children.as_slice() {
        [] => return Ok(None),
        [result] => result,
        _ => bail!("it has more than one result"),
    };
    match result.name.as_str() {
        "failure" | "error" => result.has(&[("message", Text), ("type", Name)])?,
        "skipped" => result.has(&[("message", Text)])?,
        other => bail!("its result is <{other}>"),
    }
    result.is_leaf()?;
    Ok(Some(&result.name))
}

impl Element {
    fn of(tag: &BytesStart<'_>) -> Result<Self> {
        let mut attributes = BTreeMap::new();
        for attribute in tag.attributes() {
            let attribute = attribute?;
            let name = std::str::from_utf8(attribute.key.as_ref())?.to_owned();
            let value = std::str::from_utf8(&attribute.value)?.to_owned();
            attributes.insert(name, value);
        }
        Ok(Self {
            name: std::str::from_utf8(tag.name().as_ref())?.to_owned(),
            attributes,
            children: Vec::new(),
        })
    }

    fn text(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    fn is_leaf(&self) -> Result<()> {
        let inner = self.children.first();
        ensure!(inner.is_none(), "there are elements in <{}>", self.name);
        Ok(())
    }

    /// It has these attributes, all of them and no others.
    fn has(&self, wanted: &[(&str, Kind)]) -> Result<()> {
        for known in self.attributes.keys() {
            let is_wanted = wanted.iter().any(|(name, _)| name == known);
            ensure!(is_wanted, "<{}> has {known}=", self.name);
        }
        for (name, kind) in wanted {
            let value = self.attributes.get(*name);
            let value = value.with_context(|| format!("<{}> has no {name}=", self.name))?;
            ensure!(kind.takes(value), "<{}> has {name}={value:?}", self.name);
        }
        Ok(())
    }
}

impl Kind {
    fn takes(self, value: &str) -> bool {
        let fits = |rule: &Option<Regex>| rule.as_ref().is_some_and(|rule| rule.is_match(value));
        match self {
            Text => true,
            Name => !value.trim().is_empty(),
            Count => value.parse::<i32>().is_ok_and(|count| count >= 0),
            Moment => fits(&MOMENT),
            Seconds => fits(&SECONDS),
        }
    }
}

/// The document's root; broken XML is an error.
fn read(document: &[u8]) -> Result<Element> {
    let mut reader = Reader::from_reader(document);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event()? {
            Event::Start(tag) => open.push(Element::of(&tag)?),
            Event::Empty(tag) => {
                let element = Element::of(&tag)?;
                open.last_mut()
                    .context("nothing is open")?
                    .children
                    .push(element);
            }
            Event::End(_) => {
                let ended = open.pop().context("nothing is open")?;
                open.last_mut()
                    .context("nothing is open")?
                    .children
                    .push(ended);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let mut document = open.pop().context("nothing is open")?;
    ensure!(open.is_empty(), "<{}> is not closed", document.name);
    let root = document.children.pop().context("there is no element")?;
    ensure!(document.children.is_empty(), "there is more than one root");
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"<testsuites>
<testsuite name="create" package="demo" id="3" hostname="localhost" timestamp="2026-01-01T00:00:00" tests="2" failures="1" errors="0" skipped="0" time="1.000">
<properties><property name="a" value=""/></properties>
<testcase name="create" classname="demo.create" time="0.100"/>
<testcase name="b" classname="demo.create" time="0.100"><failure message="no" type="gate">x &lt; y</failure></testcase>
<system-out/><system-err/>
</testsuite></testsuites>"#;

    #[test]
    fn a_report_by_the_rules_is_taken() {
        judge(GOOD.as_bytes()).unwrap();
    }

    #[test]
    fn what_breaks_a_rule_is_told() {
        let suite = &GOOD["<testsuites>".len()..GOOD.len() - "</testsuites>".len()];
        let twice = format!("<testsuites>{suite}{suite}</testsuites>");
        for (from, to, expected) in [
            (
                "<testsuites>",
                "<testsuites name=\"x\">",
                "<testsuites> has name=",
            ),
            (
                " tests=\"2\"",
                " tests=\"3\"",
                "tests is 3, and there are 2",
            ),
            (
                " failures=\"1\"",
                " failures=\"0\"",
                "failures is 0, and there are 1",
            ),
            (" errors=\"0\"", " errors=\"-1\"", "errors=\"-1\""),
            (" skipped=\"0\"", "", "<testsuite> has no skipped="),
            (" time=\"1.000\"", " time=\"1\"", "time=\"1\""),
            ("00:00:00\"", "00:00:00Z\"", "timestamp="),
            ("package=\"demo\"", "package=\" \"", "package="),
            (
                "<property name=\"a\"",
                "<property name=\"\"",
                "<property> has name=",
            ),
            ("<system-err/>", "", "in this order"),
            (" type=\"gate\"", "", "<failure> has no type="),
            (
                "</failure>",
                "</failure><skipped message=\"\"/>",
                "more than one result",
            ),
            (
                "<testcase name=\"create\"",
                "<other/><testcase name=\"create\"",
                "<other> among the cases",
            ),
            (
                " classname=\"demo.create\" time=\"0.100\"/>",
                " time=\"0.100\"/>",
                "case create: <testcase> has no classname=",
            ),
            ("</testsuites>", "", "not closed"),
            (GOOD, "<testsuites/>", "there is no suite"),
            (GOOD, twice.as_str(), "two suites are called create"),
            (GOOD, "", "there is no element"),
        ] {
            let document = GOOD.replacen(from, to, 1);
            assert_ne!(document, GOOD, "{from}");
            let error = format!("{:#}", judge(document.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
