//! Charts that are malformed, and texts with the functions of slim-sprig.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Chart, ChartError, RenderOptions, Rendered, render, render_patch, render_text};
use crate::stack::archive;

const CHART: &str = "apiVersion: v2\nname: demo\nversion: 1.0.0\n";

fn files(list: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<u8>> {
    list.iter()
        .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
        .collect()
}

fn options(values: Value) -> RenderOptions {
    RenderOptions {
        release_name: "r".into(),
        namespace: "ns".into(),
        kube_version: "v1.34.3".into(),
        api_versions: Vec::new(),
        values,
        include_crds: false,
    }
}

fn rendered(list: &[(&str, &str)], values: Value) -> Result<Vec<Rendered>, ChartError> {
    let mut all = files(list);
    all.entry("Chart.yaml".into())
        .or_insert_with(|| CHART.into());
    render(&Chart::from_files("charts/demo", all)?, &options(values))
}

fn error(list: &[(&str, &str)]) -> String {
    rendered(list, Value::Null).unwrap_err().to_string()
}

#[test]
fn a_chart_tells_what_it_is() {
    let list = [("Chart.yaml", CHART), ("values.yaml", "a: yes\nb: 0x10\n")];
    let chart = Chart::from_files("demo", files(&list)).unwrap();
    assert_eq!((chart.name(), chart.version()), ("demo", "1.0.0"));
    assert_eq!(chart.values(), json!({"a": true, "b": 16}));
}

#[test]
fn malformed_charts_name_the_file() {
    for (list, expected) in [
        (
            &[("Chart.yaml", "name: x\nversion: [")][..],
            "charts/demo/Chart.yaml:",
        ),
        (
            &[("Chart.yaml", "- a")],
            "charts/demo/Chart.yaml: expected a mapping with apiVersion, name and version",
        ),
        (
            &[("Chart.yaml", "name: a/b\nversion: 1.0.0")],
            "charts/demo/Chart.yaml: name \"a/b\" is invalid",
        ),
        (
            &[("Chart.yaml", "name: a\nversion: one")],
            "charts/demo/Chart.yaml: version \"one\" is invalid, expected a semantic version",
        ),
        (
            &[("Chart.yaml", "name: a\nversion: 1.0.0\ntype: app")],
            "charts/demo/Chart.yaml: type \"app\" is invalid",
        ),
        (
            &[("values.yaml", "a: 1\nb: [\n")],
            "charts/demo/values.yaml:",
        ),
        (
            &[("values.yaml", "- a")],
            "charts/demo/values.yaml: expected a mapping of values",
        ),
        (
            &[("charts/sub/values.yaml", "a: 1")],
            "charts/demo/charts/sub/Chart.yaml: is missing",
        ),
        (
            &[("charts/sub.tgz", "junk")],
            "archive charts/demo/charts/sub.tgz: is damaged",
        ),
        (
            &[("charts/stray", "junk")],
            "charts/demo/charts/stray: is not a chart",
        ),
        (
            &[("templates/a.yaml", "kind: [")],
            "demo/templates/a.yaml:1:",
        ),
        (
            &[("templates/a.yaml", "just words")],
            "demo/templates/a.yaml:1: expected a Kubernetes object",
        ),
        (
            &[("Chart.yaml", "name: a\nversion: 1.0.0\ntype: library")],
            "chart a: is a library chart",
        ),
        (
            &[("Chart.yaml", "name: a\nversion: 1.0.0\nkubeVersion: '>=2'")],
            "chart a: requires Kubernetes >=2",
        ),
    ] {
        let message = error(list);
        assert!(
            message.starts_with(expected),
            "{message}\nexpected {expected}"
        );
    }
    let empty = Chart::from_files("gone", BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert_eq!(
        empty,
        "gone/Chart.yaml: is missing, expected a Helm chart with Chart.yaml, values.yaml and templates/"
    );
}

#[test]
fn unusable_options_are_refused() {
    let chart = Chart::from_files("d", files(&[("Chart.yaml", CHART)])).unwrap();
    let mut bad = options(json!([1]));
    let message = render(&chart, &bad).unwrap_err().to_string();
    assert_eq!(
        message,
        "chart demo: the given values are not a mapping, expected one"
    );
    bad = options(Value::Null);
    bad.kube_version = "latest".into();
    let message = render(&chart, &bad).unwrap_err().to_string();
    assert!(
        message.contains("Kubernetes version \"latest\" is invalid"),
        "{message}"
    );
    let list = [("charts/sub/Chart.yaml", "name: sub\nversion: 1.0.0")];
    let message = rendered(&list, json!({"sub": 5})).unwrap_err().to_string();
    assert_eq!(
        message,
        "chart demo: values of the dependency sub are a number, expected a mapping"
    );
}

#[test]
fn folders_and_archives_give_the_same_chart() {
    let dir = tempfile::tempdir().unwrap();
    let chart_dir = dir.path().join("demo");
    std::fs::create_dir_all(chart_dir.join("templates")).unwrap();
    std::fs::write(chart_dir.join("Chart.yaml"), CHART).unwrap();
    std::fs::write(
        chart_dir.join("templates/a.yaml"),
        "kind: A\nname: {{ .Release.Name }}\n",
    )
    .unwrap();
    let packed = dir.path().join("demo.tgz");
    std::fs::write(&packed, archive::pack(dir.path()).unwrap()).unwrap();
    let from_dir = render(&Chart::from_dir(&chart_dir).unwrap(), &options(Value::Null)).unwrap();
    let from_archive = render(
        &Chart::from_archive(&packed).unwrap(),
        &options(Value::Null),
    )
    .unwrap();
    assert_eq!(from_dir, from_archive);
    assert_eq!(from_dir[0].object, json!({"kind": "A", "name": "r"}));
    assert_eq!(from_dir[0].source, "demo/templates/a.yaml");
}

#[test]
fn a_chart_outside_of_a_folder_and_links_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let packed = dir.path().join("flat.tgz");
    std::fs::write(
        &packed,
        archive::pack_files("flat", &files(&[("Chart.yaml", CHART)])).unwrap(),
    )
    .unwrap();
    let message = Chart::from_archive(&packed).unwrap_err().to_string();
    assert!(
        message.contains("flat.tgz/Chart.yaml: stands at the top of the archive"),
        "{message}"
    );
    std::fs::write(dir.path().join("Chart.yaml"), CHART).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("values.yaml")).unwrap();
    let message = Chart::from_dir(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("values.yaml: is a link or special file"),
        "{message}"
    );
    let message = Chart::from_dir(Path::new("no/such/chart"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("failed to read no/such/chart"),
        "{message}"
    );
}

#[test]
fn charts_inside_of_charts_without_end_are_refused() {
    let mut list = files(&[("Chart.yaml", CHART)]);
    let mut path = PathBuf::new();
    for _ in 0..20 {
        path.push("charts/demo");
        list.insert(path.join("Chart.yaml"), CHART.into());
    }
    let message = Chart::from_files("c", list).unwrap_err().to_string();
    assert!(
        message.ends_with("charts are nested more than 16 levels deep"),
        "{message}"
    );
}

#[test]
fn rendering_is_repeatable_and_leaves_the_chart_alone() {
    let list = [
        ("Chart.yaml", CHART),
        ("values.yaml", "'n': 1"),
        (
            "templates/a.yaml",
            "kind: A\ncount: {{ .Values.n }}{{ $_ := set .Values \"n\" 2 }}",
        ),
    ];
    let chart = Chart::from_files("d", files(&list)).unwrap();
    let first = render(&chart, &options(Value::Null)).unwrap();
    assert_eq!(first, render(&chart, &options(Value::Null)).unwrap());
    assert_eq!(first[0].object["count"], 1);
}

#[test]
fn texts_see_objects_with_their_integers() {
    let context =
        json!({"Cluster": {"metadata": {"name": "c"}, "spec": {"replicas": 3, "ratio": 0.5}}});
    let text = "values: |\n  name: {{ .Cluster.metadata.name | upper }}\n  n: {{ .Cluster.spec.replicas }}{{ if eq .Cluster.spec.replicas 3 }} three{{ end }}\n  r: {{ .Cluster.spec.ratio }}\n  missing: {{ .ControlPlane.spec.x }}\n";
    let rendered = render_text("overwrite.yaml", text, &context).unwrap();
    assert_eq!(
        rendered,
        "values: |\n  name: C\n  n: 3 three\n  r: 0.5\n  missing: <no value>\n"
    );
}

#[test]
fn texts_have_the_functions_of_slim_sprig_only() {
    for name in ["include", "toYaml", "genCA", "merge", "env", "required"] {
        let text = format!("\n{{{{ {name} . }}}}");
        let message = render_text("overwrite.yaml", &text, &json!({}))
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!("overwrite.yaml:2:4: function {name:?} not defined")
        );
    }
    let known = render_text(
        "o",
        r#"{{ default "d" "" | quote | nindent 2 }}{{ list 1 2 | join "," }}{{ sha256sum "a" | trunc 4 }}"#,
        &json!({}),
    );
    assert_eq!(known.unwrap(), "\n  \"d\"1,2ca97");
}

#[test]
fn patches_have_the_functions_that_sprig_calls_hermetic_issue_4() {
    for name in [
        "include",
        "toYaml",
        "tpl",
        "env",
        "now",
        "date",
        "randAlpha",
    ] {
        let text = format!("{{{{ {name} . }}}}");
        let message = render_patch(&text, &json!({})).unwrap_err().to_string();
        assert_eq!(message, format!("patch:1:4: function {name:?} not defined"));
    }
    let variables = json!({"builtin": {"controlPlane": {"version": "v1.35.1"}}});
    let newer = r#"{{ semverCompare ">=1.35.0" .builtin.controlPlane.version }}"#;
    assert_eq!(
        render_patch(newer, &variables).unwrap(),
        ("true".to_owned(), false)
    );
    let (drawn, is_drawn) = render_patch("{{ randInt 1 10 }}", &variables).unwrap();
    assert!(is_drawn && (1..10).contains(&drawn.parse::<i64>().unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_charts_never_panic(
        chart in "[a-z:\n {}\\[\\]-]{0,80}",
        values in "[a-z:\n {}\\[\\]-]{0,80}",
        template in "[a-z:\n {}.$|-]{0,80}",
    ) {
        let list = [("Chart.yaml", chart.as_str()), ("values.yaml", &values), ("templates/a.yaml", &template)];
        if let Ok(chart) = Chart::from_files("x", files(&list)) {
            let _ = render(&chart, &options(Value::Null));
        }
        let _ = rendered(&[("values.yaml", &values), ("templates/a.yaml", &template)], Value::Null);
    }
}
