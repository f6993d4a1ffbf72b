//! `stackgate faults`: what can be made to go wrong in a rehearsal.

use super::args::ListFormat;
use super::exit::Failure;
use crate::engine::embedded::faults::{Class, Known, catalogue, listed};
use crate::record::Phase;

/// Prints every fault.
///
/// # Errors
/// When the list cannot be printed.
pub fn run(format: ListFormat) -> Result<(), Failure> {
    super::print(&list(format)).map_err(Failure::infrastructure)
}

fn list(format: ListFormat) -> String {
    match format {
        ListFormat::Plain => catalogue()
            .map(|known| format!("{}\t{}\n", known.name, known.description))
            .collect(),
        ListFormat::Table => {
            [
                (
                    "closes the gate, with its cause in the report",
                    Class::Fatal,
                    false,
                ),
                (
                    "the same, where the Cluster Stack Operator delivers (--delivery operator)",
                    Class::Fatal,
                    true,
                ),
                (
                    "an accident that must not change the verdict",
                    Class::Transport,
                    false,
                ),
            ]
            .map(|(title, class, operator)| section(title, class, operator))
            .join("\n")
                + "\na fault begins in the phase beside it, or with --fault NAME@PHASE in one of those in parentheses\n"
        }
    }
}

fn section(title: &str, class: Class, operator: bool) -> String {
    let faults: Vec<&Known> = catalogue()
        .filter(|known| known.class == class && known.needs_operator() == operator)
        .collect();
    let widest = |of: &dyn Fn(&Known) -> usize| faults.iter().map(|known| of(known)).max();
    let name_width = widest(&|known| known.name.len()).unwrap_or_default();
    let phase_width = widest(&|known| begins(known).len()).unwrap_or_default();
    let mut text = format!("{title}\n");
    for known in faults {
        let Known {
            name, description, ..
        } = known;
        let begins = begins(known);
        text.push_str(&format!(
            "  {name:<name_width$}   {begins:<phase_width$}   {description}\n"
        ));
    }
    text
}

/// The phase in which it begins when none is given, and the others in which it can.
fn begins(known: &Known) -> String {
    let others = known.phases.iter().filter(|phase| **phase != known.phase);
    let others: Vec<Phase> = others.copied().collect();
    let first = listed(&[known.phase]);
    if others.is_empty() {
        first
    } else {
        format!("{first} ({})", listed(&others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_is_a_name_and_its_description() {
        let plain = list(ListFormat::Plain);
        assert_eq!(plain.lines().count(), catalogue().count());
        for line in plain.lines() {
            assert_eq!(line.matches('\t').count(), 1, "{line}");
        }
    }

    #[test]
    fn the_table_names_each_fault_once() {
        let table = list(ListFormat::Table);
        for known in catalogue() {
            let start = format!("  {} ", known.name);
            assert_eq!(table.matches(&start).count(), 1, "{}", known.name);
        }
    }
}
