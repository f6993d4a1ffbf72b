//! `.helmignore`: which files of a chart folder are left out.

use super::ChartError;
use super::glob::{Dialect, matches};

/// Name of the file.
pub(super) const FILE_NAME: &str = ".helmignore";

/// The rules of one file, in order.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    pattern: String,
    negated: bool,
    directories_only: bool,
    /// Whether the pattern is about the whole path rather than the last part of it.
    whole_path: bool,
}

impl Rules {
    /// Parses `text`, whose name in errors is `file`.
    pub fn parse(file: &str, text: &str) -> Result<Rules, ChartError> {
        let mut rules = vec![Rule {
            pattern: "templates/.?*".into(),
            negated: false,
            directories_only: false,
            whole_path: true,
        }];
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |what: &str| Err(ChartError::file(file, Some(number + 1), what));
            if line.contains("**") {
                return refuse(
                    "`**` is not supported in .helmignore, expected `*`, `?` or `[a-z]`",
                );
            }
            let (negated, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let (directories_only, line) = match line.strip_suffix('/') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let pattern = line.strip_prefix('/').unwrap_or(line).to_owned();
            if matches(&pattern, "abc", Dialect::FileMatch).is_none() {
                return refuse("malformed pattern, expected `*`, `?` or `[a-z]`");
            }
            rules.push(Rule {
                pattern,
                negated,
                directories_only,
                whole_path: line.contains('/'),
            });
        }
        Ok(Rules(rules))
    }

    /// Whether the file or directory at `path` is left out. As Helm does it, the first rule that
    /// says so wins, and a negated rule leaves out whatever it does not match.
    pub fn ignores(&self, path: &str, is_directory: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        for rule in &self.0 {
            let subject = if rule.whole_path { path } else { name };
            let matched = matches(&rule.pattern, subject, Dialect::FileMatch) == Some(true);
            if rule.negated {
                if (rule.directories_only && !is_directory) || !matched {
                    return true;
                }
            } else if matched && (is_directory || !rule.directories_only) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_in_order() {
        let rules = Rules::parse("i", "# comment\n*.bak\nsecret/\n/top.txt\nsub/*.tmp\n").unwrap();
        for (path, directory, expected) in [
            ("a.bak", false, true),
            ("deep/down/a.bak", false, true),
            ("secret", true, true),
            ("secret", false, false),
            ("top.txt", false, true),
            ("sub/top.txt", false, false),
            ("sub/a.tmp", false, true),
            ("sub/deep/a.tmp", false, false),
            ("templates/.hidden", false, true),
            ("values.yaml", false, false),
        ] {
            assert_eq!(rules.ignores(path, directory), expected, "{path}");
        }
    }

    #[test]
    fn malformed_rules_name_their_line() {
        let error = Rules::parse("x/.helmignore", "ok\na/**/b\n")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("x/.helmignore:2: `**` is not supported"),
            "{error}"
        );
        assert!(Rules::parse("x", "[a").is_err());
    }
}
