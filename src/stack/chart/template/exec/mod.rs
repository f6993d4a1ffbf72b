//! Runs parsed templates.

mod budget;
mod eval;
mod walk;

use std::rc::Rc;
use std::time::Instant;

use super::ast::{Position, Tree};
use super::value::Value;
use super::{Limits, Templates, located, parse};
use crate::stack::chart::error::TemplateError;

/// Why an evaluation stopped.
pub(in crate::stack::chart) enum Fault {
    /// Something went wrong at the place that is being evaluated.
    Plain(String),
    /// A limit was passed there.
    Limit(String),
    /// The place is known already.
    Located(Box<TemplateError>),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Fault::Plain(message)
    }
}

type Evaluated<T> = Result<T, Fault>;

/// One run over a set of templates; limits count across all of its templates.
pub(in crate::stack::chart) struct Execution {
    templates: Rc<Templates>,
    /// Whether a missing key is null (Helm) or absent (Go's default).
    missing_is_nil: bool,
    limits: Limits,
    started: Instant,
    steps: u64,
    nesting: usize,
    written: usize,
    memory: usize,
    out: String,
    variables: Vec<(Rc<str>, Value)>,
    file: Rc<str>,
    /// Whether chance or the time of day went into what was rendered.
    drawn: bool,
}

/// Marks places in a text given to `tpl` behind the file that gave it.
const TPL_MARK: &str = " (tpl text)";

impl Execution {
    #[expect(
        clippy::disallowed_methods,
        reason = "the rendering thread has no runtime, and its limit is about real time"
    )]
    pub fn new(templates: Rc<Templates>, missing_is_nil: bool, limits: Limits) -> Self {
        Execution {
            templates,
            missing_is_nil,
            limits,
            started: Instant::now(),
            steps: 0,
            nesting: 0,
            written: 0,
            memory: 0,
            out: String::new(),
            variables: Vec::new(),
            file: "".into(),
            drawn: false,
        }
    }

    /// Whether the same templates would give something else another time.
    pub const fn is_drawn(&self) -> bool {
        self.drawn
    }

    /// Renders the template `name`.
    pub fn render(&mut self, name: &str, dot: Value) -> Result<String, TemplateError> {
        self.out = String::new();
        let top = Position { line: 1, column: 1 };
        let result = match self.templates.trees.get(name).cloned() {
            Some(tree) => self.tree(&tree, dot),
            None => Err(Fault::Plain(format!("template {name:?} not defined"))),
        };
        match result.map_err(|fault| self.locate(top, fault)) {
            Ok(()) => Ok(std::mem::take(&mut self.out)),
            Err(Fault::Located(error)) => Err(*error),
            Err(Fault::Plain(message)) => Err(located(name, top, message, false)),
            Err(Fault::Limit(message)) => Err(located(name, top, message, true)),
        }
    }

    /// Renders a template into a string of its own, as `include` does.
    pub fn include(&mut self, name: &str, dot: Value) -> Evaluated<Value> {
        let Some(tree) = self.templates.trees.get(name).cloned() else {
            return Err(Fault::Plain(format!("template {name:?} not defined")));
        };
        self.captured(|e| e.tree(&tree, dot)).map(Value::text)
    }

    /// Renders `text` as a template that knows all others, as `tpl` does.
    pub fn tpl(&mut self, text: &str, dot: Value) -> Evaluated<Value> {
        self.spend(1 + text.len() as u64 / 64)?;
        // Go names the text after its caller; what it defines is known only inside of it.
        let name: Rc<str> = "tpl".into();
        let file: Rc<str> = match self.file.ends_with(TPL_MARK) {
            true => self.file.clone(),
            false => format!("{}{TPL_MARK}", self.file).into(),
        };
        let trees = parse::parse(&name, &file, text, self.templates.library)
            .map_err(|e| Fault::Located(Box::new(located(&file, e.at, e.message, false))))?;
        let mut trees = trees.into_iter();
        let Some(main) = trees.next() else {
            return Ok(Value::text(""));
        };
        let outer = self.templates.clone();
        if trees.len() > 0 {
            let mut inner = Templates::clone(&outer);
            inner.insert(trees.collect());
            self.templates = Rc::new(inner);
        }
        let main = Rc::new(main);
        let result = self.captured(|e| e.tree(&main, dot));
        self.templates = outer;
        result.map(|text| Value::text(text.replace("<no value>", "")))
    }

    fn captured(&mut self, run: impl FnOnce(&mut Self) -> Evaluated<()>) -> Evaluated<String> {
        let outer = std::mem::take(&mut self.out);
        let result = run(self);
        let inner = std::mem::replace(&mut self.out, outer);
        result.map(|()| inner)
    }

    fn tree(&mut self, tree: &Rc<Tree>, dot: Value) -> Evaluated<()> {
        let variables = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        let file = std::mem::replace(&mut self.file, tree.file.clone());
        let result = self.nodes(&tree.body, &dot);
        self.variables = variables;
        self.file = file;
        result.map(|_| ())
    }

    fn locate(&self, at: Position, fault: Fault) -> Fault {
        match fault {
            Fault::Plain(m) => Fault::Located(Box::new(located(&self.file, at, m, false))),
            Fault::Limit(m) => Fault::Located(Box::new(located(&self.file, at, m, true))),
            known => known,
        }
    }

    /// Notes for an error from inside a called template where the call stands.
    fn traced(&self, at: Position, call: &str, fault: Fault) -> Fault {
        match fault {
            Fault::Located(mut error) => {
                error
                    .trace
                    .push((self.file.to_string(), at.line, call.to_owned()));
                Fault::Located(error)
            }
            fault => self.locate(at, fault),
        }
    }
}
