//! Tokens to syntax trees, with the checks that Go makes before a template runs: functions and
//! variables exist, `break` stands in a loop, blocks are closed.

mod pipeline;

use std::rc::Rc;

use super::ast::{Branch, Node, Position, Tree};
use super::functions::Library;
use super::lex::{Kind, LexError, Token, lex};

/// Blocks and parentheses may nest this deep; beyond is no template anybody wrote.
const MAX_NESTING: usize = 150;

/// A malformed template.
#[derive(Debug)]
pub(super) struct ParseError {
    pub at: Position,
    pub message: String,
}

impl From<LexError> for ParseError {
    fn from(error: LexError) -> Self {
        ParseError {
            at: error.at,
            message: error.message,
        }
    }
}

type Parsed<T> = Result<T, ParseError>;

/// Nodes, and what ended them; `None` is the end of the text.
type Ended = (Vec<Node>, Option<(Stop, Position)>);

/// Parses the file or text `name`: its own tree first, then one per `define`.
pub(super) fn parse(
    name: &Rc<str>,
    file: &Rc<str>,
    text: &str,
    library: Library,
) -> Parsed<Vec<Tree>> {
    let mut parser = Parser {
        tokens: lex(text)?,
        index: 0,
        file: file.clone(),
        library,
        variables: vec![Rc::from("$")],
        loops: 0,
        nesting: 0,
        trees: Vec::new(),
    };
    let (body, end) = parser.list()?;
    if let Some((stop, at)) = end {
        return Err(ParseError {
            at,
            message: format!("unexpected {{{{{}}}}}", stop.word()),
        });
    }
    let mut trees = vec![Tree {
        name: name.clone(),
        file: file.clone(),
        body,
    }];
    trees.append(&mut parser.trees);
    Ok(trees)
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    index: usize,
    file: Rc<str>,
    library: Library,
    variables: Vec<Rc<str>>,
    loops: usize,
    nesting: usize,
    trees: Vec<Tree>,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn word(self) -> &'static str {
        match self {
            Stop::End => "end",
            Stop::Else => "else",
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum BranchKind {
    If,
    With,
    Range,
}

impl<'t> Parser<'t> {
    fn error<T>(&self, at: Position, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError {
            at,
            message: message.into(),
        })
    }

    /// The token `ahead` places from here; the list ends in [`Kind::End`], which is never passed.
    fn ahead(&self, ahead: usize) -> &Token<'t> {
        &self.tokens[(self.index + ahead).min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.ahead(0).clone();
        self.index += 1;
        token
    }

    fn peek(&self) -> &Kind<'t> {
        &self.ahead(0).kind
    }

    fn here(&self) -> Position {
        self.ahead(0).at
    }

    fn peek_word(&self) -> Option<&'t str> {
        match self.peek() {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn expect(&mut self, kind: &Kind<'t>, context: &str) -> Parsed<()> {
        let token = self.next();
        if token.kind == *kind {
            return Ok(());
        }
        self.unexpected(&token, context)
    }

    fn unexpected<T>(&self, token: &Token<'t>, context: &str) -> Parsed<T> {
        let shown = match &token.kind {
            Kind::Close => "`}}`".to_owned(),
            Kind::End | Kind::Text(_) | Kind::Open => "end of action".to_owned(),
            Kind::Word(word) => format!("`{word}`"),
            Kind::Field(name) => format!("`.{name}`"),
            Kind::Variable(name) => format!("`{name}`"),
            Kind::Quoted(text) => format!("{text:?}"),
            other => format!("{other:?}").to_lowercase(),
        };
        self.error(token.at, format!("unexpected {shown} in {context}"))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.error(
                self.here(),
                format!("nested deeper than {MAX_NESTING} levels"),
            );
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// Nodes up to `{{end}}` or `{{else`, or to the end of the text (`None`).
    fn list(&mut self) -> Parsed<Ended> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::End => return Ok((nodes, None)),
                Kind::Text(text) => nodes.push(Node::Text(text.into())),
                Kind::Open => {
                    let at = token.at;
                    let word = self.peek_word();
                    match word {
                        Some("end") => {
                            self.next();
                            self.expect(&Kind::Close, "end")?;
                            return Ok((nodes, Some((Stop::End, at))));
                        }
                        Some("else") => {
                            self.next();
                            return Ok((nodes, Some((Stop::Else, at))));
                        }
                        _ => nodes.extend(self.action(at, word)?),
                    }
                }
                _ => return self.unexpected(&token, "template"),
            }
        }
    }

    fn action(&mut self, at: Position, word: Option<&str>) -> Parsed<Option<Node>> {
        let keyword = matches!(
            word,
            Some("if" | "with" | "range" | "define" | "block" | "template" | "break" | "continue")
        );
        if keyword {
            self.next();
        }
        Ok(match word {
            Some("if") => Some(Node::If(self.branch(at, BranchKind::If)?)),
            Some("with") => Some(Node::With(self.branch(at, BranchKind::With)?)),
            Some("range") => Some(Node::Range(self.branch(at, BranchKind::Range)?)),
            Some("define") => {
                self.define(at)?;
                None
            }
            Some("block") => Some(self.block(at)?),
            Some("template") => Some(self.template(at)?),
            Some(word @ ("break" | "continue")) => {
                self.expect(&Kind::Close, word)?;
                if self.loops == 0 {
                    return self.error(at, format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                Some(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                })
            }
            _ => Some(Node::Action(self.pipeline("command", &Kind::Close)?)),
        })
    }

    fn branch(&mut self, at: Position, kind: BranchKind) -> Parsed<Branch> {
        self.nested(|p| {
            let scope = p.variables.len();
            let branch = p.branch_in_scope(at, kind);
            p.variables.truncate(scope);
            branch
        })
    }

    fn branch_in_scope(&mut self, at: Position, kind: BranchKind) -> Parsed<Branch> {
        let context = match kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        let pipeline = self.pipeline(context, &Kind::Close)?;
        self.loops += usize::from(kind == BranchKind::Range);
        let inner = self.variables.len();
        let (body, stop) = self.list()?;
        self.variables.truncate(inner);
        self.loops -= usize::from(kind == BranchKind::Range);
        let Some((stop, _)) = stop else {
            return self.error(
                at,
                format!("unclosed {{{{{context}}}}}, expected {{{{end}}}}"),
            );
        };
        if stop == Stop::End {
            return Ok(Branch {
                pipeline,
                body,
                otherwise: None,
            });
        }
        let word = self.peek_word();
        let chained = match (kind, word) {
            (BranchKind::If, Some("if")) => Some(BranchKind::If),
            (BranchKind::With, Some("with")) => Some(BranchKind::With),
            _ => None,
        };
        if let Some(kind) = chained {
            let at = self.next().at;
            let inner = self.branch(at, kind)?;
            let node = if kind == BranchKind::If {
                Node::If(inner)
            } else {
                Node::With(inner)
            };
            return Ok(Branch {
                pipeline,
                body,
                otherwise: Some(vec![node]),
            });
        }
        self.expect(&Kind::Close, "else")?;
        // Only one {{else}}: in a loop's, `break` belongs to the loop around it.
        match self.list()? {
            (otherwise, Some((Stop::End, _))) => Ok(Branch {
                pipeline,
                body,
                otherwise: Some(otherwise),
            }),
            (_, Some((Stop::Else, at))) => self.error(at, "expected {{end}}; found {{else}}"),
            (_, None) => self.error(
                at,
                format!("unclosed {{{{{context}}}}}, expected {{{{end}}}}"),
            ),
        }
    }

    /// Parses a body that has its own variables, up to its `{{end}}`.
    fn body(&mut self, at: Position, context: &str) -> Parsed<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec![Rc::from("$")]);
        let loops = std::mem::take(&mut self.loops);
        let parsed = self.nested(Self::list);
        self.variables = variables;
        self.loops = loops;
        match parsed? {
            (body, Some((Stop::End, _))) => Ok(body),
            (_, Some((Stop::Else, at))) => self.error(at, "unexpected {{else}}"),
            (_, None) => self.error(
                at,
                format!("unclosed {{{{{context}}}}}, expected {{{{end}}}}"),
            ),
        }
    }

    fn name(&mut self, context: &str) -> Parsed<Rc<str>> {
        let token = self.next();
        match token.kind {
            Kind::Quoted(name) => Ok(name.into()),
            _ => self.unexpected(&token, context),
        }
    }

    fn define(&mut self, at: Position) -> Parsed<()> {
        if self.nesting > 0 {
            return self.error(at, "unexpected {{define}} inside a block");
        }
        let name = self.name("define clause")?;
        self.expect(&Kind::Close, "define clause")?;
        let body = self.body(at, "define")?;
        self.add(
            Tree {
                name,
                file: self.file.clone(),
                body,
            },
            at,
        )
    }

    fn add(&mut self, tree: Tree, at: Position) -> Parsed<()> {
        match self.trees.iter().position(|known| known.name == tree.name) {
            None => self.trees.push(tree),
            Some(known) if self.trees[known].is_empty() => self.trees[known] = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                return self.error(
                    at,
                    format!("multiple definition of template {:?}", tree.name),
                );
            }
        }
        Ok(())
    }

    fn block(&mut self, at: Position) -> Parsed<Node> {
        let name = self.name("block clause")?;
        let argument = Some(self.pipeline("block clause", &Kind::Close)?);
        let body = self.body(at, "block")?;
        self.add(
            Tree {
                name: name.clone(),
                file: self.file.clone(),
                body,
            },
            at,
        )?;
        Ok(Node::Template { name, argument, at })
    }

    fn template(&mut self, at: Position) -> Parsed<Node> {
        let name = self.name("template clause")?;
        if *self.peek() == Kind::Close {
            self.next();
            return Ok(Node::Template {
                name,
                argument: None,
                at,
            });
        }
        let argument = Some(self.pipeline("template clause", &Kind::Close)?);
        Ok(Node::Template { name, argument, at })
    }
}
