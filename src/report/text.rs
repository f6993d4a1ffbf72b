//! Text from clusters made harmless: no colour, no control characters, no surprise in length.

use std::borrow::Cow;

/// The text without escape sequences and control characters; lines and tabs stay.
///
/// What is left is valid in XML 1.0 (section 2.2, production `Char`) and cannot move a terminal's
/// cursor, change its title, or turn the direction of what follows.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for line in text.split_inclusive(['\n', '\r']) {
        // Line by line, so that a sequence without an end hides no more than its own line.
        let line = if line.contains('\u{1b}') || line.contains('\u{9b}') {
            console::strip_ansi_codes(line)
        } else {
            Cow::Borrowed(line)
        };
        clean.extend(line.chars().filter(|&c| is_harmless(c)));
    }
    Cow::Owned(clean)
}

fn is_harmless(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Not characters of XML.
        '\u{fffe}' | '\u{ffff}' => false,
        // Embeddings, overrides and isolates that turn the direction of writing.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        _ => !c.is_control(),
    }
}

/// The plain text on one line: every run of white space is one space.
#[must_use]
pub fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `bytes` of the text; says how much was left out and where the whole is.
#[must_use]
pub fn limited(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(bytes);
    let left_out = text.len() - end;
    Cow::Owned(format!(
        "{} [{left_out} more bytes in events.jsonl]",
        &text[..end]
    ))
}

/// Cut to so many columns of a terminal, with `…` where something is missing.
#[must_use]
pub fn cut(line: &str, columns: usize) -> Cow<'_, str> {
    // Without room for the mark there is room for nothing.
    console::truncate_str(line, columns, if columns == 0 { "" } else { "…" })
}

/// A duration in seconds as a clock shows it: `01:12`, `1:02:03`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colour_and_control_characters_are_gone_and_words_stay() {
        for (hostile, harmless) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{9b}31mb", "ab"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("bell\u{7} nul\0 del\u{7f}", "bell nul del"),
            ("tab\tand\nline", "tab\tand\nline"),
            ("crlf\r\nend", "crlf\nend"),
            ("\u{fffe}a\u{ffff}b\u{202e}c", "abc"),
        ] {
            assert_eq!(plain(hostile), harmless, "{hostile:?}");
        }
    }

    #[test]
    fn an_escape_sequence_without_an_end_hides_no_other_line() {
        let text = plain("one\n\u{1b}]0;never ends\nthree");
        assert!(
            text.starts_with("one\n") && text.ends_with("three"),
            "{text:?}"
        );
    }

    /// The reasons in docs/decisions/0001-junit.md; when this fails, they are to be judged anew.
    #[test]
    fn quick_junits_own_cleaning_is_not_enough() {
        let theirs = |text: &str| quick_junit::XmlString::new(text).into_string();
        assert_eq!(theirs("ERROR\tcontroller"), "ERRORcontroller");
        assert_eq!(theirs("one\n\u{1b}]0;never ends\nthree"), "one\n");
        assert_eq!(theirs("\u{fffe}\u{ffff}"), "\u{fffe}\u{ffff}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(limited("äöü", 3), "ä [4 more bytes in events.jsonl]");
        assert_eq!(limited("äöü", 6), "äöü");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
    }

    #[test]
    fn a_duration_is_shown_as_on_a_clock() {
        assert_eq!(
            (clock(72), clock(3723)),
            ("01:12".to_owned(), "1:02:03".to_owned())
        );
    }

    proptest! {
        #[test]
        fn plain_text_is_always_harmless_and_stays_as_it_is(text in any::<String>()) {
            let once = plain(&text);
            prop_assert!(once.chars().all(is_harmless));
            prop_assert_eq!(plain(&once), &*once);
        }

        #[test]
        fn one_line_is_one_line(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(!line.contains(['\n', '\t']) && line.trim() == line);
        }
    }
}
