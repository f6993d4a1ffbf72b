//! Go's text/template with the functions of Helm, in process.
//!
//! Written for charts because they change maps in place (`set . "ca" $ca` in an included template
//! and `.ca` after it, as Cilium's chart does), which an engine that passes values by copy cannot
//! do. Every run has limits on time, steps, nesting and memory: charts are not trusted.

mod ast;
mod exec;
pub(super) mod format;
pub(super) mod functions;
mod lex;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::error::TemplateError;
use ast::{Position, Tree};
pub(super) use exec::Execution;
pub(super) use functions::Library;
pub(super) use value::{Map, Object, Value};

/// What one render may use up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Actions, function calls and loop rounds.
    pub steps: u64,
    /// Blocks, parentheses and templates inside one another.
    pub nesting: usize,
    /// Bytes of all output.
    pub output: usize,
    /// Bytes of one value that a function returns.
    pub value: usize,
    /// Bytes of all values that functions return, in sum.
    pub memory: usize,
    /// Wall-clock time.
    pub time: Duration,
}

impl Default for Limits {
    /// Some hundred times what the largest charts of the field need. Nesting is what the stack
    /// of [`on_own_stack`] is made for.
    fn default() -> Self {
        Limits {
            steps: 20_000_000,
            nesting: 4_000,
            output: 64 * 1024 * 1024,
            value: 16 * 1024 * 1024,
            memory: 1024 * 1024 * 1024,
            time: Duration::from_secs(30),
        }
    }
}

/// Stack of a rendering thread: 4000 levels at some 16 KB in an unoptimised build. Only what is
/// used of it becomes memory.
const STACK_BYTES: usize = 128 * 1024 * 1024;

/// Runs `render` on a thread whose stack holds the nesting that [`Limits`] allow.
pub(super) fn on_own_stack<T: Send>(render: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("render".into())
            .stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, render)?.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// All templates that can call one another.
#[derive(Clone)]
pub(super) struct Templates {
    trees: HashMap<Rc<str>, Rc<Tree>>,
    library: Library,
}

impl Templates {
    pub fn new(library: Library) -> Self {
        Templates {
            trees: HashMap::new(),
            library,
        }
    }

    /// Parses the file `name`; what it defines replaces what earlier files defined.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let name: Rc<str> = name.into();
        let trees = parse::parse(&name, &name, text, self.library);
        let trees = trees.map_err(|e| located(&name, e.at, e.message, false))?;
        self.insert(trees);
        Ok(())
    }

    fn insert(&mut self, trees: Vec<Tree>) {
        for tree in trees {
            if tree.is_empty() && self.trees.contains_key(&tree.name) {
                continue;
            }
            self.trees.insert(tree.name.clone(), Rc::new(tree));
        }
    }
}

fn located(file: &str, at: Position, message: String, limit: bool) -> TemplateError {
    TemplateError {
        file: file.to_owned(),
        line: at.line,
        column: at.column,
        message,
        limit,
        trace: Vec::new(),
    }
}
