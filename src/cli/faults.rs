//! `stackgate faults`: what can be made to go wrong in a rehearsal.

use super::args::ListFormat;
use super::exit::Failure;
use crate::engine::embedded::faults::{Class, Known, catalogue};

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
        ListFormat::Table => [
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
        .join("\n"),
    }
}

fn section(title: &str, class: Class, operator: bool) -> String {
    let faults: Vec<&Known> = catalogue()
        .filter(|known| known.class == class && known.needs_operator() == operator)
        .collect();
    let width = faults.iter().map(|known| known.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = format!("{title}\n");
    for Known {
        name,
        description,
        phase,
        ..
    } in faults
    {
        text.push_str(&format!("  {name:<width$}   {phase:<12}   {description}\n"));
    }
    text
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
