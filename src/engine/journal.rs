//! What a machine's journal says of its kubelet, whatever the engine that has the machine.

use crate::cluster::Object;
use crate::record::Finding;

/// How many lines are shown as evidence.
const EVIDENCE: usize = 8;

/// A finding about a Machine, with the last of some lines as its evidence.
pub(super) fn finding(
    cause: &str,
    message: String,
    machine: &Object,
    lines: Vec<String>,
) -> Finding {
    let evidence = lines[lines.len().saturating_sub(EVIDENCE)..].to_vec();
    Finding {
        cause: cause.to_owned(),
        message,
        object: machine.reference(),
        evidence,
    }
}

/// A kubelet that does not know one of its flags never starts; `name` is the machine's.
pub(super) fn unknown_flag(machine: &Object, name: &str, journal: &[String]) -> Option<Finding> {
    let line = journal.iter().rev().find_map(|line| own_words(line))?;
    let message = format!("the kubelet of {name} does not start: {line}");
    let lines = journal.to_vec();
    Some(finding("kubelet-unknown-flag", message, machine, lines))
}

/// The kubelet's own words on a flag that it does not know.
fn own_words(line: &str) -> Option<&str> {
    let at = line
        .find("unknown flag: ")
        .or_else(|| line.find("unknown shorthand flag: "))?;
    Some(line[at..].trim_end_matches(['"', '\'']))
}
