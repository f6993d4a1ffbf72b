//! Templates that mean harm, or are merely wrong: each ends in one message, soon.

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Execution, Library, Limits, Templates, Value, on_own_stack};
use crate::stack::chart::error::TemplateError;

fn run_within(limits: Limits, text: &str) -> Result<String, TemplateError> {
    on_own_stack(|| {
        let mut templates = Templates::new(Library::Helm);
        templates.add("t", text)?;
        let dot =
            Value::from_helm(&serde_json::json!({"a": {"b": 1}, "list": [1, 2], "text": "x"}));
        Execution::new(Rc::new(templates), true, limits).render("t", dot)
    })
    .unwrap()
}

fn run(text: &str) -> Result<String, TemplateError> {
    run_within(Limits::default(), text)
}

/// Small limits, so that reaching one takes no time.
fn small() -> Limits {
    Limits {
        steps: 200_000,
        nesting: 4_000,
        output: 1 << 20,
        value: 16 << 20,
        memory: 64 << 20,
        time: Duration::from_secs(30),
    }
}

fn refused(text: &str, expected: &str) {
    let error = run_within(small(), text).map(|out| out.len()).unwrap_err();
    assert!(error.message.contains(expected), "{text}: {error}");
    assert!(
        error.to_string().len() < 2000,
        "{text}: the message is too long"
    );
}

#[test]
fn a_template_that_includes_itself_is_refused() {
    let deep = "templates are nested more than 4000 levels deep, does one include itself?";
    refused(
        r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
        deep,
    );
    refused(
        r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#,
        deep,
    );
    refused(
        r#"{{ define "a" }}{{ if true }}{{ include "b" . }}{{ end }}{{ end }}{{ define "b" }}{{ range until 1 }}{{ include "a" . }}{{ end }}{{ end }}{{ include "a" . }}"#,
        deep,
    );
    refused(
        r#"{{ tpl "{{ tpl .self . }}" (dict "self" "{{ tpl .self . }}") }}"#,
        deep,
    );
    let error = run(r#"{{ define "a" }}
{{ include "a" . }}{{ end }}{{ include "a" . }}"#)
    .unwrap_err();
    assert!(error.limit);
    assert_eq!((error.file.as_str(), error.line), ("t", 2));
    assert!(
        error
            .to_string()
            .contains("reached from t:2: include \"a\""),
        "{error}"
    );
    assert!(error.to_string().contains("more"), "{error}");
}

#[test]
fn two_calls_per_level_do_not_take_for_ever() {
    let mut text = String::new();
    for i in 0..60 {
        text += &format!(
            r#"{{{{ define "t{i}" }}}}{{{{ include "t{0}" . }}}}{{{{ include "t{0}" . }}}}{{{{ end }}}}"#,
            i + 1
        );
    }
    text += r#"{{ define "t60" }}x{{ end }}{{ include "t0" . }}"#;
    refused(
        &text,
        "rendering took more than 200000 steps, does it ever end?",
    );
}

#[test]
fn endless_loops_are_refused() {
    let steps = "rendering took more than 200000 steps";
    refused("{{ range 1000000000 }}{{ end }}", steps);
    refused(
        "{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}{{ end }}",
        steps,
    );
    refused(
        "{{ range until 1000000000 }}{{ end }}",
        "bytes, more than the",
    );
    refused("{{ untilStep 0 9223372036854775807 1 }}", "more than the");
    refused("{{ seq 1 1000000000 }}", "more than the");
}

#[test]
fn the_clock_ends_a_render() {
    let limits = Limits {
        time: Duration::ZERO,
        ..Limits::default()
    };
    let error = run_within(limits, "{{ range 100000 }}{{ end }}").unwrap_err();
    assert!(
        error.message.contains("rendering took longer than 0 s"),
        "{error}"
    );
}

#[test]
fn values_that_grow_are_refused() {
    let grown = "functions returned more than";
    refused(
        r#"{{ $s := "x" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}"#,
        grown,
    );
    refused(
        r#"{{ $s := list 1 }}{{ range until 60 }}{{ $s = concat $s $s }}{{ end }}"#,
        "more than the",
    );
    refused(
        r#"{{ repeat 1000000000 "x" }}"#,
        "would produce 1000000000 bytes",
    );
    refused(r#"{{ indent 1000000000 "x" }}"#, "bytes, more than the");
    refused(r#"{{ printf "%999999999d" 1 }}"#, "width");
    refused(
        r#"{{ replace "a" (repeat 10000 "x") (repeat 10000 "a") }}"#,
        "would produce",
    );
    refused(
        r#"{{ regexReplaceAll "a" (repeat 10000 "a") (repeat 10000 "x") }}"#,
        "would produce",
    );
    refused(
        r#"{{ $s := repeat 100000 "x" }}{{ $l := list }}{{ range until 1000 }}{{ $l = append $l $s }}{{ end }}{{ join "," $l }}"#,
        "more than",
    );
    refused(
        r#"{{ regexMatch "x" "y" }}{{ mustRegexMatch "((a{1000}){1000}){1000}" "a" }}"#,
        "parsing regexp",
    );
    refused(
        r#"{{ range until 1000 }}{{ repeat 2000 "x" }}{{ end }}"#,
        "rendering wrote more than",
    );
}

#[test]
fn shared_and_circular_values_are_refused_when_written_out() {
    let tree = r#"{{ $m := dict }}{{ range until 100 }}{{ $m = dict "a" $m "b" $m }}{{ end }}"#;
    for write in [
        "{{ $m }}",
        "{{ $m | mustToJson }}",
        "{{ deepCopy $m }}",
        "{{ deepEqual $m (deepCopy $m) }}",
        "{{ printf \"%v\" $m }}",
    ] {
        refused(&format!("{tree}{write}"), "a value");
    }
    refused(
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}"#,
        "contains itself",
    );
    refused(
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ mustToJson $d }}"#,
        "contains itself",
    );
    refused(
        r#"{{ $a := dict "x" 1 }}{{ $_ := set $a "a" $a }}{{ $b := dict "x" 1 }}{{ $_ := set $b "a" $b }}{{ merge $a $b }}"#,
        "contains itself",
    );
    // Helm's toYaml swallows errors.
    assert_eq!(
        run(r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}[{{ toYaml $d }}]"#).unwrap(),
        "[]"
    );
}

#[test]
fn deep_values_are_dropped_without_a_stack() {
    let text = "{{ $l := list }}{{ $m := dict }}{{ range until 50000 }}{{ $l = list $l }}{{ $m = dict \"k\" $m }}{{ end }}done";
    assert_eq!(run(text).unwrap(), "done");
}

#[test]
fn deep_syntax_is_refused() {
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    refused(&parens, "nested deeper than 150 levels");
    refused(
        &"{{ if true }}".repeat(100_000),
        "nested deeper than 150 levels",
    );
    refused(
        &"{{ if true }}{{ else if false }}".repeat(1000),
        "nested deeper than 150 levels",
    );
}

#[test]
fn mistakes_are_found_before_rendering_with_their_place() {
    for (text, line, message) in [
        ("{{ if true }}", 1, "unclosed {{if}}, expected {{end}}"),
        ("a\n{{ end }}", 2, "unexpected {{end}}"),
        ("\n\n{{ .a.b", 3, "unclosed action"),
        ("{{ nope }}", 1, "function \"nope\" not defined"),
        ("{{ $x }}", 1, "undefined variable \"$x\""),
        ("{{ $x = 1 }}", 1, "undefined variable \"$x\""),
        (
            "{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}",
            1,
            "undefined variable \"$x\"",
        ),
        (
            "{{ range $a, $b, $c := .list }}{{ end }}",
            1,
            "range can only initialize variables",
        ),
        ("{{ break }}", 1, "{{break}} outside {{range}}"),
        (
            "{{ range .list }}{{ define \"x\" }}{{ end }}{{ end }}",
            1,
            "unexpected {{define}}",
        ),
        ("{{ | upper }}", 1, "unexpected"),
        ("{{ 1 | }}", 1, "nothing follows `|`"),
        (
            "{{ 1 | 2 }}",
            1,
            "non executable command in pipeline stage 2",
        ),
        ("{{ }}", 1, "missing value for command"),
        ("{{ (1) (2)(3) }}", 1, "in operand"),
        ("{{ nil.x }}", 1, "that has no fields"),
        ("{{ template foo }}", 1, "in template clause"),
        (
            "{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}",
            1,
            "multiple definition of template \"a\"",
        ),
    ] {
        let error = run(text).unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.line, line, "{text}");
    }
}

#[test]
fn mistakes_while_rendering_name_their_place() {
    for (text, line, message) in [
        (
            "{{ .a.b.c }}",
            1,
            "<.a.b.c>: can't evaluate field c in type float64",
        ),
        (
            "\n{{ .x.y }}",
            2,
            "<.x.y>: nil pointer evaluating interface {}.y",
        ),
        (
            "{{ upper 5 }}",
            1,
            "error calling upper: wrong type for value; expected string; got int",
        ),
        (
            "{{ upper nil }}",
            1,
            "error calling upper: invalid value; expected string",
        ),
        (
            "{{ upper }}",
            1,
            "wrong number of args for upper: want 1 got 0",
        ),
        ("{{ dict | first }}", 1, "Cannot find first on type map"),
        ("{{ index .list 5 }}", 1, "index out of range: 5"),
        ("{{ index .nothing 1 }}", 1, "index of untyped nil"),
        (
            "{{ lt 1 \"a\" }}",
            1,
            "incompatible types for comparison: int and string",
        ),
        ("{{ eq .list .list }}", 1, "non-comparable types"),
        (
            "{{ range .text }}{{ end }}",
            1,
            "range can't iterate over x",
        ),
        (
            "{{ range $i, $x := 3 }}{{ end }}",
            1,
            "more than one variable",
        ),
        (
            "{{ template \"gone\" }}",
            1,
            "template \"gone\" not defined",
        ),
        (
            "{{ include \"gone\" . }}",
            1,
            "template \"gone\" not defined",
        ),
        ("{{ .a 1 }}", 1, "a is not a method but has arguments"),
        ("{{ div 1 0 }}", 1, "division by zero"),
        (
            "{{ tpl \"{{ nope }}\" . }}",
            1,
            "function \"nope\" not defined",
        ),
        ("{{ ternary 1 2 \"x\" }}", 1, "expected bool; got string"),
        ("{{ fail \"on purpose\" }}", 1, "on purpose"),
        (
            "{{ set .text \"a\" 1 }}",
            1,
            "expected map[string]interface {}; got string",
        ),
    ] {
        let error = run(text).unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!((error.line, error.limit), (line, false), "{text}");
    }
}

#[test]
fn what_is_absent_stays_so_but_null_has_no_fields() {
    assert_eq!(
        run("{{ (.x).y.z }}|{{ $v := .x }}{{ $v.y }}").unwrap(),
        "<no value>|<no value>"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_templates_never_panic(
        parts in prop::collection::vec(
            prop_oneof![
                "[ a-z.$\"(){}|:=0-9-]{0,12}",
                prop::sample::select(vec![
                    "{{ ", " }}", "{{- ", " -}}", "{{ end }}", "{{ else }}", "{{ if . }}",
                    "{{ range .list }}", "{{ with .a }}", "{{ define \"d\" }}", "{{ template \"d\" . }}",
                    "{{ include \"d\" . }}", "$x := 1", ".a.b", "| toYaml", "tpl .text .", "dict \"a\" .",
                    "set . \"k\" .", "printf \"%d %s\" .a .list", "list . .", "{{/* c */}}", "merge .a .",
                    "until 5", "index .list 0", "trunc -3 .text", "regexFind \"(\" .text", "slice .list 1 9",
                ]).prop_map(str::to_owned),
            ],
            0..12,
        )
    ) {
        let _ = run_within(small(), &parts.concat());
    }
}
