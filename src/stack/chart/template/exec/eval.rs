//! Pipelines and what they are made of, to values.

use std::rc::Rc;

use super::super::ast::{Command, Pipeline, Position, Word, WordKind};
use super::super::functions::{Function, Run};
use super::super::value::Value;
use super::{Evaluated, Execution, Fault};

impl Execution {
    pub(super) fn set(&mut self, pipeline: &Pipeline, name: &Rc<str>, value: Value) {
        if !pipeline.assign {
            self.variables.push((name.clone(), value));
        } else if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }

    pub(super) fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated<Value> {
        let value = self.evaluate(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(pipeline, name, value.clone());
        }
        Ok(value)
    }

    pub(super) fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated<Value> {
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
    pub(super) fn command(
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

    pub(super) fn arguments(
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

    pub(super) fn word(&mut self, word: &Word, dot: &Value) -> Evaluated<Value> {
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

    pub(super) fn variable(&self, name: &str) -> Value {
        // The parser has made sure that it exists.
        let found = self.variables.iter().rev().find(|(n, _)| **n == *name);
        found.map_or(Value::Absent, |(_, value)| value.clone())
    }

    pub(super) fn path(
        &self,
        receiver: Value,
        path: &[Rc<str>],
        args: &[Value],
    ) -> Evaluated<Value> {
        let mut value = receiver;
        for (i, name) in path.iter().enumerate() {
            let args = if i + 1 == path.len() { args } else { &[] };
            value = self
                .field(&value, name, args)
                .map_err(|message| format!("<.{}>: {message}", path.join(".")))?;
        }
        Ok(value)
    }

    pub(super) fn field(
        &self,
        receiver: &Value,
        name: &str,
        args: &[Value],
    ) -> Result<Value, String> {
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

    pub(super) fn call(
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
        self.drawn |= function.run.is_drawn(&args);
        let value = match function.run {
            Run::Pure(run) | Run::Drawn(run) | Run::DrawnWith(run, _) => {
                run(&args).map_err(|message| {
                    self.locate(
                        at,
                        Fault::Plain(format!("error calling {}: {message}", function.name)),
                    )
                })?
            }
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
    pub(super) fn logic(
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
}
