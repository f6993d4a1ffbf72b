//! Template text to tokens.

use std::borrow::Cow;

use super::ast::Position;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'t> {
    /// Text outside of actions, already trimmed.
    Text(&'t str),
    /// `{{` and `}}`.
    Open,
    Close,
    /// A function or keyword.
    Word(&'t str),
    /// `.name`, and `.` alone.
    Field(&'t str),
    Dot,
    /// `$name`, or `$`; with its `$`.
    Variable(&'t str),
    Int(i64),
    Float(f64),
    /// A string literal, escapes resolved.
    Quoted(Cow<'t, str>),
    LeftParen,
    RightParen,
    Pipe,
    Declare,
    Assign,
    Comma,
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token<'t> {
    pub kind: Kind<'t>,
    pub at: Position,
    /// Whether white space stands before it: `.a .b` is two words, `.a.b` is one.
    pub spaced: bool,
}

/// A malformed token.
#[derive(Debug)]
pub(super) struct LexError {
    pub at: Position,
    pub message: String,
}

struct Lexer<'t> {
    rest: &'t str,
    at: Position,
    tokens: Vec<Token<'t>>,
}

/// Splits a template into tokens; the last one is [`Kind::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, LexError> {
    let at = Position { line: 1, column: 1 };
    let mut lexer = Lexer {
        rest: text,
        at,
        tokens: Vec::new(),
    };
    let mut trim = false;
    loop {
        let Some(open) = lexer.rest.find("{{") else {
            lexer.text(lexer.rest.len(), trim, false);
            lexer.push(Kind::End, lexer.at, false);
            return Ok(lexer.tokens);
        };
        let after = &lexer.rest[open + 2..];
        let trims_before = trim_marker_left(after);
        lexer.text(open, trim, trims_before);
        let at = lexer.at;
        lexer.advance(2 + if trims_before { 2 } else { 0 });
        trim = if lexer.rest.starts_with("/*") {
            lexer.comment(at)?
        } else {
            lexer.push(Kind::Open, at, false);
            lexer.action(at)?
        };
    }
}

/// `{{- `: a dash and white space.
fn trim_marker_left(after_open: &str) -> bool {
    let mut chars = after_open.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        let lines = passed.bytes().filter(|b| *b == b'\n').count();
        let last_line = match lines {
            0 => passed,
            _ => {
                self.at.line += lines;
                self.at.column = 1;
                passed.rsplit('\n').next().unwrap_or_default()
            }
        };
        self.at.column += last_line.chars().count();
    }

    fn push(&mut self, kind: Kind<'t>, at: Position, spaced: bool) {
        self.tokens.push(Token { kind, at, spaced });
    }

    fn error(&self, at: Position, message: impl Into<String>) -> LexError {
        LexError {
            at,
            message: message.into(),
        }
    }

    fn text(&mut self, bytes: usize, trim_start: bool, trim_end: bool) {
        let mut text = &self.rest[..bytes];
        if trim_start {
            text = text.trim_start_matches(is_space);
        }
        if trim_end {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            self.push(Kind::Text(text), self.at, false);
        }
        self.advance(bytes);
    }

    /// Skips a comment; whether it trims the text behind it.
    fn comment(&mut self, at: Position) -> Result<bool, LexError> {
        let Some(end) = self.rest.find("*/") else {
            return Err(self.error(at, "unclosed comment, expected `*/}}`"));
        };
        self.advance(end + 2);
        match self.close() {
            Some(trim) => Ok(trim),
            None => Err(self.error(at, "comment ends before closing delimiter, expected `*/}}`")),
        }
    }

    /// Steps over `}}` or ` -}}` where one is next; whether it trims.
    fn close(&mut self) -> Option<bool> {
        if self.rest.starts_with("}}") {
            self.advance(2);
            return Some(false);
        }
        let dashed = self.rest.starts_with(is_space) && self.rest[1..].starts_with("-}}");
        if dashed {
            self.advance(4);
            return Some(true);
        }
        None
    }

    /// Tokens up to the closing delimiter; whether it trims the text behind it.
    fn action(&mut self, opened: Position) -> Result<bool, LexError> {
        let mut spaced = true;
        loop {
            let at = self.at;
            if let Some(trim) = self.close() {
                self.push(Kind::Close, at, spaced);
                return Ok(trim);
            }
            let Some(c) = self.rest.chars().next() else {
                return Err(self.error(opened, "unclosed action, expected `}}`"));
            };
            if is_space(c) {
                // Up to the last blank: that one may belong to ` -}}`.
                let blanks = self.rest.find(|c| !is_space(c)).unwrap_or(self.rest.len());
                self.advance(if blanks > 1 { blanks - 1 } else { 1 });
                spaced = true;
                continue;
            }
            let (kind, length) = self.token(c, at)?;
            self.advance(length);
            self.push(kind, at, spaced);
            spaced = false;
        }
    }

    fn token(&self, c: char, at: Position) -> Result<(Kind<'t>, usize), LexError> {
        let rest = self.rest;
        let second = rest[c.len_utf8()..].chars().next();
        Ok(match c {
            '(' => (Kind::LeftParen, 1),
            ')' => (Kind::RightParen, 1),
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '=' => (Kind::Assign, 1),
            ':' if second == Some('=') => (Kind::Declare, 2),
            ':' => return Err(self.error(at, "expected `:=`")),
            '"' | '`' => self.string(c, at)?,
            '\'' => self.character(at)?,
            '$' => {
                let name = word(&rest[1..]);
                (Kind::Variable(&rest[..=name.len()]), 1 + name.len())
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => {
                let name = word(&rest[1..]);
                let kind = if name.is_empty() {
                    Kind::Dot
                } else {
                    Kind::Field(name)
                };
                (kind, 1 + name.len())
            }
            '+' | '-' | '.' | '0'..='9' => self.number(at)?,
            c if is_word(c) => {
                let name = word(rest);
                (Kind::Word(name), name.len())
            }
            c => return Err(self.error(at, format!("unexpected character {c:?} in action"))),
        })
    }

    fn string(&self, quote: char, at: Position) -> Result<(Kind<'t>, usize), LexError> {
        let unterminated = || self.error(at, "unterminated string");
        if quote == '`' {
            let end = self.rest[1..].find('`').ok_or_else(unterminated)?;
            let raw = &self.rest[1..=end];
            let text = match raw.contains('\r') {
                true => Cow::Owned(raw.replace('\r', "")),
                false => Cow::Borrowed(raw),
            };
            return Ok((Kind::Quoted(text), end + 2));
        }
        let mut escaped = false;
        for (i, c) in self.rest.char_indices().skip(1) {
            match c {
                '\n' => return Err(unterminated()),
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    let text = unescape(&self.rest[1..i])
                        .ok_or_else(|| self.error(at, "invalid escape in string"))?;
                    return Ok((Kind::Quoted(text), i + 1));
                }
                _ => escaped = false,
            }
        }
        Err(unterminated())
    }

    fn character(&self, at: Position) -> Result<(Kind<'t>, usize), LexError> {
        let bad = || self.error(at, "malformed character constant");
        let skip = if self.rest[1..].starts_with('\\') {
            3
        } else {
            2
        };
        let end = self
            .rest
            .get(skip..)
            .and_then(|r| r.find('\''))
            .ok_or_else(bad)?
            + skip;
        let text = unescape(&self.rest[1..end]).ok_or_else(bad)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok((Kind::Int(i64::from(u32::from(c))), end + 1)),
            _ => Err(bad()),
        }
    }

    fn number(&self, at: Position) -> Result<(Kind<'t>, usize), LexError> {
        let mut length = 0;
        let mut before = ' ';
        for c in self.rest.chars() {
            let hex = self.rest.trim_start_matches(['+', '-']).starts_with("0x");
            let sign = matches!(c, '+' | '-')
                && (length == 0
                    || (matches!(before, 'e' | 'E') && !hex)
                    || matches!(before, 'p' | 'P'));
            if !(sign || c == '.' || c == '_' || c.is_alphanumeric()) {
                break;
            }
            length += c.len_utf8();
            before = c;
        }
        let literal = &self.rest[..length];
        let bad = || self.error(at, format!("bad number syntax: {literal:?}"));
        let clean = literal.replace('_', "");
        let (negative, digits) = match clean.as_bytes().first() {
            Some(b'-') => (true, &clean[1..]),
            Some(b'+') => (false, &clean[1..]),
            _ => (false, clean.as_str()),
        };
        if let Some(magnitude) = super::super::yaml::go_integer(digits) {
            let value = if negative {
                0i64.checked_sub_unsigned(magnitude)
            } else {
                i64::try_from(magnitude).ok()
            };
            let value = value.ok_or_else(|| self.error(at, format!("{literal} overflows int")))?;
            return Ok((Kind::Int(value), length));
        }
        let plain = !digits.is_empty()
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        match clean.parse::<f64>() {
            Ok(value) if plain && value.is_finite() => Ok((Kind::Float(value), length)),
            _ => Err(bad()),
        }
    }
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Resolves Go's escapes; `None` where one is malformed or the result is not UTF-8.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c != '\\' {
            out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let number = |skip: usize, digits: usize, radix: u32| {
            let code = u32::from_str_radix(rest.get(skip..skip + digits)?, radix).ok()?;
            Some((code, skip + digits))
        };
        let (code, length) = match rest[1..].chars().next()? {
            'a' => (7, 2),
            'b' => (8, 2),
            'f' => (12, 2),
            'n' => (10, 2),
            'r' => (13, 2),
            't' => (9, 2),
            'v' => (11, 2),
            c @ ('\\' | '\'' | '"') => (u32::from(c), 2),
            'x' => number(2, 2, 16)?,
            '0'..='7' => number(1, 3, 8)?,
            'u' => number(2, 4, 16)?,
            'U' => number(2, 8, 16)?,
            _ => return None,
        };
        if rest[1..].starts_with(['u', 'U']) {
            out.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).bytes());
        } else {
            out.push(u8::try_from(code).ok()?);
        }
        rest = &rest[length..];
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        lex(text).unwrap().into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn text_is_trimmed_by_markers() {
        let text = Kind::Text;
        assert_eq!(
            kinds("a  {{- 1 -}}\n b {{/* c */}} d {{- /* e */ -}} f"),
            [
                text("a"),
                Kind::Open,
                Kind::Int(1),
                Kind::Close,
                text("b "),
                text(" d"),
                text("f"),
                Kind::End
            ]
        );
    }

    #[test]
    fn words_fields_variables_and_literals() {
        assert_eq!(
            kinds(r#"{{$x.a | f .b . "q\n\u263a" `raw` 'a' -0x1F 1.5e3 1_000}}"#),
            [
                Kind::Open,
                Kind::Variable("$x"),
                Kind::Field("a"),
                Kind::Pipe,
                Kind::Word("f"),
                Kind::Field("b"),
                Kind::Dot,
                Kind::Quoted("q\n☺".into()),
                Kind::Quoted("raw".into()),
                Kind::Int(97),
                Kind::Int(-31),
                Kind::Float(1500.0),
                Kind::Int(1000),
                Kind::Close,
                Kind::End
            ]
        );
    }

    #[test]
    fn errors_carry_their_place() {
        for (text, line, column, message) in [
            ("a\n {{ 1", 2, 2, "unclosed action"),
            ("{{/* a }}", 1, 1, "unclosed comment"),
            ("{{ \"a }}", 1, 4, "unterminated string"),
            ("{{ 12x }}", 1, 4, "bad number syntax"),
            ("{{ a & b }}", 1, 6, "unexpected character"),
            ("{{ \"\\q\" }}", 1, 4, "invalid escape"),
        ] {
            let error = lex(text).unwrap_err();
            assert!(
                error.message.starts_with(message),
                "{text}: {}",
                error.message
            );
            assert_eq!(error.at, Position { line, column }, "{text}");
        }
    }

    #[test]
    fn byte_escapes() {
        assert_eq!(unescape(r"\x41\101\t").as_deref(), Some("AA\t"));
        assert_eq!(unescape(r"\xff"), None);
    }
}
