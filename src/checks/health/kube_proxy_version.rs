//! `kube-proxy-version`: kube-proxy is rolled out at the target version.

use std::time::Duration;

use anyhow::Result;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, images, needs};
use crate::cluster::{Object, kinds, rollout_blocker};

const NAME: &str = "kube-proxy-version";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(90),
    parameters: Parameters::NONE,
    needs: &[needs::DAEMON_SETS],
    run: |target| Box::pin(run(target)),
};

/// KubeadmControlPlane moves kube-proxy after the last control-plane Machine.
const SETTLE: Duration = Duration::from_secs(60);

async fn run(target: &Target<'_>) -> Result<Answer> {
    let watched = [(kinds::DAEMON_SET, "kube-system")];
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        let proxy = view.get(&kinds::DAEMON_SET, "kube-system", "kube-proxy");
        judge(target.kubernetes, proxy.as_deref())
    })
    .await
}

fn judge(version: &str, proxy: Option<&Object>) -> Judgement {
    let Some(proxy) = proxy else {
        return Judgement::Skip(
            "there is no DaemonSet kube-system/kube-proxy: Services are handled by something else"
                .to_owned(),
        );
    };
    let mut problems = Vec::new();
    let image = proxy.str("/spec/template/spec/containers/0/image");
    if !images::is_tagged(image, version) {
        problems.push(proxy.blocker(format!("image is {image}, not {version}")));
    }
    problems.extend(rollout_blocker(proxy));
    Judgement::unless(problems, || format!("{image} is rolled out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{problems, with, workload};
    use serde_json::json;

    #[test]
    fn the_target_version_rolled_out_passes() {
        let proxy = workload(
            "DaemonSet",
            "kube-proxy",
            "registry.k8s.io/kube-proxy:v1.35.0",
        );
        assert_eq!(problems(&judge("v1.35.0", Some(&proxy))), "");
    }

    #[test]
    fn an_old_version_and_a_rollout_that_is_not_over_fail() {
        let proxy = workload(
            "DaemonSet",
            "kube-proxy",
            "registry.k8s.io/kube-proxy:v1.34.3",
        );
        let proxy = with(&proxy, "/status/numberAvailable", json!(1));
        assert_eq!(
            problems(&judge("v1.35.0", Some(&proxy))),
            "DaemonSet kube-system/kube-proxy: image is registry.k8s.io/kube-proxy:v1.34.3, not v1.35.0\n\
             DaemonSet kube-system/kube-proxy: 1 of 2 available, 2 updated, 2 present"
        );
    }

    #[test]
    fn a_cluster_without_kube_proxy_is_not_judged() {
        assert!(matches!(judge("v1.35.0", None), Judgement::Skip(_)));
    }
}
