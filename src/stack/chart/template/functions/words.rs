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
        Ok(Value::text(wrap(text_arg(a, 1)?, int_arg(a, 0)?, "\n")))
    }),
    pure("wrapWith", 3, 3, |a| {
        Ok(Value::text(wrap(
            text_arg(a, 2)?,
            int_arg(a, 0)?,
            text_arg(a, 1)?,
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

/// Words of `someHTTPWords_2` in lower case, with `connector` between them.
fn connected(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    for (i, &c) in chars.iter().enumerate() {
        if is_connector(c) {
            out.push(connector);
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        let starts_word = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_numeric()
                    || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if starts_word {
            out.push(connector);
        }
        out.push(lower(c));
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

/// Breaks lines after at most `width` characters, inside of words where they are longer.
fn wrap(text: &str, width: i64, newline: &str) -> String {
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
        let space = chars[at..=at + width].iter().rposition(|c| *c == ' ');
        let (end, next) = match space {
            Some(space) => (at + space, at + space + 1),
            None => (at + width, at + width),
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
        assert_eq!(swap_case("aBc"), "AbC");
    }

    #[test]
    fn long_texts_are_cut_and_wrapped() {
        assert_eq!(abbreviate("hello world", 0, 8), "hello...");
        assert_eq!(abbreviate("1234 5678 9123", 5, 10), "...5678...");
        assert_eq!(wrap("Hello World", 5, "\n"), "Hello\nWorld");
    }
}
