//! Functions on the case and length of words.

use super::{Function, Value, int_arg, pure, text_arg};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("title", 1, 1, |a| Ok(Value::text(title(text_arg(a, 0)?)))),
    pure("untitle", 1, 1, |a| {
        Ok(Value::text(untitle(text_arg(a, 0)?)))
    }),
    pure("nospace", 1, 1, |a| {
        Ok(Value::text(
            text_arg(a, 0)?.replace(char::is_whitespace, ""),
        ))
    }),
    pure("initials", 1, 1, |a| {
        let words = text_arg(a, 0)?.split_whitespace();
        Ok(Value::text(
            words.filter_map(|w| w.chars().next()).collect::<String>(),
        ))
    }),
    pure("swapcase", 1, 1, |a| {
        Ok(Value::text(swap_case(text_arg(a, 0)?)))
    }),
    pure("camelcase", 1, 1, |a| {
        Ok(Value::text(pascal_case(text_arg(a, 0)?)))
    }),
    pure("snakecase", 1, 1, |a| {
        Ok(Value::text(connected(text_arg(a, 0)?, '_')))
    }),
    pure("kebabcase", 1, 1, |a| {
        Ok(Value::text(connected(text_arg(a, 0)?, '-')))
    }),
    pure("abbrev", 2, 2, |a| {
        Ok(Value::text(abbreviate(text_arg(a, 1)?, 0, int_arg(a, 0)?)))
    }),
    pure("abbrevboth", 3, 3, |a| {
        Ok(Value::text(abbreviate(
            text_arg(a, 2)?,
            int_arg(a, 0)?,
            int_arg(a, 1)?,
        )))
    }),
    pure("wrap", 2, 2, |a| {
        Ok(Value::text(wrap(
            text_arg(a, 1)?,
            int_arg(a, 0)?,
            "\n",
            false,
        )))
    }),
    pure("wrapWith", 3, 3, |a| {
        Ok(Value::text(wrap(
            text_arg(a, 2)?,
            int_arg(a, 0)?,
            text_arg(a, 1)?,
            true,
        )))
    }),
];

fn title(text: &str) -> String {
    let mut after_word = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let in_word = c.is_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_whitespace());
        if in_word && !after_word {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        after_word = in_word;
    }
    out
}

fn untitle(text: &str) -> String {
    let mut after_space = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if after_space && !c.is_whitespace() {
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
        after_space = c.is_whitespace();
    }
    out
}

fn swap_case(text: &str) -> String {
    let swap = |c: char| -> String {
        if c.is_uppercase() {
            c.to_lowercase().collect()
        } else {
            c.to_uppercase().collect()
        }
    };
    text.chars().map(swap).collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

fn upper(c: char) -> char {
    c.to_uppercase().next().unwrap_or(c)
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// `some_words` to `SomeWords`: runs of capitals become one word, leading connectors stay.
fn pascal_case(text: &str) -> String {
    let mut out: String = text.chars().take_while(|c| is_connector(*c)).collect();
    let mut rest = text[out.len()..].chars();
    let Some(first) = rest.next() else { return out };
    let mut word_is_upper = first.is_uppercase();
    let mut before = upper(first);
    for mut c in rest {
        if is_connector(before) && is_connector(c) {
            out.push(before);
            continue;
        }
        if is_connector(before) {
            word_is_upper = c.is_uppercase();
            c = upper(c);
        } else {
            if word_is_upper && c.is_uppercase() {
                c = lower(c);
            } else if word_is_upper {
                word_is_upper = false;
            }
            out.push(before);
        }
        before = c;
    }
    out.push(before);
    out
}

/// What a run of characters is made of.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Connector,
    Punctuation,
    /// Starts with a capital: `HTTP`, `Server`.
    Capital,
    Letters,
    Digits,
    Other,
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic()
}

/// The first run of `chars` and its length.
fn first_run(chars: &[char]) -> (Run, usize) {
    let c = chars[0];
    let run =
        |belongs: &dyn Fn(char) -> bool| 1 + chars[1..].iter().take_while(|c| belongs(**c)).count();
    let small = |c: char| is_letter(c) && !c.is_uppercase();
    if is_connector(c) {
        return (Run::Connector, run(&is_connector));
    }
    if c.is_ascii_punctuation() {
        return (
            Run::Punctuation,
            run(&|c| c.is_ascii_punctuation() && !is_connector(c)),
        );
    }
    if c.is_uppercase() {
        return match chars.get(1) {
            Some(second) if second.is_uppercase() => {
                let capitals = run(&char::is_uppercase);
                // In `HTTPServer` the last capital begins the next word.
                let next_word = chars.get(capitals).is_some_and(|c| is_letter(*c));
                (Run::Capital, capitals - usize::from(next_word))
            }
            _ => (Run::Capital, run(&small)),
        };
    }
    if is_letter(c) {
        return (Run::Letters, run(&small));
    }
    if c.is_numeric() {
        return (Run::Digits, run(&char::is_numeric));
    }
    let other =
        |c: char| !is_connector(c) && !is_letter(c) && !c.is_numeric() && !c.is_ascii_punctuation();
    (Run::Other, run(&other))
}

/// The words of `someHTTPWords_2` in lower case, with `connector` between them.
fn connected(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut runs = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (kind, length) = first_run(&chars[at..]);
        runs.push((kind, &chars[at..at + length]));
        at += length;
    }
    let mut out = String::with_capacity(text.len() + 8);
    let put = |out: &mut String, (kind, run): (Run, &[char])| match kind {
        Run::Connector => out.extend(run.iter().map(|_| connector)),
        _ => out.extend(
            run.iter()
                .map(|c| if kind == Run::Capital { lower(*c) } else { *c }),
        ),
    };
    let starts_word = |i: usize| {
        runs.get(i)
            .is_some_and(|(kind, _)| !matches!(kind, Run::Connector | Run::Punctuation))
    };
    let in_number = |i: usize| matches!(runs.get(i), Some((Run::Letters | Run::Digits, _)));
    let mut i = 0;
    while i < runs.len() {
        put(&mut out, runs[i]);
        let kind = runs[i].0;
        i += 1;
        match kind {
            Run::Connector | Run::Punctuation => {}
            Run::Digits => {
                while in_number(i) {
                    put(&mut out, runs[i]);
                    i += 1;
                }
                if starts_word(i) {
                    out.push(connector);
                }
            }
            _ if runs.get(i).is_some_and(|(kind, _)| *kind == Run::Digits) => {
                // Digits end the word before them (`Bld4`), unless small letters follow (`2xx`).
                let letters_follow = runs
                    .get(i + 1)
                    .is_some_and(|(kind, _)| *kind == Run::Letters);
                if letters_follow {
                    out.push(connector);
                    while in_number(i) {
                        put(&mut out, runs[i]);
                        i += 1;
                    }
                } else {
                    put(&mut out, runs[i]);
                    i += 1;
                }
                if starts_word(i) {
                    out.push(connector);
                }
            }
            _ => {
                if starts_word(i) {
                    out.push(connector);
                }
            }
        }
    }
    out
}

/// Shortens to `width` characters with `...` at the end, and at the start where `offset` is
/// beyond what the first part shows.
fn abbreviate(text: &str, offset: i64, width: i64) -> String {
    if width < 4 || (offset > 0 && width < 7) {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    if chars.len() <= width {
        return text.to_owned();
    }
    let shown = width - 3;
    let offset = usize::try_from(offset).unwrap_or(0).min(chars.len());
    let offset = if chars.len() - offset < shown {
        chars.len() - shown
    } else {
        offset
    };
    let collect = |part: &[char]| part.iter().collect::<String>();
    if offset <= 4 {
        return collect(&chars[..shown]) + "...";
    }
    if offset + shown < chars.len() {
        return format!(
            "...{}",
            abbreviate(&collect(&chars[offset..]), 0, shown as i64)
        );
    }
    format!("...{}", collect(&chars[chars.len() - shown..]))
}

/// Breaks lines after at most `width` characters; longer words only where `inside_words`.
fn wrap(text: &str, width: i64, newline: &str, inside_words: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let newline = if newline.is_empty() { "\n" } else { newline };
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while chars.len() - at > width {
        if chars[at] == ' ' {
            at += 1;
            continue;
        }
        let space_before = chars[at..=at + width].iter().rposition(|c| *c == ' ');
        let space_after = chars[at + width..].iter().position(|c| *c == ' ');
        let (end, next) = match (space_before, space_after) {
            (Some(space), _) => (at + space, at + space + 1),
            (None, _) if inside_words => (at + width, at + width),
            (None, Some(space)) => (at + width + space, at + width + space + 1),
            (None, None) => break,
        };
        out.extend(&chars[at..end]);
        out.push_str(newline);
        at = next;
    }
    out.extend(&chars[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_change_case() {
        assert_eq!(title("hello wide-world"), "Hello Wide-World");
        assert_eq!(untitle("Hello World"), "hello world");
        assert_eq!(pascal_case("http_SERVER-name"), "HttpServerName");
        assert_eq!(connected("FirstName", '_'), "first_name");
        assert_eq!(connected("HTTPServer", '-'), "http-server");
        assert_eq!(connected("HTTP20xOK", '_'), "http_20x_ok");
        assert_eq!(connected("Bld4Floor3rd", '_'), "bld4_floor_3rd");
        assert_eq!(swap_case("aBc"), "AbC");
    }

    #[test]
    fn long_texts_are_cut_and_wrapped() {
        assert_eq!(abbreviate("hello world", 0, 8), "hello...");
        assert_eq!(abbreviate("1234 5678 9123", 5, 10), "...5678...");
        assert_eq!(wrap("Hello World", 5, "\n", false), "Hello\nWorld");
    }
}
