//! The Cluster Stack Operator of a run: what is installed of it, and where it cannot be had.

use anyhow::anyhow;

use super::args::EngineKind;
use super::engine::Wanted;
use super::exit::Failure;
use crate::engine::embedded::faults::Injected;
use crate::engine::kind::OperatorOptions;
use crate::stack::{Delivery, OperatorReleases, ReleaseSource, ReleaseTag, Spec, Version};

/// What is missing for the operator on real clusters that stackgate makes.
pub const NO_OPERATOR: &str = "delivery `operator` on real clusters needs to know the Cluster Stack Operator: stack.yaml has no spec.operator";

/// Refuses the operator where nobody can install it, and its faults where it is not.
pub fn refuse_what_cannot_be_delivered(
    engine: EngineKind,
    spec: &Spec,
    faults: &[Injected],
) -> Result<(), Failure> {
    let delivery = spec.delivery;
    if delivery == Delivery::Operator && engine == EngineKind::Kind && spec.operator.is_none() {
        let error = anyhow!("failed to start: {NO_OPERATOR}");
        return Err(Failure::input(error)
            .hint("docs/operator.md tells how to name chart or manifests, and the image")
            .hint("--engine embedded rehearses it, --delivery direct goes without the operator"));
    }
    if delivery == Delivery::Operator
        && engine == EngineKind::Kind
        && spec.provider_template.is_some()
    {
        let error = anyhow!(
            "failed to start: stack.yaml has a spec.providerTemplate, and engine kind installs no provider of node images"
        );
        return Err(Failure::input(error)
            .hint("--engine existing gates on a management cluster that has the provider")
            .hint("--engine embedded rehearses it"));
    }
    let without = faults.iter().find(|one| one.fault.needs_provider());
    if let (Some(fault), None) = (without, &spec.provider_template) {
        let name = fault.fault.name;
        let error = anyhow!(
            "failed to start: fault {name} is one of a provider of node images, and stack.yaml names none"
        );
        return Err(Failure::input(error).hint("docs/operator.md tells of spec.providerTemplate"));
    }
    let alone = faults.iter().find(|one| one.fault.needs_operator());
    match alone {
        Some(fault) if delivery == Delivery::Direct => {
            let name = fault.fault.name;
            let error = anyhow!(
                "failed to start: fault {name} is one of the Cluster Stack Operator, which does not deliver here"
            );
            Err(Failure::input(error).hint("add --delivery operator"))
        }
        _ => Ok(()),
    }
}

/// The Cluster Stack Operator that is installed, where it delivers, on a management cluster with this node image.
pub fn operator(wanted: &Wanted<'_>, node_image: &str) -> Result<Option<OperatorOptions>, Failure> {
    let spec = &wanted.stack.spec;
    let Some(operator) = spec
        .operator
        .as_ref()
        .filter(|_| spec.delivery == Delivery::Operator)
    else {
        return Ok(None);
    };
    let version = kubernetes(node_image, &spec.releases.from);
    let objects = operator
        .objects(&wanted.stack.folder, &version)
        .map_err(Failure::input)?;
    let repository = match &spec.releases.source {
        Some(ReleaseSource::Oci { repository, .. }) => Some(repository.clone()),
        _ => None,
    };
    let folders = || wanted.releases.iter().map(|release| release.folder.clone());
    Ok(Some(OperatorOptions {
        objects,
        image: operator.image.as_ref().map(ToString::to_string),
        releases: (operator.releases == OperatorReleases::Local).then(|| folders().collect()),
        repository,
    }))
}

/// The Kubernetes that the operator's chart is told of: that of the node image; where that names none, one that the stack
/// has, since Helm renders nothing without.
fn kubernetes(node_image: &str, stack: &ReleaseTag) -> String {
    let (name, _) = node_image.split_once('@').unwrap_or((node_image, ""));
    let named = Version::all_in(name).next();
    named.map_or_else(
        || format!("v{}.{}.0", stack.major, stack.minor),
        |version| version.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_chart_is_told_a_version_whatever_the_node_image_is_issue_7() {
        let stack = "docker-demo-1-34-v1".parse().unwrap();
        for (image, version) in [
            ("kindest/node:v1.33.4", "v1.33.4"),
            ("localhost:5000/node:v1.33.4@sha256:00", "v1.33.4"),
            ("kindest/node@sha256:00", "v1.34.0"),
            ("localhost:5000/node:latest", "v1.34.0"),
            ("", "v1.34.0"),
        ] {
            assert_eq!(kubernetes(image, &stack), version, "{image}");
        }
    }
}
