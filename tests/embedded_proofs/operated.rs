//! A cluster whose addons the simulated Cluster Stack Operator brought.

use std::sync::Arc;

use kubesim::cso::{self, Metadata, Objects, Operator, Releases, RenderError, Stage};
use kubesim::resource::builtin::NODES;
use kubesim::{Options, Simulation, capi, controllers};
use serde_json::{Value, json};

use crate::lab::{self, Lab};
use crate::simulated::World;
use crate::with_management;

/// The only release that there is.
const TAG: &str = "docker-demo-1-34-v1";

/// Its registry: one chart, which is the network.
struct One;

impl Releases for One {
    fn tags(&self) -> Vec<String> {
        vec![TAG.to_owned()]
    }

    fn metadata(&self, _: &str) -> Result<Metadata, String> {
        Ok(Metadata {
            kubernetes: lab::VERSIONS[0].to_owned(),
            addon: "v1".to_owned(),
            staged: false,
        })
    }

    fn class(&self, tag: &str, _: &str) -> Result<Vec<Value>, String> {
        Ok(lab::class(tag, lab::VERSIONS[0]))
    }

    fn stages(&self, _: &str, _: &str) -> Vec<Stage> {
        vec![Stage {
            name: "cni".to_owned(),
            action: cso::Action::Apply,
            before: None,
            after: None,
        }]
    }

    fn has_chart(&self, _: &str, _: &str) -> bool {
        true
    }

    fn has_overwrite(&self, _: &str, _: &str) -> bool {
        false
    }

    fn addon(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: &Objects,
    ) -> Result<Vec<Value>, RenderError> {
        Ok(vec![lab::cni()])
    }

    fn holds(&self, _: &str, _: &[(String, Arc<Value>)]) -> Result<bool, String> {
        Ok(true)
    }
}

/// The cluster, and the operator.
pub async fn operated() -> (World, Operator) {
    let operator = Operator::new(Arc::new(One));
    let options = capi::Options {
        extensions: vec![Arc::new(operator.clone())],
        ..capi::Options::default()
    };
    let simulation = Simulation::new(&Options::default());
    let mut all = controllers::all();
    all.extend(cso::controllers(&operator));
    all.extend(capi::controllers(&options));
    let management = simulation.add_cluster("management", all);
    capi::install(&management, &options);
    cso::install(&management, &operator).unwrap();
    let lab = Lab {
        simulation,
        management,
    };
    let create = async |object: Value| lab::create(&lab.management, object).await.unwrap();
    create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lab::SPACE}}))
        .await;
    create(json!({"apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterStack",
        "metadata": {"name": "demo", "namespace": lab::SPACE},
        "spec": {"provider": "docker", "name": "demo", "kubernetesVersion": "1.34", "channel": "stable",
            "autoSubscribe": false, "noProvider": true, "versions": ["v1"]}}))
    .await;
    lab::until("the release is ready", || {
        let releases = lab.list(&cso::RELEASES);
        releases
            .iter()
            .any(|release| release["status"]["ready"] == true)
    })
    .await;
    let mut cluster = lab::cluster(1, &[]);
    cluster["spec"]["topology"]["classRef"]["name"] = json!(TAG);
    create(cluster).await;
    lab::until("the node is Ready", || {
        let nodes = lab.workload().map(|one| one.api().list(&NODES, None));
        let mut nodes = nodes.into_iter().flatten();
        nodes.any(|node| lab::condition(&node, "Ready").0 == "True")
    })
    .await;
    let cluster = lab.workload().unwrap();
    (with_management(lab, cluster), operator)
}
