//! `coredns-version`: CoreDNS is rolled out, and not older than kubeadm of the target version wants it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::workloads_rolled_out::unfinished;
use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, images, needs};
use crate::cluster::{Object, kinds};

const NAME: &str = "coredns-version";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(90),
    parameters: Parameters::NONE,
    needs: &[needs::DEPLOYMENTS, needs::PODS],
    run: |target| Box::pin(run(target)),
};

/// KubeadmControlPlane moves CoreDNS after the last control-plane Machine.
const SETTLE: Duration = Duration::from_secs(60);

/// CoreDNS of kubeadm, by the minor of Kubernetes 1.
///
/// Source: `CoreDNSVersion` in kubernetes/kubernetes `cmd/kubeadm/app/constants/constants.go` at
/// v1.34.3, v1.35.0, v1.36.2.
const WANTED: &[(u32, &str)] = &[(34, "v1.12.1"), (35, "v1.13.1"), (36, "v1.14.2")];

async fn run(target: &Target<'_>) -> Result<Answer> {
    let watched = [
        (kinds::DEPLOYMENT, "kube-system"),
        (kinds::POD, "kube-system"),
    ];
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        let dns = view.get(&kinds::DEPLOYMENT, "kube-system", "coredns");
        judge(target.kubernetes, dns.as_deref(), &view.list(&kinds::POD))
    })
    .await
}

fn judge(version: &str, dns: Option<&Object>, pods: &[Arc<Object>]) -> Judgement {
    let Some(dns) = dns else {
        return Judgement::Skip(
            "there is no Deployment kube-system/coredns: cluster DNS is something else".to_owned(),
        );
    };
    let wanted = images::numbers(version).and_then(|[_, minor, _]| {
        let (_, wanted) = WANTED.iter().find(|(known, _)| *known == minor)?;
        Some(*wanted)
    });
    let Some(wanted) = wanted else {
        return Judgement::Skip(format!(
            "which CoreDNS kubeadm of Kubernetes {version} installs is not known here"
        ));
    };
    let image = dns.str("/spec/template/spec/containers/0/image");
    let live = images::tag(image);
    let mut problems = Vec::new();
    match images::numbers(live) {
        None => problems.push(dns.blocker(format!("image is {image}, whose tag is no version"))),
        Some(numbers) if Some(numbers) < images::numbers(wanted) => {
            let mut blocker = dns.blocker(format!(
                "image is {image}, older than {wanted} of kubeadm {version}"
            ));
            "KubeadmControlPlane moves CoreDNS only when the ClusterClass sets clusterConfiguration.dns.imageTag"
                .clone_into(&mut blocker.message);
            problems.push(blocker);
        }
        Some(_) => {}
    }
    problems.extend(unfinished(dns, pods));
    Judgement::unless(problems, || {
        format!("{image} is rolled out, kubeadm {version} installs {wanted}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{pod, problems, with, without_image, workload};
    use serde_json::json;

    fn dns(tag: &str) -> Arc<Object> {
        workload(
            "Deployment",
            "coredns",
            &format!("registry.k8s.io/coredns/coredns:{tag}"),
        )
    }

    #[test]
    fn kubeadms_version_or_a_newer_one_passes() {
        for tag in ["v1.13.1", "v1.14.0", "v1.13.1-vendor.2"] {
            assert_eq!(problems(&judge("v1.35.0", Some(&dns(tag)), &[])), "");
        }
    }

    #[test]
    fn an_old_one_whose_image_is_not_on_the_new_nodes_fails_with_the_remedy() {
        let old = with(&dns("v1.12.1"), "/status/availableReplicas", json!(0));
        let pod = without_image(&pod(
            "coredns-x",
            "a",
            "registry.k8s.io/coredns/coredns:v1.12.1",
        ));
        let pod = with(&pod, "/metadata/labels", json!({"app": "coredns"}));
        assert_eq!(
            problems(&judge("v1.35.0", Some(&old), &[pod])),
            "Deployment kube-system/coredns: image is registry.k8s.io/coredns/coredns:v1.12.1, older than v1.13.1 of kubeadm v1.35.0: \
             KubeadmControlPlane moves CoreDNS only when the ClusterClass sets clusterConfiguration.dns.imageTag\n\
             Deployment kube-system/coredns: 0 of 2 available, 2 updated, 2 present, ImagePullBackOff: \
             Pod kube-system/coredns-x: container main (registry.k8s.io/coredns/coredns:v1.12.1) waits on node a: Back-off pulling image"
        );
    }

    #[test]
    fn a_tag_that_is_no_version_fails() {
        assert!(problems(&judge("v1.35.0", Some(&dns("latest")), &[])).contains("no version"));
    }

    #[test]
    fn an_unknown_kubernetes_and_another_dns_are_not_judged() {
        assert!(matches!(
            judge("v1.99.0", Some(&dns("v1.13.1")), &[]),
            Judgement::Skip(_)
        ));
        assert!(matches!(judge("v1.35.0", None, &[]), Judgement::Skip(_)));
    }
}
