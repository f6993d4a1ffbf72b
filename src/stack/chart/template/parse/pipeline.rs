//! The inside of an action: pipelines, commands, operands.

use std::rc::Rc;

use super::super::ast::{Command, Pipeline, Position, Word, WordKind};
use super::super::functions::Function;
use super::super::lex::{Kind, Token};
use super::super::value::Value;
use super::{Parsed, Parser};

impl<'t> Parser<'t> {
    pub(super) fn pipeline(&mut self, context: &str, end: &Kind<'t>) -> Parsed<Pipeline> {
        let at = self.here();
        let (variables, assign) = self.variables_of(context)?;
        let mut commands = Vec::new();
        loop {
            if self.peek() == end {
                let token = self.next();
                if commands.is_empty() {
                    return self.error(token.at, format!("missing value for {context}"));
                }
                break;
            }
            commands.push(self.command()?);
            if *self.peek() == Kind::Pipe {
                let token = self.next();
                if self.peek() == end {
                    return self.unexpected(&token, "command: nothing follows `|`");
                }
            } else if self.peek() != end {
                let token = self.next();
                return self.unexpected(&token, context);
            }
        }
        for (stage, command) in commands.iter().enumerate().skip(1) {
            if matches!(
                command.words[0].kind,
                WordKind::Dot | WordKind::Nil | WordKind::Literal(_)
            ) {
                let message = format!("non executable command in pipeline stage {}", stage + 1);
                return self.error(command.at, message);
            }
        }
        for variable in variables.iter().filter(|_| !assign) {
            self.variables.push(variable.clone());
        }
        Ok(Pipeline {
            at,
            variables,
            assign,
            commands,
        })
    }

    /// `$x :=`, `$x =`, and in a loop `$k, $v :=`.
    pub(super) fn variables_of(&mut self, context: &str) -> Parsed<(Vec<Rc<str>>, bool)> {
        let &Kind::Variable(first) = self.peek() else {
            return Ok((Vec::new(), false));
        };
        let is_set = |kind: &Kind<'_>| matches!(kind, Kind::Declare | Kind::Assign);
        let names: Vec<Rc<str>> = match &self.ahead(1).kind {
            kind if is_set(kind) => vec![first.into()],
            Kind::Comma => match (&self.ahead(2).kind, &self.ahead(3).kind) {
                (Kind::Variable(second), kind) if context == "range" && is_set(kind) => {
                    vec![first.into(), (*second).into()]
                }
                _ if context == "range" => {
                    return self.error(self.here(), "range can only initialize variables");
                }
                _ => return self.error(self.here(), format!("too many declarations in {context}")),
            },
            _ => return Ok((Vec::new(), false)),
        };
        let mut assign = false;
        for _ in 0..names.len() {
            self.next();
            assign = self.next().kind == Kind::Assign;
        }
        if assign {
            for name in &names {
                self.check_variable(name, self.here())?;
            }
        }
        Ok((names, assign))
    }

    pub(super) fn check_variable(&self, name: &str, at: Position) -> Parsed<()> {
        if self.variables.iter().any(|known| **known == *name) {
            return Ok(());
        }
        self.error(at, format!("undefined variable {name:?}"))
    }

    pub(super) fn command(&mut self) -> Parsed<Command> {
        let mut words: Vec<Word> = Vec::new();
        while let Some(word) = self.operand()? {
            words.push(word);
            let spaced = self.ahead(0).spaced;
            let ends = matches!(
                self.peek(),
                Kind::Pipe | Kind::Close | Kind::RightParen | Kind::End
            );
            if !spaced && !ends {
                let token = self.next();
                return self.unexpected(&token, "operand");
            }
        }
        match words.first() {
            Some(first) => Ok(Command {
                at: first.at,
                words,
            }),
            None => {
                let token = self.next();
                self.unexpected(&token, "command")
            }
        }
    }

    /// A term and the fields that follow without white space.
    pub(super) fn operand(&mut self) -> Parsed<Option<Word>> {
        let Some(mut word) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        while let Token {
            kind: Kind::Field(name),
            spaced: false,
            ..
        } = self.ahead(0)
        {
            fields.push(Rc::from(*name));
            self.next();
        }
        if fields.is_empty() {
            return Ok(Some(word));
        }
        word.kind = match word.kind {
            WordKind::Field(mut path) => {
                path.append(&mut fields);
                WordKind::Field(path)
            }
            WordKind::Variable(name, _) => WordKind::Variable(name, fields),
            WordKind::Dot | WordKind::Nil | WordKind::Literal(_) => {
                return self.error(word.at, "unexpected `.` after a term that has no fields");
            }
            kind => WordKind::Chain(Box::new(Word { at: word.at, kind }), fields),
        };
        Ok(Some(word))
    }

    pub(super) fn term(&mut self) -> Parsed<Option<Word>> {
        let kind = match self.peek().clone() {
            Kind::Dot => WordKind::Dot,
            Kind::Field(name) => WordKind::Field(vec![name.into()]),
            Kind::Int(value) => WordKind::Literal(Value::Int(value)),
            Kind::Float(value) => WordKind::Literal(Value::Float(value)),
            Kind::Quoted(text) => WordKind::Literal(Value::text(text)),
            Kind::Variable(name) => {
                let at = self.next().at;
                self.check_variable(name, at)?;
                return Ok(Some(Word {
                    at,
                    kind: WordKind::Variable(name.into(), Vec::new()),
                }));
            }
            Kind::Word(word) => match word {
                "true" => WordKind::Literal(Value::Bool(true)),
                "false" => WordKind::Literal(Value::Bool(false)),
                "nil" => WordKind::Nil,
                name => WordKind::Function(self.function(name)?),
            },
            Kind::LeftParen => {
                let at = self.next().at;
                let pipeline =
                    self.nested(|p| p.pipeline("parenthesized pipeline", &Kind::RightParen))?;
                return Ok(Some(Word {
                    at,
                    kind: WordKind::Pipeline(Box::new(pipeline)),
                }));
            }
            _ => return Ok(None),
        };
        Ok(Some(Word {
            at: self.next().at,
            kind,
        }))
    }

    pub(super) fn function(&mut self, name: &str) -> Parsed<&'static Function> {
        match self.library.find(name) {
            Some(function) => Ok(function),
            None => {
                let at = self.next().at;
                self.error(at, format!("function {name:?} not defined"))
            }
        }
    }
}
