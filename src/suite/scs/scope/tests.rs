//! Scope files in both forms, and what is wrong with wrong ones.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const MODULES: &str = "\
name: Toy
uuid: u
url: https://example.org
variables:
- who
- mode: parallel
- num: 3
scripts:
- executable: ./one.sh
  env: {GREETING: 'hello {who}'}
  args: -m {mode}
  testcases:
  - {id: b, section: light, lifetime: month}
  - {id: a}
- testcases:
  - {id: manual}
modules:
- {id: m1, name: M, targets: {main: [b, a], preview: [manual]}}
- {id: m2, targets: {extra: [a], main: [a]}}
timeline:
- {date: 2025-01-01, versions: {v2: effective, v1: ''}, note: free}
- {date: 2024-01-01, versions: {v1: draft}}
versions:
- {version: v1, include: [m1], stabilized_at: 2024-01-01}
- {version: v2, include: [{ref: m2, parameters: {x: 1}}, m1]}
";

const GROUPS: &str = "\
name: Toy
uuid: u
scripts:
- {executable: ./one.sh, testcases: [{id: a}, {id: b}]}
groups:
- {id: g1, include: [b, g2]}
- {id: g2, include: [a]}
- {id: g3}
timeline:
- {date: 2024-01-01, versions: {v1: effective}}
versions:
- {version: v1, test: g1, attn: 1}
- {version: v2, test: a}
";

fn read(text: &str) -> Result<Scope, Problems> {
    Scope::from_source(&Source::new(Path::new("scope.yaml"), text), "dir".into())
}

fn targets(version: &Version) -> Vec<(&str, Vec<&str>)> {
    let targets = version.targets.iter();
    targets
        .map(|(target, ids)| (target.as_str(), ids.iter().map(String::as_str).collect()))
        .collect()
}

#[test]
fn targets_are_the_union_of_what_a_version_includes() {
    let scope = read(MODULES).unwrap();
    assert_eq!((scope.form, &*scope.name), (Form::Modules, "Toy"));
    let told = targets(&scope.versions[1]);
    assert_eq!(
        told,
        [
            ("extra", vec!["a"]),
            ("main", vec!["a", "b"]),
            ("preview", vec!["manual"])
        ]
    );
    let required = ("who".to_owned(), None);
    let defaults = [("mode", "parallel"), ("num", "3")];
    let defaults = defaults.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    assert_eq!(scope.variables, [&[required][..], &defaults].concat());
    assert!(scope.testcase("manual").unwrap().0.executable.is_none());
}

#[test]
fn groups_are_followed_in_their_order() {
    let scope = read(GROUPS).unwrap();
    assert_eq!(scope.form, Form::Groups);
    assert_eq!(targets(&scope.versions[0]), [("", vec!["b", "a"])]);
    assert_eq!(targets(&scope.versions[1]), [("", vec!["a"])]);
}

#[test]
fn the_newest_entry_of_the_timeline_that_is_not_later_counts() {
    let scope = read(MODULES).unwrap();
    let valid = |date| -> Vec<String> {
        let valid = scope.valid(date).into_iter();
        valid.map(|version| version.version.clone()).collect()
    };
    assert_eq!(valid(date(2023, 12, 31)), [""; 0]);
    assert_eq!(valid(date(2024, 1, 1)), ["v1"]);
    assert_eq!(valid(date(2026, 1, 1)), ["v2"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, from, to, told) in [
        (MODULES, "uuid: u", "uid: u", "scope.yaml:2:1: "),
        (
            MODULES,
            "{id: a}",
            "{id: a, x: 1}",
            "scope.yaml:14:13: `scripts.0.testcases.1",
        ),
        (
            MODULES,
            "{id: a}",
            "{id: b}",
            "scope.yaml:14:10: duplicate testcase `b`",
        ),
        (
            MODULES,
            "id: m2",
            "id: m1",
            "scope.yaml:19:8: `m1` is there twice",
        ),
        (
            MODULES,
            "version: v2",
            "version: v1",
            "scope.yaml:25:13: `v1` is there twice",
        ),
        (
            MODULES,
            "include: [m1]",
            "include: [m9]",
            "scope.yaml:24:27: there is no module `m9`",
        ),
        (MODULES, "{ref: m2,", "{ref: m2, x: 1,", "scope.yaml:25:"),
        (
            MODULES,
            "main: [b, a]",
            "main: [b, z]",
            "demands `z`, which no script judges",
        ),
        (
            MODULES,
            "{v1: draft}",
            "{v7: draft}",
            "scope.yaml:22:37: there is no version `v7`",
        ),
        (
            MODULES,
            "2024-01-01, versions",
            "soon, versions",
            "scope.yaml:22:10: `soon` is no date",
        ),
        (MODULES, "modules:", "models:", "scope.yaml:17:1: "),
        (
            GROUPS,
            "[a]}\n- {id: g3",
            "[x]}\n- {id: g3",
            "there is no group or testcase `x`",
        ),
        (
            GROUPS,
            "include: [a]",
            "include: [g1]",
            "`g1` includes itself",
        ),
        (GROUPS, "id: g3", "id: a", "`a` is a testcase already"),
        (
            GROUPS,
            "test: a",
            "test: q",
            "there is no group or testcase `q`",
        ),
    ] {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text, "{from}");
        let error = read(&wrong).unwrap_err().to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn what_is_included_by_very_many_ways_is_refused_in_time() {
    let groups: String = (0..60)
        .map(|n| format!("- {{id: g{n}, include: [g{0}, g{0}]}}\n", n + 1))
        .collect();
    let text = format!(
        "name: x\ngroups:\n{groups}- {{id: g60}}\ntimeline: []\nversions:\n- {{version: v, test: g0}}\n"
    );
    let error = read(&text).unwrap_err().to_string();
    assert!(error.contains("`g0` includes itself"), "{error}");
}

proptest! {
    #[test]
    fn a_damaged_scope_is_read_or_refused(at in 0..MODULES.len(), cut in 0..40_usize, put in "[-:{}\\[\\]a-z\n ]{0,6}", groups: bool) {
        let text = if groups { GROUPS } else { MODULES };
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        let damaged = format!("{}{put}{}", &text[..at], &text[end..]);
        if let Ok(scope) = read(&damaged) {
            // Whatever is demanded of a version that may be checked is known to the file, or told.
            for version in scope.valid(date(2030, 1, 1)) {
                prop_assert!(scope.versions.iter().any(|known| known.version == version.version));
            }
        }
    }
}
