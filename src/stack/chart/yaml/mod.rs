//! YAML as Helm reads and writes it: YAML 1.1 scalars as go-yaml v2 resolves them (`yes` is a
//! boolean, `0644` is octal), and `toYaml` byte for byte, because charts hash its output.

mod read;
mod resolve;
mod style;
mod write;

pub(super) use read::parse;
pub(super) use resolve::go_integer;
pub(super) use write::to_yaml;
