//! Nodes of a template: text, actions, blocks, loops.

use super::super::ast::{Branch, Node};
use super::super::format;
use super::super::value::Value;
use super::{Evaluated, Execution, Fault};

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flow {
    Done,
    Break,
    Continue,
}

impl Execution {
    pub(super) fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Evaluated<Flow> {
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

    pub(super) fn node(&mut self, node: &Node, dot: &Value) -> Evaluated<Flow> {
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

    pub(super) fn print(&mut self, value: &Value) -> Evaluated<()> {
        match value {
            Value::Text(text) => self.write(text),
            value if value.is_nil() => self.write("<no value>"),
            value => {
                let text = format::display(value)?;
                self.write(&text)
            }
        }
    }

    pub(super) fn scoped<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Evaluated<T>,
    ) -> Evaluated<T> {
        let mark = self.variables.len();
        let result = run(self);
        self.variables.truncate(mark);
        result
    }

    pub(super) fn branch(
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

    pub(super) fn range(&mut self, branch: &Branch, dot: &Value) -> Evaluated<()> {
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

    pub(super) fn rounds(
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
}

fn index(i: usize) -> Value {
    Value::Int(i64::try_from(i).unwrap_or(i64::MAX))
}
