//! What is deleted after an upgrade's stages: what the operator takes for dropped.

use serde_json::Value;

use super::super::apply::only_in;
use super::super::names;
use super::super::process::Fault;
use super::super::releases::{Action, CREATED, Objects, Stage, UPGRADED};
use super::{AGAIN, STAGE, Stop, Visit};
use crate::cluster::Cluster;
use crate::object::annotation;

impl Visit<'_> {
    /// Deletes what the old list has and the new one has not. The old list is the charts of the release
    /// before that the *new* release names at the hook of new Clusters, the new list what it names at
    /// that of upgrades.
    pub(super) fn prune(&mut self, workload: &Cluster, class: &str, old: &str) -> Result<(), Stop> {
        let tag = names::of_class(class);
        let hook = match annotation(&self.addon, STAGE) {
            Some("created") => CREATED,
            _ => UPGRADED,
        };
        let before = self.operator.releases().stages(&tag, hook);
        let mut now = self.operator.releases().stages(&tag, UPGRADED);
        if self.operator.has(Fault::PrunesFirstStage) && !now.is_empty() {
            now.remove(0);
            self.operator.note(Fault::PrunesFirstStage);
        }
        let objects = self.objects();
        let new = self.listed(&tag, &now, &objects, "New")?;
        let old = self.listed(old, &before, &objects, "Old")?;
        self.dropped(workload, &only_in(&old, &new))
    }

    /// The objects of stages. A chart without a template of values gets those of the chart before.
    fn listed(
        &mut self,
        tag: &str,
        stages: &[Stage],
        objects: &Objects,
        which: &str,
    ) -> Result<Vec<Value>, Stop> {
        let mut values_of: Option<String> = None;
        let mut all = Vec::new();
        for stage in stages.iter().filter(|stage| stage.action == Action::Apply) {
            let releases = self.operator.releases();
            if releases.has_overwrite(tag, &stage.name) {
                values_of = Some(stage.name.clone());
            }
            match releases.addon(tag, &stage.name, values_of.as_deref(), objects) {
                Ok(rendered) => all.extend(rendered),
                // In the new release the stage was passed over already.
                Err(_) if which == "New" => {}
                Err(error) => {
                    self.fails_to_render(&error, &stage.name, which);
                    return Err(Stop::Again(AGAIN));
                }
            }
        }
        Ok(all)
    }
}
