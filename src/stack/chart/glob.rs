//! Shell patterns on slash-separated paths, for `.helmignore` and `.Files.Glob`.

/// What a pattern may say beyond `*`, `?` and `[a-z]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Go's `filepath.Match`.
    FileMatch,
    /// Also `**` across slashes and `{a,b}`, as in `.Files.Glob`.
    Extended,
}

/// Whether `text` as a whole matches; `None` where the pattern is malformed.
pub(super) fn matches(pattern: &str, text: &str, dialect: Dialect) -> Option<bool> {
    let mut steps = STEP_LIMIT;
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    is_well_formed(&pattern, dialect).then(|| at(&pattern, &text, dialect, &mut steps))
}

/// Patterns of many stars take exponential time on texts that nearly match; none that is meant
/// comes near this.
const STEP_LIMIT: usize = 100_000;

fn is_well_formed(pattern: &[char], dialect: Dialect) -> bool {
    let (mut i, mut depth) = (0, 0);
    while i < pattern.len() {
        match pattern[i] {
            '\\' => i += 1,
            '[' => match class(&pattern[i..], 'x') {
                Some((_, length)) => i += length - 1,
                None => return false,
            },
            '{' if dialect == Dialect::Extended => depth += 1,
            '}' if dialect == Dialect::Extended && depth > 0 => depth -= 1,
            _ => {}
        }
        i += 1;
    }
    depth == 0 && i == pattern.len()
}

fn at(pattern: &[char], text: &[char], dialect: Dialect, steps: &mut usize) -> bool {
    *steps = steps.saturating_sub(1);
    if *steps == 0 {
        return false;
    }
    let Some(&first) = pattern.first() else {
        return text.is_empty();
    };
    match first {
        '*' => {
            let crossing = dialect == Dialect::Extended && pattern.get(1) == Some(&'*');
            let rest = &pattern[if crossing { 2 } else { 1 }..];
            let reach = match text.iter().position(|c| *c == '/') {
                Some(slash) if !crossing => slash,
                _ => text.len(),
            };
            (0..=reach).any(|i| at(rest, &text[i..], dialect, steps))
        }
        '{' if dialect == Dialect::Extended => {
            let Some((alternatives, rest)) = alternatives(pattern) else {
                return false;
            };
            alternatives.iter().any(|alternative| {
                let joined: Vec<char> = alternative.iter().chain(rest).copied().collect();
                at(&joined, text, dialect, steps)
            })
        }
        _ => {
            let Some(&c) = text.first() else { return false };
            let (matched, length) = match first {
                '?' => (c != '/', 1),
                '[' => match class(pattern, c) {
                    Some((matched, length)) => (matched && c != '/', length),
                    None => return false,
                },
                '\\' => (pattern.get(1) == Some(&c), 2),
                literal => (literal == c, 1),
            };
            matched
                && at(
                    &pattern[length.min(pattern.len())..],
                    &text[1..],
                    dialect,
                    steps,
                )
        }
    }
}

/// A character class at the start of `pattern`: whether `c` is in it, and its length.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let mut i = 1;
    let negated = matches!(pattern.get(1), Some('^' | '!'));
    i += usize::from(negated);
    let mut found = false;
    let mut empty = true;
    loop {
        let low = match *pattern.get(i)? {
            ']' if !empty => return Some((found != negated, i + 1)),
            '\\' => {
                i += 1;
                *pattern.get(i)?
            }
            other => other,
        };
        empty = false;
        i += 1;
        let high = if pattern.get(i) == Some(&'-') && pattern.get(i + 1) != Some(&']') {
            i += 2;
            *pattern.get(i - 1)?
        } else {
            low
        };
        found |= (low..=high).contains(&c);
    }
}

/// The alternatives of `{a,b}` at the start of `pattern`, and what follows them.
fn alternatives(pattern: &[char]) -> Option<(Vec<Vec<char>>, &[char])> {
    let mut all = vec![Vec::new()];
    let mut depth = 0;
    for (i, &c) in pattern.iter().enumerate().skip(1) {
        match c {
            '}' if depth == 0 => return Some((all, &pattern[i + 1..])),
            ',' if depth == 0 => {
                all.push(Vec::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        all.last_mut()?.push(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_like_a_shell() {
        for (pattern, text, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "dir/a.yaml", false),
            ("dir/*", "dir/a", true),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("**.yaml", "dir/a.yaml", true),
            ("conf/**", "conf/a/b", true),
            ("{a,b/*}.txt", "b/c.txt", true),
            ("{a,b}.txt", "c.txt", false),
        ] {
            assert_eq!(
                matches(pattern, text, Dialect::Extended),
                Some(expected),
                "{pattern} {text}"
            );
        }
        assert_eq!(matches("**", "a/b", Dialect::FileMatch), Some(false));
        assert_eq!(matches("{a}", "{a}", Dialect::FileMatch), Some(true));
        assert_eq!(matches("[a", "a", Dialect::FileMatch), None);
        assert_eq!(matches("{a", "a", Dialect::Extended), None);
    }

    proptest! {
        #[test]
        fn hostile_patterns_end(pattern in "[*a{},\\[\\]?-]{0,30}", text in "[a/]{0,40}") {
            let _ = matches(&pattern, &text, Dialect::Extended);
        }
    }
}
