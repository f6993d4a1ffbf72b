//! What `stackgate lint` costs on a stack with charts of Cilium's size: 300 kB of templates in each release.
//!
//! `cargo bench --bench lint` prints the median and the peak of memory, and fails beyond [`SECONDS`] or
//! [`MIB`].

#[path = "../tests/common/variant.rs"]
#[expect(dead_code, reason = "a benchmark uses its own part of the fixtures")]
mod variant;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use variant::{N, N1, Variant};

/// What it may take.
const SECONDS: f64 = 1.0;
const MIB: i64 = 150;
const TURNS: usize = 9;
/// Bytes of templates that are wanted in each release.
const BYTES: usize = 300_000;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let configs = folder.path().join("kind-configs");
    std::fs::create_dir(&configs).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    std::fs::copy(shipped, configs.join("management.yaml")).expect("kind's configuration");
    let mut variant = Variant::from("docker-demo");
    for (tag, image) in [(N, "v1.17.1"), (N1, "v1.18.0")] {
        variant = chart(variant, tag, image);
    }
    let stack = variant.write(&folder.path().join("stacks/docker-demo"));
    let mut times: Vec<Duration> = (0..TURNS).map(|_| timed(&stack)).collect();
    times.sort();
    let median = times[times.len() / 2].as_secs_f64();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)
        .expect("the kernel tells")
        .max_rss()
        / 1024;
    println!(
        "lint of 2 x {} kB of templates: {median:.3} s, {peak} MiB",
        BYTES / 1000
    );
    if median <= SECONDS && peak <= MIB {
        return ExitCode::SUCCESS;
    }
    eprintln!("more than {SECONDS} s or {MIB} MiB");
    ExitCode::FAILURE
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(stack: &Path) -> Duration {
    let start = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .arg("lint")
        .arg(stack)
        .stdout(Stdio::null())
        .status()
        .expect("the binary starts");
    let took = start.elapsed();
    assert!(status.success(), "the stack is clean but for warnings");
    took
}

/// A chart `agent` in place of nothing, with helpers, values, conditions and loops as large charts have them.
fn chart(variant: Variant, tag: &str, version: &str) -> Variant {
    let at = |name: &str| format!("cluster-addon/cni/{name}");
    let helpers = "{{- define \"agent.labels\" -}}\napp.kubernetes.io/part-of: agent\napp.kubernetes.io/managed-by: {{ .Release.Service }}\nhelm.sh/chart: {{ printf \"%s-%s\" .Chart.Name .Chart.Version | trunc 63 }}\n{{- end }}\n";
    let mut variant = variant.add(tag, &at("templates/_agent.tpl"), helpers).edit(
        tag,
        &at("values.yaml"),
        |text| {
            format!(
                "{text}\nagent:\n  version: {version}\n  enabled: true\n  flags:\n{}",
                flags()
            )
        },
    );
    let mut bytes = 0;
    for number in 0.. {
        let text = template(number);
        bytes += text.len();
        variant = variant.add(
            tag,
            &at(&format!("templates/agent-{number:03}.yaml")),
            &text,
        );
        if bytes >= BYTES {
            return variant;
        }
    }
    variant
}

fn flags() -> String {
    (0..60).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "    flag-{number}: \"{number}\"");
        text
    })
}

fn template(number: usize) -> String {
    let labels = "  labels:\n    {{- include \"agent.labels\" . | nindent 4 }}\n";
    let meta = format!(
        "metadata:\n  name: agent-{number}\n  namespace: {{{{ .Release.Namespace }}}}\n{labels}"
    );
    let mut rules = String::new();
    for rule in 0..12 {
        let _ = write!(
            rules,
            "{{{{- if .Values.agent.enabled }}}}\n- apiGroups: [agent.example.org]\n  resources: [kind{rule}s, kind{rule}s/status]\n  verbs: [get, list, watch, update, patch]\n{{{{- end }}}}\n"
        );
    }
    format!(
        "{{{{- if .Values.agent.enabled }}}}\napiVersion: v1\nkind: ConfigMap\n{meta}data:\n  {{{{- range $name, $value := .Values.agent.flags }}}}\n  {{{{ $name }}}}: {{{{ $value | quote }}}}\n  {{{{- end }}}}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n{meta}rules:\n{rules}---\napiVersion: apps/v1\nkind: Deployment\n{meta}spec:\n  replicas: 2\n  selector:\n    matchLabels: {{app: agent-{number}}}\n  template:\n    metadata:\n      labels: {{app: agent-{number}}}\n    spec:\n      containers:\n      - name: agent\n        image: quay.io/example/agent:{{{{ .Values.agent.version }}}}\n        args: [--config=/etc/agent]\n        resources:\n          requests: {{cpu: 100m, memory: {{{{ default \"128Mi\" .Values.agent.memory }}}}}}\n{{{{- end }}}}\n"
    )
}
