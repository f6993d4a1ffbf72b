//! scs-0211: one default StorageClass, whose volumes keep what is written, and outlive a node.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::checks::judgement::{Judgement, problem, read};
use crate::checks::sandbox::{self, Sandbox};
use crate::checks::tool_pod::ToolPod;
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::Kind;
use crate::record::{Blocker, Outcome};

const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
const CLASS: Kind = Kind::new("storage.k8s.io", "v1", "StorageClass", "storageclasses");
const VOLUME: Kind = Kind::new("", "v1", "PersistentVolume", "persistentvolumes");
/// How long a volume may take to be made and mounted, image pull included.
const MOUNT: Duration = Duration::from_secs(120);
/// What agnhost's `mounttest` writes into a new file.
const WRITTEN: &str = "mount-tester new file";
/// Provisioners whose volumes are directories of a node.
pub const LOCAL: [&str; 5] = [
    "kubernetes.io/host-path",
    "kubernetes.io/no-provisioner",
    "rancher.io/local-path",
    "microk8s.io/hostpath",
    "k8s.io/minikube-hostpath",
];

/// There is one default class.
pub const DEFAULT_CLASS: Native = Native {
    name: "scs-0211-default-storage-class",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::STORAGE_CLASSES],
    run: |target| Box::pin(async move { Ok(default_class(&classes(target).await?)) }),
};

/// A volume of it keeps what a pod wrote for the next pod.
pub const VOLUME_KEEPS_DATA: Native = Native {
    name: "scs-0211-volume-keeps-data",
    timeout: Duration::from_secs(300),
    parameters: Parameters::NONE,
    needs: &[
        needs::STORAGE_CLASSES,
        needs::SANDBOX,
        needs::CREATE_CLAIMS,
        needs::CREATE_PODS,
        needs::PODS,
        needs::DELETE_PODS,
        needs::POD_LOGS,
    ],
    run: |target| Box::pin(volume(target, "scs-0211-volume-keeps-data")),
};

/// Its volumes do not go with a node.
pub const FAILURE_SAFE: Native = Native {
    name: "scs-0211-failure-safe",
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::STORAGE_CLASSES, needs::VOLUMES],
    run: |target| Box::pin(failure_safe(target)),
};

async fn classes(target: &Target<'_>) -> Result<Vec<StorageClass>> {
    all(target, "the StorageClasses", &CLASS).await
}

/// Every object of a kind, as its type.
async fn all<T: DeserializeOwned>(target: &Target<'_>, what: &str, kind: &Kind) -> Result<Vec<T>> {
    let view = target.view(&[(kind.clone(), "")]);
    read(target, what, &[&view]).await?;
    let objects = view.list(kind);
    let typed = objects.iter().map(|object| T::deserialize(&object.json));
    typed
        .collect::<Result<_, _>>()
        .with_context(|| format!("failed to understand {what}"))
}

fn name(class: &StorageClass) -> &str {
    class.metadata.name.as_deref().unwrap_or_default()
}

fn says(class: &StorageClass, annotation: &str) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(annotation))
        .is_some_and(|value| value == "true")
}

fn about(class: &str, condition: String) -> Blocker {
    problem("workload", "StorageClass", "", class, condition)
}

/// The default class, or what is wrong with them. Kubernetes still heeds the annotation's beta form
/// (`pkg/volume/util/storageclass.go`), so a class that bears it is one of the defaults.
fn the_default(classes: &[StorageClass]) -> Result<&StorageClass, Vec<Blocker>> {
    let defaults: Vec<_> = classes
        .iter()
        .filter(|class| says(class, DEFAULT) || says(class, BETA))
        .collect();
    match defaults.as_slice() {
        [one] => Ok(one),
        [] if classes.is_empty() => Err(vec![about(
            "(all)",
            format!("there is none; one with the annotation {DEFAULT}: \"true\" is needed"),
        )]),
        [] => Err(vec![about(
            "(all)",
            format!(
                "none of {} has the annotation {DEFAULT}: \"true\"",
                classes.len()
            ),
        )]),
        several => {
            let names: Vec<&str> = several.iter().map(|class| name(class)).collect();
            Err(vec![about(
                "(all)",
                format!("{} are default at once", names.join(", ")),
            )])
        }
    }
}

fn default_class(classes: &[StorageClass]) -> Answer {
    let class = match the_default(classes) {
        Ok(class) => class,
        Err(problems) => return Judgement::Fail(problems).into(),
    };
    if class.provisioner == "kubernetes.io/no-provisioner" {
        return Judgement::Fail(vec![about(
            name(class),
            "is the default and makes no volumes (kubernetes.io/no-provisioner)".to_owned(),
        )])
        .into();
    }
    let (own, of) = (name(class), &class.provisioner);
    if says(class, DEFAULT) {
        return Judgement::Pass(format!("{own} of {of} is the default")).into();
    }
    Answer {
        outcome: Outcome::Pass,
        message: format!("{own} of {of} is the default, but by an annotation that is out of use"),
        evidence: vec![format!(
            "warning: StorageClass {own} has only the annotation {BETA}, which {DEFAULT} has replaced; the standard asks for the latter"
        )],
    }
}

async fn volume(target: &Target<'_>, check: &'static str) -> Result<Answer> {
    if let Err(problems) = the_default(&classes(target).await?) {
        return Ok(Judgement::Fail(problems).into());
    }
    let sandbox = Sandbox::create(target, check).await?;
    let namespace = sandbox.namespace.clone();
    sandbox
        .around(write_and_read(target, check, &namespace))
        .await
}

async fn write_and_read(target: &Target<'_>, check: &str, namespace: &str) -> Result<Answer> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(target.workload.clone(), namespace);
    let claim = serde_json::from_value(json!({
        "metadata": {"name": "data", "labels": sandbox::labels(&target.context.run, check)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }))?;
    claims
        .create(&PostParams::default(), &claim)
        .await
        .context("failed to create a PersistentVolumeClaim")?;
    let pod = |name, args| ToolPod {
        name,
        check,
        args,
        claim: Some("data"),
        ..ToolPod::default()
    };
    let failed = |what: &str, said: &str| {
        let mut blocker = problem("workload", "PersistentVolumeClaim", namespace, "data", what);
        blocker.message = said.to_owned();
        Ok(Answer::from(Judgement::Fail(vec![blocker])))
    };
    let writer = pod("writer", &["mounttest", "--new_file_0644=/data/kept"]);
    let written = writer.run(target, namespace, MOUNT).await?;
    if !written.well {
        return failed(
            "a pod cannot write to a volume of the default StorageClass",
            &written.said,
        );
    }
    writer.remove(target, namespace).await?;
    let reader = pod("reader", &["mounttest", "--file_content=/data/kept"]);
    let read = reader.run(target, namespace, MOUNT).await?;
    if !read.well {
        return failed("what one pod wrote the next cannot read", &read.said);
    }
    let log = reader.log(target, namespace).await?;
    if !log.contains(WRITTEN) {
        return failed("what one pod wrote is not what the next reads", log.trim());
    }
    Ok(Judgement::Pass(
        "a volume of the default StorageClass was written, and read by another pod".to_owned(),
    )
    .into())
}

/// Volumes are judged by what they are where there are any, else by who makes them.
async fn failure_safe(target: &Target<'_>) -> Result<Answer> {
    let classes = classes(target).await?;
    let volumes: Vec<PersistentVolume> = all(target, "the PersistentVolumes", &VOLUME).await?;
    match the_default(&classes) {
        Ok(class) => Ok(tied(class, &volumes).into()),
        Err(_) => bail!("there is not one default StorageClass whose volumes could be judged"),
    }
}

fn tied(class: &StorageClass, volumes: &[PersistentVolume]) -> Judgement {
    if LOCAL.contains(&class.provisioner.as_str()) {
        let why = format!(
            "{} makes volumes that are directories of a node, and go with it",
            class.provisioner
        );
        return Judgement::Fail(vec![about(name(class), why)]);
    }
    let problems = volumes.iter().filter_map(|volume| {
        let spec = volume.spec.as_ref()?;
        let mine = spec.storage_class_name.as_deref() == Some(name(class));
        let tied = spec.host_path.is_some() || spec.local.is_some();
        let volume = volume.metadata.name.as_deref().unwrap_or_default();
        (mine && tied).then(|| {
            problem(
                "workload",
                "PersistentVolume",
                "",
                volume,
                "is a directory of a node, and goes with it",
            )
        })
    });
    Judgement::unless(problems.collect(), || {
        format!(
            "{} is not known to tie volumes to a node",
            class.provisioner
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::problems;

    fn class(name: &str, provisioner: &str, annotation: &str) -> StorageClass {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {annotation: "true"}}, "provisioner": provisioner}))
        .unwrap()
    }

    #[test]
    fn one_class_is_the_default() {
        let good = class("good", "csi.example.org", DEFAULT);
        let other = class("other", "csi.example.org", "x");
        let told = |classes: &[StorageClass]| {
            let answer = default_class(classes);
            format!(
                "{} {} {}",
                answer.outcome,
                answer.message,
                answer.evidence.join("; ")
            )
        };
        assert_eq!(
            told(&[good.clone(), other.clone()]),
            "pass good of csi.example.org is the default "
        );
        assert!(told(&[other]).contains("none of 1"));
        assert!(told(&[]).contains("there is none; one with the annotation"));
        let second = class("second", "csi.example.org", DEFAULT);
        let both = told(&[good.clone(), second]);
        assert!(
            both.starts_with("FAIL") && both.contains("good, second are default at once"),
            "{both}"
        );
        let none = class("none", "kubernetes.io/no-provisioner", DEFAULT);
        assert!(told(&[none]).contains("makes no volumes"));
        // The beta form makes a default, too: alone it warns, beside another one there are two.
        let old = class("old", "csi.example.org", BETA);
        let alone = told(std::slice::from_ref(&old));
        assert!(
            alone.starts_with("pass") && alone.contains("warning: StorageClass old has only"),
            "{alone}"
        );
        let both = told(&[good, old]);
        assert!(
            both.starts_with("FAIL") && both.contains("good, old are default at once"),
            "{both}"
        );
    }

    #[test]
    fn volumes_of_a_node_are_not_failure_safe() {
        let volume = |spec| -> PersistentVolume {
            serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec})).unwrap()
        };
        let safe = class("good", "csi.example.org", DEFAULT);
        let remote = volume(
            json!({"storageClassName": "good", "csi": {"driver": "csi.example.org", "volumeHandle": "1"}}),
        );
        assert_eq!(problems(&tied(&safe, &[remote])), "");
        let local = volume(json!({"storageClassName": "good", "hostPath": {"path": "/tmp"}}));
        assert!(problems(&tied(&safe, &[local])).contains("PersistentVolume v"));
        let host = class("standard", "kubernetes.io/host-path", DEFAULT);
        assert!(problems(&tied(&host, &[])).contains("go with it"));
    }
}
