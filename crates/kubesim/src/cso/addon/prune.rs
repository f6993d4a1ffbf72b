//! What is deleted after an upgrade's stages: what the operator takes for dropped.

use serde_json::Value;

use super::super::apply::{ADDONS, only_in};
use super::super::process::Fault;
use super::super::releases::{Action, CREATED, Objects, Stage, UPGRADED};
use super::{AGAIN, STAGE, Stop, Visit};
use crate::cluster::Cluster;
use crate::object::{annotation, namespace};

impl Visit<'_> {
    /// Deletes what the old list has and the new one has not (upstream `cleanUpResources`). The old list is the
    /// charts of the release before that the *new* release names at the hook of new Clusters, the new list what it
    /// names at that of upgrades. One that does not render is an error of which no condition tells.
    pub(super) fn prune(
        &mut self,
        workload: &Cluster,
        tag: &str,
        hook: &str,
        old: &str,
    ) -> Result<(), Stop> {
        let first = match annotation(&self.addon, STAGE) {
            Some("created") => CREATED,
            _ => UPGRADED,
        };
        let before = self.operator.releases().stages(tag, first);
        let mut now = self.operator.releases().stages(tag, hook);
        if self.operator.has(Fault::PrunesFirstStage) && !now.is_empty() {
            now.remove(0);
            self.operator.note(Fault::PrunesFirstStage);
        }
        let objects = self.objects();
        let (old, new) = (
            self.listed(old, &before, &objects, false)?,
            self.listed(tag, &now, &objects, true)?,
        );
        // Where it was rendered, and in kube-system where that says no namespace.
        let gone = self.dropped(workload, &only_in(&old, &new), |object| {
            match namespace(object) {
                "" => ADDONS,
                space => space,
            }
        });
        match gone {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Again(AGAIN)),
            Err(error) => Err(Stop::Failed(error.message)),
        }
    }

    /// The objects of stages. A chart without a template of values gets those of the chart before.
    fn listed(
        &self,
        tag: &str,
        stages: &[Stage],
        objects: &Objects,
        new: bool,
    ) -> Result<Vec<Value>, Stop> {
        let mut values_of: Option<String> = None;
        let mut all = Vec::new();
        for stage in stages {
            if self.operator.releases().has_overwrite(tag, &stage.name) {
                values_of = Some(stage.name.clone());
            }
            let rendered = self.rendered(tag, &stage.name, values_of.as_deref(), objects, new);
            let rendered = rendered.map_err(|error| Stop::Failed(error.message(&stage.name)))?;
            // What a stage deletes stays in the list: it is compared by pointers, which are never the same (upstream
            // `removeResourcesFromCurrentListOfObjects`).
            if stage.action == Action::Apply {
                all.extend(rendered);
            }
        }
        Ok(all)
    }
}
