//! Reads junit.xml as nextest's own parser does.

use quick_junit::Report;

/// The report. Ant's schema forbids a zone in a time, quick-junit demands one (docs/decisions/0001-junit.md).
pub fn parse(xml: &str) -> Report {
    let mut zoned = String::with_capacity(xml.len());
    for (index, piece) in xml.split(" timestamp=\"").enumerate() {
        match (index, piece.split_once('"')) {
            (1.., Some((time, rest))) => zoned.push_str(&format!(" timestamp=\"{time}Z\"{rest}")),
            _ => zoned.push_str(piece),
        }
    }
    let report = Report::deserialize_from_str(&zoned);
    report.unwrap_or_else(|error| panic!("{error:?}\n{xml:.2000}"))
}
