//! The syntax tree of Go's text/template.

use std::rc::Rc;

use super::functions::Function;
use super::value::Value;

/// A place in a template file, both one-based; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

/// A named template: a whole file, or the body of a `define` in it.
pub(super) struct Tree {
    pub name: Rc<str>,
    /// The file it was written in.
    pub file: Rc<str>,
    pub body: Vec<Node>,
}

impl Tree {
    /// Whether it would print nothing but white space.
    pub fn is_empty(&self) -> bool {
        self.body
            .iter()
            .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

pub(super) enum Node {
    Text(Rc<str>),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        name: Rc<str>,
        argument: Option<Pipeline>,
        at: Position,
    },
    Break,
    Continue,
}

/// `if`, `with` or `range` with its bodies.
pub(super) struct Branch {
    pub pipeline: Pipeline,
    pub body: Vec<Node>,
    pub otherwise: Option<Vec<Node>>,
}

pub(super) struct Pipeline {
    pub at: Position,
    /// Variables set to the result.
    pub variables: Vec<Rc<str>>,
    /// Whether they are assigned (`=`) rather than declared (`:=`).
    pub assign: bool,
    pub commands: Vec<Command>,
}

pub(super) struct Command {
    pub at: Position,
    /// Function, field or value, then its arguments; never empty.
    pub words: Vec<Word>,
}

pub(super) struct Word {
    pub at: Position,
    pub kind: WordKind,
}

pub(super) enum WordKind {
    Dot,
    Nil,
    Literal(Value),
    /// `.a.b`
    Field(Vec<Rc<str>>),
    /// `$x.a.b`; the first is the name with its `$`.
    Variable(Rc<str>, Vec<Rc<str>>),
    Function(&'static Function),
    Pipeline(Box<Pipeline>),
    /// `(pipeline).a.b`
    Chain(Box<Word>, Vec<Rc<str>>),
}
