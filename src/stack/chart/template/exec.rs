//! Runs parsed templates.

use std::rc::Rc;
use std::time::Instant;

use super::ast::{Branch, Command, Node, Pipeline, Position, Tree, Word, WordKind};
use super::functions::{Function, Run};
use super::value::Value;
use super::{Limits, Templates, format, located, parse};
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

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Done,
    Break,
    Continue,
}

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
}

/// Steps between two looks at the clock.
const CLOCK_STRIDE: u64 = 256;

impl Execution {
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
        }
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
        let file: Rc<str> = format!("{} (tpl text)", self.file).into();
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

    fn spend(&mut self, steps: u64) -> Evaluated<()> {
        let before = self.steps;
        self.steps += steps;
        if self.steps > self.limits.steps {
            let limit = self.limits.steps;
            return Err(Fault::Limit(format!(
                "rendering took more than {limit} steps, does it ever end?"
            )));
        }
        if before / CLOCK_STRIDE != self.steps / CLOCK_STRIDE
            && self.started.elapsed() > self.limits.time
        {
            let limit = self.limits.time.as_secs_f64();
            return Err(Fault::Limit(format!(
                "rendering took longer than {limit} s"
            )));
        }
        Ok(())
    }

    /// Goes one level deeper; the stack is finite.
    fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Evaluated<T>) -> Evaluated<T> {
        if self.nesting >= self.limits.nesting {
            let limit = self.limits.nesting;
            return Err(Fault::Limit(format!(
                "templates are nested more than {limit} levels deep, does one include itself?"
            )));
        }
        self.nesting += 1;
        let result = run(self);
        self.nesting -= 1;
        result
    }

    fn write(&mut self, text: &str) -> Evaluated<()> {
        self.written += text.len();
        if self.written > self.limits.output {
            let limit = self.limits.output;
            return Err(Fault::Limit(format!(
                "rendering wrote more than {limit} bytes"
            )));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Evaluated<Flow> {
        self.nested(|e| {
            for node in nodes {
                let flow = e.node(node, dot)?;
                if flow != Flow::Done {
                    return Ok(flow);
                }
            }
            Ok(Flow::Done)
        })
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Evaluated<Flow> {
        self.spend(1)?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value)
                        .map_err(|fault| self.locate(pipeline.at, fault))?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, |_| dot.clone()),
            Node::With(branch) => return self.branch(branch, dot, Value::clone),
            Node::Range(branch) => self.scoped(|e| e.range(branch, dot))?,
            Node::Template { name, argument, at } => {
                let argument = match argument {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => Value::Absent,
                };
                let Some(tree) = self.templates.trees.get(name).cloned() else {
                    let message = format!("template {name:?} not defined");
                    return Err(self.locate(*at, Fault::Plain(message)));
                };
                let call = format!("template {name:?}");
                self.tree(&tree, argument)
                    .map_err(|fault| self.traced(*at, &call, fault))?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Done)
    }

    fn print(&mut self, value: &Value) -> Evaluated<()> {
        match value {
            Value::Text(text) => self.write(text),
            value if value.is_nil() => self.write("<no value>"),
            value => {
                let text = format::display(value)?;
                self.write(&text)
            }
        }
    }

    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Evaluated<T>) -> Evaluated<T> {
        let mark = self.variables.len();
        let result = run(self);
        self.variables.truncate(mark);
        result
    }

    fn branch(
        &mut self,
        branch: &Branch,
        dot: &Value,
        inner: impl FnOnce(&Value) -> Value,
    ) -> Evaluated<Flow> {
        self.scoped(|e| {
            let value = e.pipeline(&branch.pipeline, dot)?;
            if value.truth() {
                return e.nodes(&branch.body, &inner(&value));
            }
            match &branch.otherwise {
                Some(otherwise) => e.nodes(otherwise, dot),
                None => Ok(Flow::Done),
            }
        })
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Evaluated<()> {
        let at = branch.pipeline.at;
        let over = self.evaluate(&branch.pipeline, dot)?;
        let over = match over {
            Value::Object(object) => object.data(),
            other => other,
        };
        let rounds = match &over {
            Value::Absent | Value::Nil => 0,
            Value::List(list) => self.rounds(
                branch,
                list.iter().enumerate().map(|(i, v)| (index(i), v.clone())),
            )?,
            Value::Map(map) => {
                let entries = map.entries().into_iter();
                self.rounds(branch, entries.map(|(k, v)| (Value::Text(k), v)))?
            }
            Value::Int(_) if branch.pipeline.variables.len() > 1 => {
                let message = "can't use an int to iterate over more than one variable".into();
                return Err(self.locate(at, Fault::Plain(message)));
            }
            Value::Int(n) => {
                self.rounds(branch, (0..*n).map(|i| (Value::Int(i), Value::Int(i))))?
            }
            Value::Bytes(bytes) => self.rounds(
                branch,
                bytes
                    .iter()
                    .enumerate()
                    .map(|(i, b)| (index(i), Value::Int(i64::from(*b)))),
            )?,
            other => {
                let message = format!("range can't iterate over {}", format::display(other)?);
                return Err(self.locate(at, Fault::Plain(message)));
            }
        };
        match &branch.otherwise {
            Some(otherwise) if rounds == 0 => self.nodes(otherwise, dot).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn rounds(
        &mut self,
        branch: &Branch,
        items: impl Iterator<Item = (Value, Value)>,
    ) -> Evaluated<usize> {
        let mut rounds = 0;
        for (key, item) in items {
            rounds += 1;
            self.spend(1)?;
            let flow = self.scoped(|e| {
                let pipeline = &branch.pipeline;
                match pipeline.variables.as_slice() {
                    [] => {}
                    [one] => e.set(pipeline, one, item.clone()),
                    [first, second, ..] => {
                        e.set(pipeline, first, key);
                        e.set(pipeline, second, item.clone());
                    }
                }
                e.nodes(&branch.body, &item)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(rounds)
    }

    fn set(&mut self, pipeline: &Pipeline, name: &Rc<str>, value: Value) {
        if !pipeline.assign {
            self.variables.push((name.clone(), value));
        } else if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated<Value> {
        let value = self.evaluate(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(pipeline, name, value.clone());
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated<Value> {
        self.nested(|e| {
            let mut value = None;
            for command in &pipeline.commands {
                let result = e.command(command, dot, value);
                value = Some(match result.map_err(|fault| e.locate(command.at, fault))? {
                    // Go unpacks a null here; fields of it are absent, not an error.
                    Value::Nil => Value::Absent,
                    value => value,
                });
            }
            Ok(value.unwrap_or(Value::Absent))
        })
    }

    /// `piped` is the value of the command before it.
    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Evaluated<Value> {
        let (first, rest) = (&command.words[0], &command.words[1..]);
        let has_arguments = !rest.is_empty() || piped.is_some();
        match &first.kind {
            WordKind::Function(function) => self.call(function, first.at, rest, dot, piped),
            WordKind::Field(path) => {
                let args = self.arguments(rest, dot, piped)?;
                self.path(dot.clone(), path, &args)
            }
            WordKind::Variable(name, path) if !path.is_empty() => {
                let args = self.arguments(rest, dot, piped)?;
                self.path(self.variable(name), path, &args)
            }
            WordKind::Chain(word, path) => {
                let receiver = self.word(word, dot)?;
                let args = self.arguments(rest, dot, piped)?;
                self.path(receiver, path, &args)
            }
            WordKind::Nil => Err(Fault::Plain("nil is not a command".into())),
            _ if has_arguments => Err(Fault::Plain(
                "can't give an argument to something that is not a function".into(),
            )),
            _ => self.word(first, dot),
        }
    }

    fn arguments(
        &mut self,
        words: &[Word],
        dot: &Value,
        piped: Option<Value>,
    ) -> Evaluated<Vec<Value>> {
        let mut args = Vec::with_capacity(words.len() + 1);
        for word in words {
            let value = self
                .word(word, dot)
                .map_err(|fault| self.locate(word.at, fault))?;
            args.push(value);
        }
        args.extend(piped);
        for arg in &mut args {
            if matches!(arg, Value::Absent) {
                *arg = Value::Nil;
            }
        }
        Ok(args)
    }

    fn word(&mut self, word: &Word, dot: &Value) -> Evaluated<Value> {
        match &word.kind {
            WordKind::Dot => Ok(dot.clone()),
            WordKind::Nil => Ok(Value::Nil),
            WordKind::Literal(value) => Ok(value.clone()),
            WordKind::Field(path) => self.path(dot.clone(), path, &[]),
            WordKind::Variable(name, path) => self.path(self.variable(name), path, &[]),
            WordKind::Function(function) => self.call(function, word.at, &[], dot, None),
            WordKind::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            WordKind::Chain(word, path) => {
                let receiver = self.word(word, dot)?;
                self.path(receiver, path, &[])
            }
        }
    }

    fn variable(&self, name: &str) -> Value {
        // The parser has made sure that it exists.
        let found = self.variables.iter().rev().find(|(n, _)| **n == *name);
        found.map_or(Value::Absent, |(_, value)| value.clone())
    }

    fn path(&self, receiver: Value, path: &[Rc<str>], args: &[Value]) -> Evaluated<Value> {
        let mut value = receiver;
        for (i, name) in path.iter().enumerate() {
            let args = if i + 1 == path.len() { args } else { &[] };
            value = self.field(&value, name, args)?;
        }
        Ok(value)
    }

    fn field(&self, receiver: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
        match receiver {
            Value::Absent => Ok(Value::Absent),
            Value::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
            Value::Map(map) => match map.get(name) {
                _ if !args.is_empty() => Err(format!("{name} is not a method but has arguments")),
                Some(value) => Ok(value),
                // The one method that charts call on `.Values`.
                None if name == "AsMap" => Ok(receiver.clone()),
                None if self.missing_is_nil => Ok(Value::Nil),
                None => Ok(Value::Absent),
            },
            Value::Object(object) => match object.method(name, args) {
                Some(result) => result,
                None if !args.is_empty() => {
                    Err(format!("{name} is not a method but has arguments"))
                }
                None => object.field(name).ok_or_else(|| {
                    format!("can't evaluate field {name} in type {}", object.type_name())
                }),
            },
            other => Err(format!(
                "can't evaluate field {name} in type {}",
                other.type_name()
            )),
        }
    }

    fn call(
        &mut self,
        function: &'static Function,
        at: Position,
        words: &[Word],
        dot: &Value,
        piped: Option<Value>,
    ) -> Evaluated<Value> {
        self.spend(1)?;
        if let Run::And | Run::Or = function.run {
            return self.logic(function, words, dot, piped);
        }
        let args = self.arguments(words, dot, piped)?;
        function.check_arity(args.len())?;
        let value = match function.run {
            Run::Pure(run) => run(&args).map_err(|message| {
                self.locate(
                    at,
                    Fault::Plain(format!("error calling {}: {message}", function.name)),
                )
            })?,
            Run::Engine(run) => run(self, &args).map_err(|fault| {
                let shown = args.first().map(|a| match a {
                    Value::Text(text) if text.len() < 80 && !text.contains('\n') => {
                        format!(" {text:?}")
                    }
                    _ => String::new(),
                });
                let call = format!("{}{}", function.name, shown.unwrap_or_default());
                self.traced(at, &call, fault)
            })?,
            Run::And | Run::Or => return Ok(Value::Absent),
        };
        self.weigh(&value)?;
        Ok(value)
    }

    /// `and` and `or` evaluate no further than they must.
    fn logic(
        &mut self,
        function: &Function,
        words: &[Word],
        dot: &Value,
        piped: Option<Value>,
    ) -> Evaluated<Value> {
        function.check_arity(words.len() + usize::from(piped.is_some()))?;
        let decides = matches!(function.run, Run::Or);
        let mut last = Value::Absent;
        for word in words {
            last = self
                .word(word, dot)
                .map_err(|fault| self.locate(word.at, fault))?;
            if last.truth() == decides {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn weigh(&mut self, value: &Value) -> Evaluated<()> {
        let bytes = match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len() * size_of::<Value>(),
            _ => size_of::<Value>(),
        };
        self.memory += bytes;
        if bytes > self.limits.value || self.memory > self.limits.memory {
            let limit = if bytes > self.limits.value {
                self.limits.value
            } else {
                self.limits.memory
            };
            return Err(Fault::Limit(format!(
                "functions returned more than {limit} bytes"
            )));
        }
        Ok(())
    }

    /// How large a value may become; functions that multiply ask before they do.
    pub fn value_limit() -> usize {
        Limits::default().value
    }
}

fn index(i: usize) -> Value {
    Value::Int(i64::try_from(i).unwrap_or(i64::MAX))
}
