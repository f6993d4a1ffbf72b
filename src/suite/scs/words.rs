//! Command lines as scope files write them: names in braces are replaced, then the text is split as
//! a POSIX shell would split it. Both follow what Python does, since the SCS checker is written in it.

/// Why a text with names in braces cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A brace stands alone.
    #[error("a single `{0}`; expected `{0}{0}`, or a name in braces")]
    Single(char),
    /// No variable has the name.
    #[error("there is no variable `{0}`")]
    Unknown(String),
    /// More than a name stands in the braces.
    #[error("`{{{0}}}` is more than a variable's name")]
    NotAName(String),
}

/// Replaces each `{name}` by its value, and doubled braces by single ones.
///
/// # Errors
/// When the braces do not match, or there is no such variable.
pub fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, FillError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = if rest[at..].starts_with('{') {
            '{'
        } else {
            '}'
        };
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push(brace);
            rest = after;
            continue;
        }
        if brace == '}' {
            return Err(FillError::Single('}'));
        }
        let (name, after) = rest.split_once('}').ok_or(FillError::Single('{'))?;
        let plain = !name.is_empty()
            && !name.contains(['{', '!', ':', '.', '['])
            && !name.chars().all(|c| c.is_ascii_digit());
        if !plain {
            return Err(FillError::NotAName(name.to_owned()));
        }
        filled.push_str(value(name).ok_or_else(|| FillError::Unknown(name.to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Why a command line cannot be split. The words are those of Python's `shlex`, since they end up in
/// reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quotation mark is never closed.
    #[error("No closing quotation")]
    Quotation,
    /// A backslash escapes nothing.
    #[error("No escaped character")]
    Escape,
}

/// Splits a command line: single and double quotes, backslashes, and blanks; `#` begins no comment.
///
/// # Errors
/// When a quotation mark or a backslash is left alone.
pub fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(SplitError::Quotation)? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(SplitError::Quotation)? {
                        '"' => break,
                        '\\' => match characters.next().ok_or(SplitError::Escape)? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => {
                let escaped = characters.next().ok_or(SplitError::Escape)?;
                word.get_or_insert_default().push(escaped);
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(text: &str) -> Result<String, FillError> {
        fill(text, |name| (name == "a").then_some("one {two}"))
    }

    #[test]
    fn names_are_replaced_once_and_doubled_braces_are_single_ones() {
        assert_eq!(filled("-k {a} {{a}} }}{{").unwrap(), "-k one {two} {a} }{");
        assert_eq!(filled("").unwrap(), "");
    }

    #[test]
    fn what_python_would_refuse_is_refused() {
        assert_eq!(filled("{b}"), Err(FillError::Unknown("b".to_owned())));
        assert_eq!(filled("{a"), Err(FillError::Single('{')));
        assert_eq!(filled("a}"), Err(FillError::Single('}')));
        for text in ["{}", "{0}", "{a.b}", "{a!r}", "{a:>3}", "{a[0]}"] {
            assert!(
                matches!(filled(text), Err(FillError::NotAName(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let words = split(r#"run -a '--focus "Net Pol"' "a\"b\\c\d" e\ f '' # g"#).unwrap();
        let wanted = [
            "run",
            "-a",
            "--focus \"Net Pol\"",
            "a\"b\\c\\d",
            "e f",
            "",
            "#",
            "g",
        ];
        assert_eq!(words, wanted);
        assert_eq!(split("'a"), Err(SplitError::Quotation));
        assert_eq!(split("a\\"), Err(SplitError::Escape));
        assert_eq!(split("\"a\\"), Err(SplitError::Escape));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^\u{0}]{0,12}", 0..6)) {
            let quoted: Vec<String> = words
                .iter()
                .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
                .collect();
            prop_assert_eq!(split(&quoted.join(" ")).unwrap(), words);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = split(&text);
            let _ = filled(&text);
        }
    }
}
