//! The functions of templates: Go's own, Sprig's and Helm's.

mod builtin;
mod calls;
mod crypto;
mod dates;
mod defaults;
mod encoding;
mod lists;
mod maps;
mod numbers;
mod paths;
mod regexes;
mod text;
mod types;
mod words;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::exec::{Execution, Fault};
use super::value::{Map, Value};

pub(in crate::stack::chart) use encoding::base64;

/// A function that templates can call.
pub(in crate::stack::chart) struct Function {
    pub name: &'static str,
    min: usize,
    max: usize,
    pub run: Run,
}

/// How a function is run.
pub(in crate::stack::chart) enum Run {
    /// From its arguments alone.
    Pure(Pure),
    /// From chance or the time of day, too: no two runs give the same.
    Drawn(Pure),
    /// As that, but only with arguments of which the second says so.
    DrawnWith(Pure, fn(&[Value]) -> bool),
    /// With the execution at hand.
    Engine(fn(&mut Execution, &[Value]) -> Result<Value, Fault>),
    /// The two that do not evaluate all of their arguments.
    And,
    Or,
}

/// As [`Function::max`]: any number of arguments.
const ANY: usize = usize::MAX;

type Pure = fn(&[Value]) -> Result<Value, String>;

const fn pure(name: &'static str, min: usize, max: usize, run: Pure) -> Function {
    Function {
        name,
        min,
        max,
        run: Run::Pure(run),
    }
}

const fn drawn(name: &'static str, min: usize, max: usize, run: Pure) -> Function {
    Function {
        name,
        min,
        max,
        run: Run::Drawn(run),
    }
}

impl Run {
    /// Whether another run with these arguments would give something else.
    pub fn is_drawn(&self, args: &[Value]) -> bool {
        match self {
            Run::Drawn(_) => true,
            Run::DrawnWith(_, is_drawn) => is_drawn(args),
            Run::Pure(_) | Run::Engine(_) | Run::And | Run::Or => false,
        }
    }
}

impl Function {
    pub fn check_arity(&self, given: usize) -> Result<(), String> {
        if given >= self.min && given <= self.max {
            return Ok(());
        }
        let least = if self.max == ANY { "at least " } else { "" };
        Err(format!(
            "wrong number of args for {}: want {least}{} got {given}",
            self.name, self.min
        ))
    }
}

/// Which functions a template may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stack::chart) enum Library {
    /// All of Helm 3.19.
    Helm,
    /// Those of slim-sprig, as the Cluster Stack Operator renders values with.
    SlimSprig,
    /// Those of Sprig that it calls hermetic, as Cluster API renders the patches of a class with
    /// (`renderValueTemplate` in its inline patches).
    Hermetic,
}

/// Functions of Helm that slim-sprig leaves out.
const NOT_IN_SLIM_SPRIG: &[&str] = &[
    "abbrev",
    "abbrevboth",
    "add1f",
    "addf",
    "buildCustomCert",
    "camelcase",
    "deepCopy",
    "divf",
    "fromJsonArray",
    "fromYaml",
    "fromYamlArray",
    "genCA",
    "genSelfSignedCert",
    "genSignedCert",
    "htpasswd",
    "include",
    "initials",
    "kebabcase",
    "lookup",
    "merge",
    "mergeOverwrite",
    "mulf",
    "mustDeepCopy",
    "mustMerge",
    "mustMergeOverwrite",
    "nospace",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randNumeric",
    "required",
    "semver",
    "semverCompare",
    "sha512sum",
    "shuffle",
    "snakecase",
    "subf",
    "swapcase",
    "toYaml",
    "tpl",
    "untitle",
    "uuidv4",
    "wrap",
    "wrapWith",
];

/// Functions of Helm that Sprig does not have, and those of Sprig that it does not call hermetic.
const NOT_HERMETIC: &[&str] = &[
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "fromJsonArray",
    "fromYaml",
    "fromYamlArray",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "include",
    "lookup",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randNumeric",
    "required",
    "toYaml",
    "tpl",
    "uuidv4",
];

impl Library {
    const fn lacks(self) -> &'static [&'static str] {
        match self {
            Self::Helm => &[],
            Self::SlimSprig => NOT_IN_SLIM_SPRIG,
            Self::Hermetic => NOT_HERMETIC,
        }
    }

    pub fn find(self, name: &str) -> Option<&'static Function> {
        if self.lacks().contains(&name) {
            return None;
        }
        // Helm's `fromJson` knows mappings only, Sprig's any JSON.
        let name = match (self, name) {
            (Self::SlimSprig | Self::Hermetic, "fromJson") => "mustFromJson",
            (_, name) => name,
        };
        all().get(name).copied()
    }
}

fn all() -> &'static HashMap<&'static str, &'static Function> {
    static ALL: OnceLock<HashMap<&'static str, &'static Function>> = OnceLock::new();
    ALL.get_or_init(|| {
        let groups = [
            builtin::FUNCTIONS,
            calls::FUNCTIONS,
            crypto::FUNCTIONS,
            dates::FUNCTIONS,
            defaults::FUNCTIONS,
            encoding::FUNCTIONS,
            lists::FUNCTIONS,
            maps::FUNCTIONS,
            numbers::FUNCTIONS,
            paths::FUNCTIONS,
            regexes::FUNCTIONS,
            text::FUNCTIONS,
            types::FUNCTIONS,
            words::FUNCTIONS,
        ];
        groups
            .into_iter()
            .flatten()
            .map(|function| (function.name, function))
            .collect()
    })
}

/// Go's message when an argument has another type than the function's parameter.
fn wrong_type(value: &Value, expected: &str) -> String {
    if value.is_nil() {
        return format!("invalid value; expected {expected}");
    }
    format!(
        "wrong type for value; expected {expected}; got {}",
        value.type_name()
    )
}

/// The argument as a string; other types are an error, as in Go.
fn text_arg(args: &[Value], i: usize) -> Result<&str, String> {
    match args.get(i) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(wrong_type(other.unwrap_or(&Value::Nil), "string")),
    }
}

/// The argument as an int; floats are an error, as in Go.
fn int_arg(args: &[Value], i: usize) -> Result<i64, String> {
    match args.get(i) {
        Some(Value::Int(value)) => Ok(*value),
        other => Err(wrong_type(other.unwrap_or(&Value::Nil), "int")),
    }
}

fn map_arg(args: &[Value], i: usize) -> Result<&Map, String> {
    match args.get(i) {
        Some(Value::Map(map)) => Ok(map),
        other => Err(wrong_type(
            other.unwrap_or(&Value::Nil),
            "map[string]interface {}",
        )),
    }
}

/// The argument as a count of characters or elements that are about to be produced.
fn count_arg(args: &[Value], i: usize) -> Result<usize, String> {
    let count = int_arg(args, i)?;
    let count = usize::try_from(count).map_err(|_| format!("negative count {count}"))?;
    checked_size(count)
}

/// Refuses to produce more than one value may hold.
fn checked_size(bytes: usize) -> Result<usize, String> {
    let limit = Execution::value_limit();
    if bytes > limit {
        return Err(format!(
            "would produce {bytes} bytes, more than the {limit} allowed"
        ));
    }
    Ok(bytes)
}

/// Items of a list-like argument.
fn items_arg(args: &[Value], i: usize, what: &str) -> Result<Vec<Value>, String> {
    match args.get(i) {
        Some(Value::List(list)) => Ok(list.to_vec()),
        Some(Value::Object(object)) => match object.data() {
            Value::List(list) => Ok(list.to_vec()),
            _ => Err(format!("Cannot {what} on type struct")),
        },
        other => Err(format!(
            "Cannot {what} on type {}",
            other.unwrap_or(&Value::Nil).kind()
        )),
    }
}
