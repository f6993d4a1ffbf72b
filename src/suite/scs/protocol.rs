//! The line protocol of SCS test scripts: `id: PASS|FAIL|ABORT` on standard output, and lines that
//! begin with a level of a log.

/// What a script says about one testcase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The demand is not met.
    Fail,
    /// It could not be judged.
    Abort,
    /// It is met.
    Pass,
}

impl Word {
    /// The number in reports.
    #[must_use]
    pub const fn number(self) -> i8 {
        match self {
            Self::Fail => -1,
            Self::Abort => 0,
            Self::Pass => 1,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_uppercase().as_str() {
            "FAIL" => Some(Self::Fail),
            "ABORT" => Some(Self::Abort),
            "PASS" => Some(Self::Pass),
            _ => None,
        }
    }
}

/// The testcase and the word of a line that gives a verdict; any other line is free text.
#[must_use]
pub fn verdict(line: &str) -> Option<(&str, Word)> {
    let (id, word) = line.rsplit_once(':')?;
    Some((id.trim(), Word::parse(word.trim())?))
}

/// What a script's output says about the testcases it was asked for, in the order of their first
/// mention, and whom else it spoke of. The last word on a testcase counts.
#[must_use]
pub fn verdicts<'a>(lines: &'a [String], asked: &[String]) -> (Vec<(String, Word)>, Vec<&'a str>) {
    let mut found: Vec<(String, Word)> = Vec::new();
    let mut strangers = Vec::new();
    for (id, word) in lines.iter().filter_map(|line| verdict(line)) {
        if !asked.iter().any(|asked| asked == id) {
            strangers.push(id);
        } else if let Some((_, known)) = found.iter_mut().find(|(known, _)| known == id) {
            *known = word;
        } else {
            found.push((id.to_owned(), word));
        }
    }
    (found, strangers)
}

/// The lines of a text, ended by whatever Python's `splitlines` takes for the end of one.
#[must_use]
pub fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let ends_line = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines: Vec<String> = text.split(ends_line).map(str::to_owned).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// How many lines begin with each level of a log, upper or lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// `info`.
    pub info: u32,
    /// `warning`.
    pub warning: u32,
    /// `error`.
    pub error: u32,
    /// `critical`: the script could not do its work.
    pub critical: u32,
}

impl Levels {
    /// Counts.
    #[must_use]
    pub fn count<'a>(lines: impl Iterator<Item = &'a String> + Clone) -> Self {
        let level = |name: &str| {
            let named = lines
                .clone()
                .filter(|line| line.to_lowercase().starts_with(name));
            u32::try_from(named.count()).unwrap_or(u32::MAX)
        };
        Self {
            info: level("info"),
            warning: level("warning"),
            error: level("error"),
            critical: level("critical"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_verdict_is_split_at_the_last_colon_whatever_its_case() {
        for (line, told) in [
            ("a: PASS", Some(("a", Word::Pass))),
            (" a:b :fail ", Some(("a:b", Word::Fail))),
            ("x: Abort", Some(("x", Word::Abort))),
            ("a: PASSED", None),
            ("PASS", None),
            ("a: PASS: no", None),
        ] {
            assert_eq!(verdict(line), told, "{line}");
        }
    }

    #[test]
    fn the_last_word_counts_and_strangers_are_told() {
        let lines = lines("a: PASS\nb: FAIL\nz: PASS\na: ABORT\r\nfree text");
        let asked = ["a".to_owned(), "b".to_owned()];
        let (found, strangers) = verdicts(&lines, &asked);
        let wanted = [("a".to_owned(), Word::Abort), ("b".to_owned(), Word::Fail)];
        assert_eq!((found, strangers), (wanted.to_vec(), vec!["z"]));
    }

    #[test]
    fn levels_are_counted_by_how_lines_begin() {
        let lines = lines("ERROR: a\nerrors\n error\nCritical\nINFO\nwarning:");
        let wanted = Levels {
            info: 1,
            warning: 1,
            error: 2,
            critical: 1,
        };
        assert_eq!(Levels::count(lines.iter()), wanted);
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(
            lines("a\r\nb\rc\u{b}d\u{2028}e\n\n"),
            ["a", "b", "c", "d", "e", ""]
        );
        assert!(lines("").is_empty());
        assert_eq!(lines("\n"), [""]);
    }

    proptest! {
        #[test]
        fn no_output_is_misread_as_a_verdict_on_somebody_else(text in ".{0,200}") {
            let asked = ["asked".to_owned()];
            let lines = lines(&text);
            let (found, _) = verdicts(&lines, &asked);
            prop_assert!(found.iter().all(|(id, _)| id == "asked"));
        }
    }
}
