//! Kubernetes' real conformance image on a real cluster, for one small focus: `cargo test --test real_conformance`.
//!
//! Needs Docker, the testbed, and its optional part `conformance` (`testbed/up conformance`). Where one of
//! them is not there, the test is shown as ignored and one line says why.

#[path = "common/testbed.rs"]
#[expect(dead_code, reason = "each test binary uses its own part")]
mod testbed;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use stackgate::checks::{Shared, Target};
use stackgate::cluster::{Context, Interrupt};
use stackgate::engine::config::Config;
use stackgate::record::{CheckResult, Clock, Event, Outcome, Phase, Recorder, RunId, Sink, What};
use stackgate::suite::{self, Acceptance, Memory, Place, Round, Suite};
use tempfile::TempDir;

const VERSION: &str = "v1.35.0";
const NODE_IMAGE: &str = "kindest/node:v1.35.0";
const IMAGE: &str = "registry.k8s.io/conformance:v1.35.0";

const KIND_CONFIG: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false
";

/// The pods of the tests' own namespaces are refused: what runs there fails at once.
const REFUSED: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-tests}
spec:
  matchConstraints:
    namespaceSelector: {matchExpressions: [{key: e2e-run, operator: Exists}]}
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: 'false', message: pods of tests are not wanted here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-tests}
spec: {policyName: no-tests, validationActions: [Deny]}
";

/// A cluster of kind's, which goes when the test does.
struct Kind {
    program: PathBuf,
    name: String,
    folder: TempDir,
}

impl Kind {
    fn new() -> Result<Self, Failed> {
        let program = Config::load()?.kind.unwrap_or_else(|| "kind".into());
        let kind = Self {
            program,
            name: format!("stackgate-{}", RunId::random()),
            folder: tempfile::tempdir()?,
        };
        let config = kind.folder.path().join("kind.yaml");
        std::fs::write(&config, KIND_CONFIG)?;
        let (kubeconfig, config) = (kind.kubeconfig(), config.display().to_string());
        let kubeconfig = kubeconfig.display().to_string();
        kind.call(&[
            "create",
            "cluster",
            "--image",
            NODE_IMAGE,
            "--config",
            &config,
            "--kubeconfig",
            &kubeconfig,
            "--wait",
            "3m",
        ])?;
        kind.call(&["load", "docker-image", IMAGE])?;
        Ok(kind)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn call(&self, arguments: &[&str]) -> Result<(), Failed> {
        let output = Command::new(&self.program)
            .args(arguments)
            .args(["--name", &self.name])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("kind {}: {said}", arguments.join(" ")).into())
    }

    fn apply(&self, manifest: &str) -> Result<(), Failed> {
        let node = format!("{}-control-plane", self.name);
        let mut apply = Command::new("docker")
            .args(["exec", "-i", &node, "kubectl"])
            .args([
                "--kubeconfig=/etc/kubernetes/admin.conf",
                "apply",
                "-f",
                "-",
            ])
            .stdin(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = apply.stdin.take() {
            input.write_all(manifest.as_bytes())?;
        }
        if apply.wait()?.success() {
            return Ok(());
        }
        Err("kubectl apply failed".into())
    }

    async fn client(&self) -> Result<Client, Failed> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        // The folder goes, too, so that nobody else can remove it by its kubeconfig.
        let _ = self.call(&["delete", "cluster"]);
    }
}

/// Shows what is told of the tests while they run.
struct Show;

impl Sink for Show {
    fn take(&mut self, event: &Event) {
        let told = match &event.what {
            What::Blocked { blockers, .. } => blockers[0].to_string(),
            What::Check(result) => format!("{} {}", result.outcome, result.message),
            What::Note { message } => message.clone(),
            _ => return,
        };
        eprintln!("{:7.1} s  {told}", event.elapsed_ms as f64 / 1000.0);
    }
}

/// The result of a run of the image with these parameters.
async fn asked(client: &Client, folder: &Path, parameters: &Value) -> Result<CheckResult, Failed> {
    let text = format!(
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {{name: own}}\nspec:\n  description: own\n  checks:\n  - {{id: conformance, title: T, severity: MUST, weight: heavy, native: scs-0201-conformance, parameters: {parameters}}}\n"
    );
    std::fs::write(folder.join("own.yaml"), text)?;
    let suite = Suite::load("own", folder)?;
    let reports = tempfile::tempdir()?;
    let recorder = Recorder::create(reports.path(), Clock::system(), vec![Box::new(Show)])?;
    let context = Context::new(RunId::random(), recorder, Interrupt::default(), 1.0);
    let target = Target {
        context: &context,
        workload: client,
        management: None,
        kubernetes: VERSION,
        upgraded_from: None,
        addons: &[],
        dropped: &[],
        tools_image: stackgate::checks::TOOLS_IMAGE,
        shared: &Shared::default(),
        ok_to_fail: &[],
        parameters: &Value::Null,
    };
    let round = Round {
        suites: &[suite],
        accepted: Acceptance::default(),
        phase: Phase::CheckAfter,
        place: &Place::default(),
        memory: &Memory::default(),
    };
    Ok(suite::run(&target, round).await.remove(0))
}

/// Namespaces and bindings that a check or the tests have made, once they had a minute to go.
async fn left(client: &Client) -> Result<Vec<String>, Failed> {
    use k8s_openapi::api::core::v1::Namespace;
    use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
    use kube::api::{Api, ListParams};

    let mut names = Vec::new();
    for _ in 0..60 {
        let all = ListParams::default();
        let namespaces = Api::<Namespace>::all(client.clone()).list(&all).await?;
        let bindings = Api::<ClusterRoleBinding>::all(client.clone())
            .list(&all)
            .await?;
        let namespaces = namespaces.into_iter().map(|one| one.metadata);
        let all = namespaces.chain(bindings.into_iter().map(|one| one.metadata));
        names = all
            .filter(|one| {
                let labels = one.labels.clone().unwrap_or_default();
                labels.contains_key("stackgate/run") || labels.contains_key("e2e-run")
            })
            .filter_map(|one| one.name)
            .collect();
        if names.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Ok(names)
}

fn expect(holds: bool, what: &str, result: &CheckResult) -> Result<(), Failed> {
    if holds {
        return Ok(());
    }
    Err(format!("expected {what}; got {result:#?}").into())
}

/// A small focus passes, fails where the tests' pods are refused, and leaves nothing in either case.
fn focus() -> Result<(), Failed> {
    let kind = Kind::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = kind.client().await?;
        let passed = asked(&client, kind.folder.path(), &json!({"mode": "quick"})).await?;
        expect(passed.outcome == Outcome::Pass, "a pass", &passed)?;
        let all = passed.message == "1 of 1 cases passed";
        expect(all, "the one case", &passed)?;
        let left_behind = left(&client).await?;
        expect(left_behind.is_empty(), &format!("no traces: {left_behind:?}"), &passed)?;

        kind.apply(REFUSED)?;
        let parallel = json!({"focus": "Pods should be (submitted and removed|updated)", "parallel": 2, "minimum": 2});
        let failed = asked(&client, kind.folder.path(), &parallel).await?;
        expect(failed.outcome == Outcome::Fail, "a failure", &failed)?;
        let named = failed.message.starts_with("2 failed, 0 passed");
        expect(named, "both cases", &failed)?;
        let why = failed.message.contains("pods of tests are not wanted here");
        expect(why, "the reason", &failed)?;
        let left_behind = left(&client).await?;
        expect(left_behind.is_empty(), &format!("no traces: {left_behind:?}"), &failed)
    })
}

fn main() -> ExitCode {
    testbed::run_with(&[("real_conformance_focus", true, focus)], &[IMAGE])
}
