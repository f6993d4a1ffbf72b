//! What is told of a cluster once it has arrived: facts for the reports, and what checks' answers depend on.

use std::collections::BTreeSet;

use super::journey::Workload;
use super::run::Run;
use crate::checks;
use crate::cluster::{View, kinds};
use crate::delivery;
use crate::record::Surroundings;
use crate::stack::Release;

impl Run<'_> {
    /// Facts for the reports that are known once a release has arrived.
    pub(super) fn versions(
        &self,
        when: &str,
        release: &Release,
        addons: &[delivery::AddonObjects],
        workload: &View,
    ) {
        let nodes = workload.list(&kinds::NODE);
        for (name, field) in [
            ("node-image", "/status/nodeInfo/osImage"),
            (
                "container-runtime",
                "/status/nodeInfo/containerRuntimeVersion",
            ),
        ] {
            let told: BTreeSet<&str> = nodes.iter().map(|node| node.str(field)).collect();
            let told = Vec::from_iter(told).join(", ");
            if !told.is_empty() {
                self.context.property(format!("{name}.{when}"), told);
            }
        }
        self.context.property(
            format!("kubernetes.{when}"),
            release.kubernetes_version.to_string(),
        );
        if let Some(image) = network_image(addons) {
            self.context.property(format!("cni.{when}"), image);
        }
    }
}

impl Workload {
    /// Where it is, in a few words.
    pub(super) fn summary(&self) -> String {
        let nodes = self.view.list(&kinds::NODE).len();
        format!("{nodes} nodes at {}", self.goal.version)
    }

    /// What checks' answers depend on beside the release.
    pub(super) fn surroundings(&self, provider: &str) -> Surroundings {
        let nodes = self.view.list(&kinds::NODE);
        let images: BTreeSet<&str> = nodes
            .iter()
            .map(|node| node.str("/status/nodeInfo/osImage"))
            .collect();
        Surroundings {
            provider: provider.to_owned(),
            cni: network_image(&self.addons).unwrap_or_default().to_owned(),
            node_image: Vec::from_iter(images).join(", "),
            topology: checks::surroundings::topology(&nodes),
        }
    }
}

/// The image of the network's agents, by the name of the stage that brings it.
fn network_image(addons: &[delivery::AddonObjects]) -> Option<&str> {
    let network = addons.iter().find(|addon| addon.stage.name.contains("cni"));
    let images = network
        .into_iter()
        .flat_map(|addon| &addon.objects)
        .filter_map(|object| {
            object
                .pointer("/spec/template/spec/containers/0/image")?
                .as_str()
        });
    images.into_iter().next()
}
