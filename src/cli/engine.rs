//! From the name of an engine to the engine: the command line's only place that knows any.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::Value;

use super::args::EngineKind;
use super::exit::Failure;
use super::kubeconfig::Given;
use super::management::{ExistingArgs, Management};
use super::operator::operator;
use crate::checks::TOOLS_IMAGE;
use crate::cluster::kinds;
use crate::delivery;
use crate::engine::Engine;
use crate::engine::config::Config;
use crate::engine::embedded::faults::Injected;
use crate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use crate::engine::existing::{self, ExistingEngine, ExistingOptions};
use crate::engine::kind::{self, KindEngine, KindOptions, ManagementMode};
use crate::record::RunId;
use crate::stack::{Delivery, Infrastructure, Release, Stack, StackError};

/// What an engine is made for.
pub struct Wanted<'a> {
    /// The stack under test.
    pub stack: &'a Stack,
    /// The run.
    pub run: &'a RunId,
    /// The workload cluster's name.
    pub cluster: &'a str,
    /// Where the management cluster comes from.
    pub management: &'a Management,
    /// What all randomness of simulated clusters comes from.
    pub seed: u64,
    /// What is made to go wrong with them.
    pub faults: &'a [Injected],
    /// Which images a rehearsal cannot have.
    pub missing_images: &'a [String],
    /// The releases: what a simulated Cluster Stack Operator has in its registry, and what a management
    /// cluster has to serve.
    pub releases: &'a [Release],
    /// The management cluster that is there.
    pub existing: &'a ExistingArgs,
}

/// Makes the engine for a run of a stack.
///
/// # Errors
/// When the machine's configuration is wrong.
pub fn make(engine: EngineKind, wanted: &Wanted<'_>) -> Result<Box<dyn Engine>, Failure> {
    let Wanted {
        stack,
        run,
        cluster,
        management,
        ..
    } = *wanted;
    match engine {
        EngineKind::Embedded => {
            let engine = EmbeddedEngine::new(EmbeddedOptions {
                run: run.clone(),
                seed: wanted.seed,
                faults: wanted.faults.to_vec(),
                missing_images: wanted.missing_images.to_vec(),
                workload_cluster: cluster.to_owned(),
                infrastructure: stack.spec.management.components.infrastructure,
            });
            Ok(Box::new(match stack.spec.delivery {
                Delivery::Direct => engine,
                Delivery::Operator => {
                    let cluster_api = stack.spec.management.components.cluster_api;
                    engine.with_operator(wanted.releases, cluster_api)
                }
            }))
        }
        EngineKind::Existing => {
            let Some(file) = &wanted.existing.kubeconfig else {
                let error = anyhow!(
                    "failed to start: engine existing needs to know which cluster is meant"
                );
                return Err(Failure::input(error).hint("add --kubeconfig FILE"));
            };
            if let Some(disturbance) = stack.spec.upgrade.disturbance {
                let error = anyhow!("failed to start: {}", existing::refusal(disturbance));
                return Err(Failure::input(error).hint(
                    "--engine kind does it to clusters of its own, --engine embedded rehearses it",
                ));
            }
            let given = Given::read(Some(file), wanted.existing.context.as_deref())?;
            Ok(Box::new(ExistingEngine::new(ExistingOptions {
                run: run.clone(),
                kubeconfig: given.kubeconfig().clone(),
                workload_cluster: cluster.to_owned(),
                created: created(wanted)?,
                teardown: stack.spec.timeouts.teardown.get(),
            })))
        }
        EngineKind::Kind => {
            let config = Config::load().map_err(Failure::input)?;
            let spec = &stack.spec;
            let mut images: Vec<String> = spec
                .node_images
                .values()
                .chain(&spec.images)
                .map(ToString::to_string)
                .collect();
            images.push(TOOLS_IMAGE.to_owned());
            images.sort();
            images.dedup();
            let infrastructure = spec.management.components.infrastructure;
            let (kind_config, node_image) = match (stack.made_by_kind(), infrastructure) {
                (Ok((config, image)), _) => (config.to_owned(), image.to_string()),
                (Err(problems), Infrastructure::Docker) => {
                    return Err(Failure::input(StackError::from(problems)));
                }
                // Its preflight refuses a stack of another provider, whatever is told or not.
                (Err(_), Infrastructure::OpenStack) => (PathBuf::new(), String::new()),
            };
            Ok(Box::new(KindEngine::new(KindOptions {
                run: run.clone(),
                operator: operator(wanted, &node_image)?,
                kind_config,
                node_image,
                infrastructure,
                components_version: spec.management.components.cluster_api.to_string(),
                images,
                management: match management {
                    Management::Fresh => ManagementMode::Fresh,
                    Management::Light => ManagementMode::Light,
                    Management::Keep(name) => ManagementMode::Keep(name.clone()),
                    Management::Reuse(name) => ManagementMode::Reuse(name.clone()),
                },
                workload_cluster: cluster.to_owned(),
                config,
            })))
        }
    }
}

/// `apiVersion` and `kind` of what a run creates in its management cluster.
fn created(wanted: &Wanted<'_>) -> Result<BTreeSet<(String, String)>, Failure> {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let mut created = BTreeSet::new();
    match wanted.stack.spec.delivery {
        Delivery::Operator => {
            let kind = kinds::CLUSTER_STACK.resource();
            created.insert((kind.api_version.clone(), kind.kind.clone()));
            let template = wanted.stack.spec.provider_template.iter();
            created.extend(template.map(|one| (one.api_version.clone(), one.kind.clone())));
        }
        Delivery::Direct => {
            for release in wanted.releases {
                let class = delivery::class(release, "default").map_err(Failure::input)?;
                let kinds = class.objects.iter();
                created.extend(kinds.map(|one| (text(one, "apiVersion"), text(one, "kind"))));
            }
        }
    }
    Ok(created)
}

/// Removes what earlier runs on an engine left, or the management cluster that was `kept` under a
/// name, and returns it in the reader's words. A management cluster that is somebody's and gone for good is not
/// asked, to `forget` a run on it.
///
/// # Errors
/// When the engine does not answer, or something could not be removed.
pub async fn clean(
    engine: EngineKind,
    run: Option<RunId>,
    kept: Option<String>,
    forget: bool,
) -> anyhow::Result<Vec<String>> {
    match (engine, kept) {
        (EngineKind::Kind, Some(name)) => kind::clean_kept(&name).await,
        (EngineKind::Kind, None) => kind::clean(run).await,
        // None of these is ours.
        (EngineKind::Existing, _) => existing::clean(run, forget).await,
        // Simulated clusters end with their process.
        (EngineKind::Embedded, _) => Ok(Vec::new()),
    }
}

/// The runs that [`clean`] leaves alone unless they are named: they may be somebody else's.
///
/// # Errors
/// When the engine does not answer.
pub async fn others(engine: EngineKind) -> anyhow::Result<BTreeSet<RunId>> {
    match engine {
        EngineKind::Kind => kind::others().await,
        EngineKind::Embedded | EngineKind::Existing => Ok(BTreeSet::new()),
    }
}

/// The folder of suites that a stack brings along.
pub fn own_suites(stack: &Stack) -> PathBuf {
    stack.folder.join("suites")
}
