//! `stackgate schema NAME`: the JSON schema of a file format, made from its types.

use super::args::SchemaName;
use super::exit::Failure;
use crate::report::Summary;

/// Prints it.
///
/// # Errors
/// When it cannot be printed.
pub fn print(name: SchemaName) -> Result<(), Failure> {
    let schema = match name {
        SchemaName::Lint => crate::lint::output::schema(),
        SchemaName::Scenario => format!("{:#}\n", crate::scenario::scenario_schema()),
        SchemaName::Summary => Summary::schema(),
    };
    super::print(&schema).map_err(Failure::infrastructure)
}
