//! Charts render to the objects of `helm template`, field by field.
//!
//! Each folder of `tests/charts` holds one chart that stresses one feature, with what the real
//! program made of it in `expected.yaml` (and, where it must fail, in `expected-error.txt`).
//! Where helm is found, it is asked again, for these and for every chart of the stacks under
//! test. `STACKGATE_WRITE_EXPECTED=1` writes the answers down; `STACKGATE_CHARTS=<folder>` adds
//! charts from elsewhere.

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use stackgate::stack::archive;
use stackgate::stack::chart::{Chart, RenderOptions, render};

/// The Kubernetes version that all charts are rendered for.
const KUBE_VERSION: &str = "v1.34.3";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A chart to compare: a folder or an archive, and the values of the user.
struct Case {
    name: String,
    chart: PathBuf,
    values: Option<PathBuf>,
}

impl Case {
    fn options(&self) -> RenderOptions {
        let values = self.values.as_ref().map_or(Value::Null, |path| {
            let text = std::fs::read_to_string(path).unwrap();
            serde_saphyr::from_str(&text).unwrap()
        });
        RenderOptions {
            release_name: "demo".into(),
            namespace: "kube-system".into(),
            kube_version: KUBE_VERSION.into(),
            api_versions: vec!["example.com/v1".into()],
            values,
            include_crds: true,
        }
    }

    fn rendered(&self) -> Result<Vec<(String, Value)>, String> {
        let chart = match self.chart.is_dir() {
            true => Chart::from_dir(&self.chart),
            false => Chart::from_archive(&self.chart),
        };
        let rendered = chart.and_then(|chart| render(&chart, &self.options()));
        let rendered = rendered.map_err(|error| error.to_string())?;
        Ok(rendered.into_iter().map(|r| (r.source, r.object)).collect())
    }

    fn helm(&self, program: &Path) -> Output {
        let mut command = Command::new(program);
        command.args(["template", "demo"]).arg(&self.chart);
        command.args(["--namespace", "kube-system", "--kube-version", KUBE_VERSION]);
        command.args(["--api-versions", "example.com/v1", "--include-crds"]);
        if let Some(values) = &self.values {
            command.arg("--values").arg(values);
        }
        command.output().unwrap()
    }
}

/// Charts of this folder: `tests/charts/<feature>/<chart>`, with `values.yaml` beside the chart.
fn own_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(root().join("tests/charts"))
        .unwrap()
        .map(|entry| {
            let dir = entry.unwrap().path();
            let values = Some(dir.join("user-values.yaml")).filter(|path| path.is_file());
            Case {
                name: dir.file_name().unwrap().to_string_lossy().into_owned(),
                chart: dir.join("chart"),
                values,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Every chart of the stacks under test and of `STACKGATE_CHARTS`: folders with a Chart.yaml, and packed ones. Charts that
/// are another's dependencies are rendered with it. Addon archives are unpacked into `scratch`.
fn stack_cases(scratch: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    walk(&root().join("stacks-under-test"), scratch, &mut cases);
    if let Some(elsewhere) = std::env::var_os("STACKGATE_CHARTS") {
        walk(Path::new(&elsewhere), scratch, &mut cases);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn walk(dir: &Path, scratch: &Path, cases: &mut Vec<Case>) {
    if dir.join("Chart.yaml").is_file() {
        cases.push(case_of(dir));
        return;
    }
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, scratch, cases);
        } else if path.extension().is_some_and(|extension| extension == "tgz") {
            unpack(&path, scratch, cases);
        }
    }
}

/// A packed chart is rendered as it is; of an addon archive every folder is a chart.
fn unpack(path: &Path, scratch: &Path, cases: &mut Vec<Case>) {
    if !path.to_string_lossy().contains("cluster-addon") {
        cases.push(case_of(path));
        return;
    }
    let target = scratch.join(format!(
        "{}-{}",
        cases.len(),
        path.file_stem().unwrap().display()
    ));
    for (name, data) in archive::read(path).unwrap() {
        let file = target.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, data).unwrap();
    }
    walk(&target, scratch, cases);
}

fn case_of(chart: &Path) -> Case {
    Case {
        name: chart.display().to_string(),
        chart: chart.to_owned(),
        values: None,
    }
}

/// Helm's output: each object with the file that the comment before it names.
fn parse_helm(text: &str) -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    let mut source = String::new();
    for document in format!("\n{text}").split("\n---") {
        for line in document.lines() {
            if let Some(path) = line.strip_prefix("# Source: ") {
                source = path.trim().to_owned();
            }
        }
        let value: Value = stackgate_yaml(document);
        if !value.is_null() {
            objects.push((source.clone(), value));
        }
    }
    objects
}

/// Parses YAML as Kubernetes does, by rendering it as a chart without any template action.
fn stackgate_yaml(document: &str) -> Value {
    let escaped = document.replace("{{", "{{ `{{` }}");
    let files: BTreeMap<PathBuf, Vec<u8>> = [
        (
            "Chart.yaml".into(),
            b"apiVersion: v2\nname: p\nversion: 1.0.0".to_vec(),
        ),
        ("templates/document.yaml".into(), escaped.into_bytes()),
    ]
    .into();
    let options = RenderOptions {
        release_name: "p".into(),
        namespace: "p".into(),
        kube_version: KUBE_VERSION.into(),
        api_versions: Vec::new(),
        values: Value::Null,
        include_crds: false,
    };
    let chart = Chart::from_files("p", files).unwrap();
    let mut objects = render(&chart, &options).unwrap();
    assert!(objects.len() < 2, "one document at a time");
    objects
        .pop()
        .map_or(Value::Null, |rendered| rendered.object)
}

/// Certificates and keys that a chart makes are new each time; PEM in base64 starts like this.
fn is_pem(text: &str) -> bool {
    text.starts_with("LS0tLS1CRUdJTi") || text.starts_with("-----BEGIN ")
}

/// Differences, by the path of the field.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differences(&path, a, b, found),
                    (Some(a), None) => found.push(format!("{path}: only here: {a}")),
                    (None, Some(b)) => found.push(format!("{path}: only in helm's: {b}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (Value::String(a), Value::String(b)) if is_pem(a) && is_pem(b) => {}
        (a, b) => found.push(format!("{path}: here {a}, helm {b}")),
    }
}

fn compare(name: &str, ours: &[(String, Value)], theirs: &[(String, Value)]) -> Vec<String> {
    let mut found = Vec::new();
    let list = |all: &[(String, Value)]| -> Vec<String> {
        let name = |o: &Value| {
            o.pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        all.iter()
            .map(|(s, o)| format!("{s} {} {}", o["kind"], name(o)))
            .collect()
    };
    let (a, b) = (list(ours), list(theirs));
    if a != b {
        found.push(format!(
            "{name}: objects differ\n  here: {a:#?}\n  helm: {b:#?}"
        ));
        return found;
    }
    for ((source, a), (_, b)) in ours.iter().zip(theirs) {
        differences(&format!("{name}: {source}"), a, b, &mut found);
    }
    found
}

/// Without helm: what it said when it was asked last.
#[test]
fn charts_render_as_helm_rendered_them() {
    let mut problems = Vec::new();
    let cases = own_cases();
    assert!(cases.len() >= 10, "only {} charts found", cases.len());
    for case in cases {
        let dir = case.chart.parent().unwrap().to_owned();
        let rendered = case.rendered();
        if let Ok(expected) = std::fs::read_to_string(dir.join("expected-error.txt")) {
            match rendered {
                Ok(_) => {
                    problems.push(format!("{}: rendered, helm refuses: {expected}", case.name))
                }
                Err(error) => {
                    for part in std::fs::read_to_string(dir.join("error-has.txt"))
                        .unwrap()
                        .lines()
                    {
                        if !error.contains(part) {
                            problems.push(format!("{}: {part:?} is not in: {error}", case.name));
                        }
                    }
                }
            }
            continue;
        }
        let expected = std::fs::read_to_string(dir.join("expected.yaml"));
        let expected = expected.unwrap_or_else(|_| panic!("{}: no expected.yaml", case.name));
        match rendered {
            Ok(ours) => problems.extend(compare(&case.name, &ours, &parse_helm(&expected))),
            Err(error) => problems.push(format!("{}: {error}", case.name)),
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// With helm: what it says now, for all charts here and in the stacks under test.
#[test]
fn charts_render_as_helm_renders_them() {
    let Some(program) = program::find("helm") else {
        eprintln!(
            "skipped: helm is neither in PATH nor built by the testbed; expected.yaml was compared instead"
        );
        return;
    };
    let write = std::env::var_os("STACKGATE_WRITE_EXPECTED").is_some();
    let scratch = tempfile::tempdir().unwrap();
    let mut problems = Vec::new();
    let own = own_cases().into_iter().map(|case| (case, true));
    for (case, is_own) in own.chain(
        stack_cases(scratch.path())
            .into_iter()
            .map(|case| (case, false)),
    ) {
        let output = case.helm(&program);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if write && is_own {
            let dir = case.chart.parent().unwrap();
            let (name, content) = match output.status.success() {
                true => ("expected.yaml", stdout.clone()),
                false => ("expected-error.txt", relative(&stderr)),
            };
            std::fs::write(dir.join(name), content).unwrap();
        }
        match (case.rendered(), output.status.success()) {
            (Ok(ours), true) => problems.extend(compare(&case.name, &ours, &parse_helm(&stdout))),
            (Ok(_), false) => {
                problems.push(format!("{}: rendered, helm refuses: {stderr}", case.name))
            }
            (Err(error), true) => {
                problems.push(format!("{}: helm renders it, but: {error}", case.name))
            }
            (Err(_), false) => {}
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without the place where this machine keeps the repository.
fn relative(text: &str) -> String {
    text.replace(&format!("{}/", root().display()), "")
}
