//! How go-yaml decides to quote a string, and in what order it writes keys.

use std::cmp::Ordering;

use super::resolve::{Plain, is_base60, resolve};

#[derive(PartialEq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What a look at all characters of a scalar forbids.
struct Analysis {
    plain: bool,
    single: bool,
    block: bool,
    multiline: bool,
}

pub(super) fn style(text: &str, simple_key: bool) -> Style {
    let can_be_plain = matches!(resolve(text), Plain::Text | Plain::Merge) && !is_base60(text);
    let found = analyse(text);
    // go-yaml writes these as they are, which only readers of YAML 1.1 take for breaks; escaped they mean the
    // same to all.
    if text.contains(|c| is_break(c) && c != '\n') {
        return Style::Double;
    }
    let wanted = if text.contains('\n') {
        Style::Literal
    } else if can_be_plain {
        Style::Plain
    } else {
        Style::Double
    };
    match wanted {
        _ if simple_key && found.multiline => Style::Double,
        Style::Plain if !found.plain && found.single => Style::Single,
        Style::Plain if !found.plain => Style::Double,
        Style::Literal if !found.block || simple_key => Style::Double,
        style => style,
    }
}

fn analyse(text: &str) -> Analysis {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Analysis {
        plain: true,
        single: true,
        block: true,
        multiline: false,
    };
    if text.starts_with("---") || text.starts_with("...") {
        found.plain = false;
    }
    let blank_at = |i: usize| {
        chars
            .get(i)
            .is_none_or(|&c| c == ' ' || c == '\t' || is_break(c))
    };
    let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
    for (i, &c) in chars.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == chars.len());
        // go-yaml looks for a blank only (space or tab), or the end.
        let before_blank = last || matches!(chars[i + 1], ' ' | '\t');
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
            | '@' | '`'
                if first =>
            {
                found.plain = false;
            }
            '?' | ':' | '-' if first && before_blank => found.plain = false,
            ':' if before_blank => found.plain = false,
            '#' if after_blank => found.plain = false,
            _ => {}
        }
        if !is_printable(c) {
            (found.plain, found.single, found.block) = (false, false, false);
        }
        if c == ' ' {
            if first || last {
                found.plain = false;
            }
            found.block &= !last;
            if previous_break {
                (found.plain, found.single) = (false, false);
            }
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            found.multiline = true;
            found.plain = false;
            if previous_space {
                (found.single, found.block) = (false, false);
            }
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        after_blank = blank_at(i);
    }
    found
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

pub(super) fn escape(c: char) -> String {
    match c {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if (c as u32) <= 0xff => format!("\\x{:02X}", c as u32),
        c if (c as u32) <= 0xffff => format!("\\u{:04X}", c as u32),
        c => format!("\\U{:08X}", c as u32),
    }
}

/// go-yaml's order of keys: letters after the rest, runs of digits by their number.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            continue;
        }
        match (a[i].is_alphabetic(), b[i].is_alphabetic()) {
            (true, true) => return a[i].cmp(&b[i]),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        let mut seed = 0i64;
        if a[i] == '0' || b[i] == '0' {
            let digits = a[..i].iter().rev().take_while(|c| c.is_numeric());
            seed = i64::from(digits.into_iter().any(|&c| c != '0'));
        }
        let run = |s: &[char]| {
            let digits = s[i..].iter().take_while(|c| c.is_numeric());
            digits.fold((seed, i), |(n, end), c| {
                let digit = i64::from(u32::from(*c)) - i64::from(u32::from('0'));
                (n.wrapping_mul(10).wrapping_add(digit), end + 1)
            })
        };
        let ((an, ai), (bn, bi)) = (run(&a), run(&b));
        return an.cmp(&bn).then(ai.cmp(&bi)).then(a[i].cmp(&b[i]));
    }
    a.len().cmp(&b.len())
}
