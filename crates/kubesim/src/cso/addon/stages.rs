//! The stages of a hook, one after the other; how far they are stands in the status.

use serde_json::{Value, json};

use super::super::apply::{delete, forget, only_in};
use super::super::kinds::{errs, holds};
use super::super::names;
use super::super::process::Fault;
use super::super::releases::{Action, Objects, RenderError, Stage, Wait};
use super::{AGAIN, Stop, Visit};
use crate::capi::resource_in;
use crate::cluster::Cluster;
use crate::object::{condition, list, text};

const PENDING: &str = "Pending";
const BEFORE: &str = "waitingForPreCondition";
const ACTING: &str = "applyingOrDeleting";
const AFTER: &str = "waitingForPostCondition";
const DONE: &str = "done";

impl Visit<'_> {
    /// Runs the stages of a hook of the class's release; `old` is the release before.
    pub(super) fn stages(
        &mut self,
        workload: &Cluster,
        class: &str,
        hook: &str,
        old: Option<&str>,
    ) -> Result<(), Stop> {
        let tag = names::of_class(class);
        let stages = self.operator.releases().stages(&tag, hook);
        holds(&mut self.addon, "ClusterAddonConfigValidated", &self.now);
        self.begin(&stages);
        let objects = self.objects();
        for (index, stage) in stages.iter().enumerate() {
            let phase = text(&self.addon, &format!("/status/stages/{index}/phase")).to_owned();
            if phase == DONE {
                continue;
            }
            if let (Some(wait), PENDING | BEFORE) = (&stage.before, &*phase) {
                self.phase(index, BEFORE);
                self.wait(workload, wait, "FailedToEvaluatePreCondition")?;
            }
            if phase != AFTER {
                self.phase(index, ACTING);
                if !self.act(workload, stage, &tag, old, &objects)? {
                    // A chart that gives nothing is passed over without a word but this condition.
                    self.phase(index, DONE);
                    continue;
                }
            }
            if let Some(wait) = &stage.after {
                self.phase(index, AFTER);
                self.wait(workload, wait, "FailedToEvaluatePostCondition")?;
            }
            self.phase(index, DONE);
            if old.is_some() && self.operator.once(Fault::RestartsMidway) {
                self.operator.restart(self.management);
                return Err(Stop::Again(AGAIN));
            }
        }
        Ok(())
    }

    /// Notes the stages, unless they are noted already.
    fn begin(&mut self, stages: &[Stage]) {
        let known = list(&self.addon, "/status/stages");
        let same = known.len() == stages.len()
            && known
                .iter()
                .zip(stages)
                .all(|(known, stage)| known["name"] == stage.name);
        if same {
            return;
        }
        let noted: Vec<Value> = stages
            .iter()
            .map(|stage| {
                let action = match stage.action {
                    Action::Apply => "apply",
                    Action::Delete => "delete",
                };
                json!({"name": stage.name, "action": action, "phase": PENDING})
            })
            .collect();
        self.addon["status"]["stages"] = json!(noted);
    }

    fn phase(&mut self, index: usize, phase: &str) {
        self.addon["status"]["stages"][index]["phase"] = json!(phase);
    }

    /// Whether a condition holds; tried again while it does not, an error where it cannot be told.
    fn wait(&mut self, workload: &Cluster, wait: &Wait, reason: &str) -> Result<(), Stop> {
        let mut found = Vec::new();
        for watched in &wait.objects {
            let reference = json!({"apiVersion": watched.api_version, "kind": watched.kind});
            let api = workload.api();
            let object = resource_in(api.catalogue(), &reference)
                .and_then(|id| api.get(&id, &watched.namespace, &watched.name));
            let Some(object) = object else {
                let why = format!(
                    "{} {}/{} not found",
                    watched.kind, watched.namespace, watched.name
                );
                return Err(self.undecided(reason, &why));
            };
            found.push((watched.key.clone(), object));
        }
        match self.operator.releases().holds(&wait.expression, &found) {
            Ok(true) => {
                holds(&mut self.addon, "EvaluatedCEL", &self.now);
                Ok(())
            }
            Ok(false) => Err(Stop::Again(AGAIN)),
            Err(why) => Err(self.undecided(reason, &why)),
        }
    }

    fn undecided(&mut self, reason: &str, why: &str) -> Stop {
        let message = format!("failed to evaluate: {why}");
        errs(&mut self.addon, "EvaluatedCEL", reason, &message, &self.now);
        Stop::Failed(message)
    }

    /// Applies or deletes a stage's objects; false where there are none because the chart fails.
    fn act(
        &mut self,
        workload: &Cluster,
        stage: &Stage,
        tag: &str,
        old: Option<&str>,
        objects: &Objects,
    ) -> Result<bool, Stop> {
        let chart = stage.name.as_str();
        let rendered = if old.is_some() && self.operator.has(Fault::TemplatesFail) {
            self.operator.note(Fault::TemplatesFail);
            Err(RenderError::Chart("could not download https://charts.example.org/library-1.0.0.tgz: dial tcp: lookup charts.example.org: no such host".to_owned()))
        } else {
            let releases = self.operator.releases();
            releases.addon(tag, chart, Some(chart), objects)
        };
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                self.fails_to_render(&error, chart, "New");
                return Ok(false);
            }
        };
        if stage.action == Action::Delete {
            self.deleted(workload, &rendered)?;
            return Ok(true);
        }
        self.applied(workload, &rendered)?;
        if let Some(old) = old
            && self.operator.releases().has_overwrite(old, chart)
        {
            let before = self
                .operator
                .releases()
                .addon(old, chart, Some(chart), objects);
            match before {
                Ok(before) => self.dropped(workload, &only_in(&before, &rendered))?,
                Err(error) => {
                    self.fails_to_render(&error, chart, "Old");
                    return Err(Stop::Again(AGAIN));
                }
            }
        }
        Ok(true)
    }

    pub(super) fn fails_to_render(&mut self, error: &RenderError, chart: &str, which: &str) {
        let message = error.message(chart);
        let (kind, reason) = match error {
            RenderError::Missing if which == "New" => {
                ("HelmChartFound", "HelmChartMissing".to_owned())
            }
            RenderError::Values(_) => (
                "HelmChartTemplated",
                format!("Template{which}ClusterStackOverwriteFailed"),
            ),
            _ => (
                "HelmChartTemplated",
                format!("Template{which}ClusterStackFailed"),
            ),
        };
        errs(&mut self.addon, kind, &reason, &message, &self.now);
    }

    /// Deletes what the new release does not have any more.
    pub(super) fn dropped(&mut self, workload: &Cluster, objects: &[Value]) -> Result<(), Stop> {
        if !self.operator.has(Fault::PrunesNothing) {
            return self.deleted(workload, objects);
        }
        if !objects.is_empty() {
            self.operator.note(Fault::PrunesNothing);
        }
        Ok(())
    }

    fn deleted(&mut self, workload: &Cluster, objects: &[Value]) -> Result<(), Stop> {
        let wrong: Vec<String> = objects
            .iter()
            .filter_map(|object| delete(workload, object).err())
            .map(|error| error.message)
            .collect();
        if wrong.is_empty() {
            forget(&mut self.addon, objects);
            if condition(&self.addon, "HelmChartDeleted").is_some() {
                holds(&mut self.addon, "HelmChartDeleted", &self.now);
            }
            return Ok(());
        }
        let message = format!("failed to delete objects: {}", wrong.join("; "));
        errs(
            &mut self.addon,
            "HelmChartDeleted",
            "FailedToDeleteObjects",
            &message,
            &self.now,
        );
        Err(Stop::Again(AGAIN))
    }
}
