//! The stages of a hook, one after the other; how far they are stands in the status.

use serde_json::{Value, json};

use super::super::apply::{ADDONS, apply_each, delete_each, is_news, not_named_in};
use super::super::kinds::{errs, fails};
use super::super::process::Fault;
use super::super::releases::{Action, Objects, RenderError, Stage, Wait};
use super::{AGAIN, APPLIED, Stop, Visit};
use crate::capi::resource_in;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{list, remove_condition, text, truth};

const PENDING: &str = "Pending";
const BEFORE: &str = "waitingForPreCondition";
const ACTING: &str = "applyingOrDeleting";
const AFTER: &str = "waitingForPostCondition";
const DONE: &str = "done";
/// What an expression that does not hold is as an error.
const UNMET: &str =
    "failed to evaluate the cel expression, please check again: condition don't match";
/// The condition about charts.
const TEMPLATED: &str = "HelmChartTemplated";
/// The condition about what a stage deletes.
const DELETED: &str = "HelmChartDeleted";

const fn action(stage: &Stage) -> &'static str {
    match stage.action {
        Action::Apply => "apply",
        Action::Delete => "delete",
    }
}

impl Visit<'_> {
    /// Runs the stages of a hook of a release; `old` is the release before.
    pub(super) fn stages(
        &mut self,
        workload: &Cluster,
        tag: &str,
        hook: &str,
        old: Option<&str>,
    ) -> Result<(), Stop> {
        let objects = self.objects();
        for stage in &self.operator.releases().stages(tag, hook) {
            self.stage(workload, stage, tag, old, &objects)?;
            let disturbed = [Fault::RestartsMidway, Fault::LocksUp];
            let disturbed = disturbed
                .into_iter()
                .find(|fault| old.is_some_and(|old| old != tag) && self.operator.once(*fault));
            if let (Some(fault), Some(old)) = (disturbed, old) {
                // Nothing of this reconciliation is written: the process is gone.
                self.operator.restart_without(self.management, old, fault);
                return Err(Stop::Panicked);
            }
        }
        Ok(())
    }

    /// One stage, from where it is (upstream `executeStage`). One whose chart is missing or cannot be templated is
    /// passed over without a word but a condition, one of a missing chart before anything of it is begun.
    fn stage(
        &mut self,
        workload: &Cluster,
        stage: &Stage,
        tag: &str,
        old: Option<&str>,
        objects: &Objects,
    ) -> Result<(), Stop> {
        if !self.operator.releases().has_chart(tag, &stage.name) {
            let message = format!(
                "helm chart name doesn't exists in the cluster addon helm chart: \"{}\"",
                stage.name
            );
            let (kind, reason) = ("HelmChartFound", "HelmChartMissing");
            fails(&mut self.addon, kind, reason, &message, &self.now);
            return Ok(());
        }
        let mut phase = self.phase_of(stage);
        if phase == PENDING || phase == BEFORE {
            if let Some(wait) = &stage.before {
                self.wait(workload, stage, wait, BEFORE)?;
            }
            phase = ACTING.to_owned();
            self.phase(stage, &phase);
        }
        if phase == ACTING {
            match stage.action {
                Action::Apply => {
                    let Some((before, rendered)) = self.templated(stage, tag, old, objects) else {
                        return Ok(());
                    };
                    self.applied(workload, stage, &before, &rendered)?;
                }
                Action::Delete => {
                    // Without the template of its values.
                    let rendered = self.rendered(tag, &stage.name, None, objects, old.is_some());
                    match rendered {
                        Ok(rendered) => self.removed(workload, stage, &rendered)?,
                        Err(error) => {
                            self.fails_to_render(&error, &stage.name, "New");
                            return Ok(());
                        }
                    }
                }
            }
            phase = AFTER.to_owned();
            self.phase(stage, &phase);
        }
        if phase == AFTER {
            if let Some(wait) = &stage.after {
                self.wait(workload, stage, wait, AFTER)?;
            }
            self.phase(stage, DONE);
        }
        Ok(())
    }

    /// Notes the stages of a hook, when none are noted or those before are through.
    pub(super) fn begin(&mut self, tag: &str, hook: &str) {
        let known = list(&self.addon, "/status/stages");
        if !truth(&self.addon, "/status/ready") && !known.is_empty() {
            return;
        }
        let stages = self.operator.releases().stages(tag, hook);
        let noted = stages
            .iter()
            .map(|stage| json!({"name": stage.name, "action": action(stage), "phase": PENDING}));
        self.addon["status"]["stages"] = noted.collect();
    }

    /// How far a stage is; one that is not noted is passed over.
    fn phase_of(&self, stage: &Stage) -> String {
        let noted = list(&self.addon, "/status/stages").iter();
        let own = noted
            .into_iter()
            .find(|one| one["name"] == stage.name && one["action"] == action(stage));
        own.map_or("", |own| text(own, "/phase")).to_owned()
    }

    fn phase(&mut self, stage: &Stage, phase: &str) {
        let noted = self.addon["status"]["stages"].as_array_mut();
        for own in noted.into_iter().flatten() {
            if own["name"] == stage.name && own["action"] == action(stage) {
                own["phase"] = json!(phase);
            }
        }
    }

    /// Whether a condition holds; tried again while it does not, an error that no condition tells of where it
    /// cannot be told (upstream `getDynamicResourceAndEvaluateCEL`).
    fn wait(
        &mut self,
        workload: &Cluster,
        stage: &Stage,
        wait: &Wait,
        phase: &str,
    ) -> Result<(), Stop> {
        let mut found = Vec::new();
        for watched in &wait.objects {
            let reference = json!({"apiVersion": watched.api_version, "kind": watched.kind});
            let api = workload.api();
            let object = resource_in(api.catalogue(), &reference)
                .and_then(|id| api.get(&id, &watched.namespace, &watched.name));
            let Some(object) = object else {
                return Err(Stop::Failed(format!(
                    "failed to get object(name: {}, namespace: {}) from dynamic client",
                    watched.name, watched.namespace
                )));
            };
            found.push((watched.key.clone(), object));
        }
        let kind = "EvaluatedCEL";
        match self.operator.releases().holds(&wait.expression, &found) {
            Ok(true) => {
                remove_condition(&mut self.addon["status"], kind);
                Ok(())
            }
            Ok(false) => {
                let which = if phase == BEFORE { "Pre" } else { "Post" };
                let reason = format!("FailedToEvaluate{which}Condition");
                let message = format!(
                    "failed to successfully evaluate {} condition: \"{}\": {UNMET}",
                    which.to_lowercase(),
                    stage.name
                );
                fails(&mut self.addon, kind, &reason, &message, &self.now);
                self.phase(stage, phase);
                Err(Stop::Again(AGAIN))
            }
            Err(why) => Err(Stop::Failed(why)),
        }
    }

    /// The objects of a stage in the release before, where that brings a template of values, and in this one.
    /// None where one of them fails.
    fn templated(
        &mut self,
        stage: &Stage,
        tag: &str,
        old: Option<&str>,
        objects: &Objects,
    ) -> Option<(Vec<Value>, Vec<Value>)> {
        let chart = stage.name.as_str();
        let releases = self.operator.releases();
        let mut before = Vec::new();
        if let Some(old) = old.filter(|old| releases.has_overwrite(old, chart)) {
            match releases.addon(old, chart, Some(chart), objects) {
                Ok(objects) => before = objects,
                Err(error) => {
                    self.fails_to_render(&error, chart, "Old");
                    return None;
                }
            }
        }
        match self.rendered(tag, chart, Some(chart), objects, old.is_some()) {
            Ok(rendered) => {
                remove_condition(&mut self.addon["status"], TEMPLATED);
                Some((before, rendered))
            }
            Err(error) => {
                self.fails_to_render(&error, chart, "New");
                None
            }
        }
    }

    /// The objects of a chart of the release that is gone to.
    pub(super) fn rendered(
        &self,
        tag: &str,
        chart: &str,
        values_of: Option<&str>,
        objects: &Objects,
        upgraded: bool,
    ) -> Result<Vec<Value>, RenderError> {
        if upgraded && self.operator.has(Fault::TemplatesFail) {
            self.operator.note(Fault::TemplatesFail);
            return Err(RenderError::Chart("could not download https://charts.example.org/library-1.0.0.tgz: dial tcp: lookup charts.example.org: no such host".to_owned()));
        }
        let releases = self.operator.releases();
        releases.addon(tag, chart, values_of, objects)
    }

    fn fails_to_render(&mut self, error: &RenderError, chart: &str, which: &str) {
        let message = error.message(chart);
        let what = match error {
            RenderError::Values(_) => "Overwrite",
            RenderError::Chart(_) | RenderError::Missing => "",
        };
        let reason = format!("Template{which}ClusterStack{what}Failed");
        errs(&mut self.addon, TEMPLATED, &reason, &message, &self.now);
    }

    /// Applies a stage's objects, and deletes what its chart in the release before has beside them.
    fn applied(
        &mut self,
        workload: &Cluster,
        stage: &Stage,
        before: &[Value],
        rendered: &[Value],
    ) -> Result<(), Stop> {
        let skips = self.operator.has(Fault::SkipsSynced);
        let left = |object: &&Value| {
            let left = skips && is_news(workload, object);
            if left {
                self.operator.note(Fault::SkipsSynced);
            }
            !left
        };
        let mut done = apply_each(workload, rendered.iter().filter(left), ADDONS);
        let message = format!(
            "failed to successfully apply helm chart: \"{}\"",
            stage.name
        );
        match self.dropped(workload, &not_named_in(before, rendered), |_| ADDONS) {
            Ok(all) => done &= all,
            Err(error) => {
                let message = format!("{message}: {}", error.message);
                let _ = self.not_applied(&message);
                return Err(Stop::Failed(message));
            }
        }
        if !done {
            return Err(self.not_applied(&message));
        }
        remove_condition(&mut self.addon["status"], APPLIED);
        Ok(())
    }

    /// Deletes the objects of a stage's chart.
    fn removed(
        &mut self,
        workload: &Cluster,
        stage: &Stage,
        rendered: &[Value],
    ) -> Result<(), Stop> {
        match delete_each(workload, rendered, |_| ADDONS) {
            Ok(true) => {
                remove_condition(&mut self.addon["status"], DELETED);
                Ok(())
            }
            Ok(false) => Err(Stop::Again(AGAIN)),
            Err(error) => {
                let message = format!(
                    "failed to successfully delete helm chart: \"{}\"",
                    stage.name
                );
                let reason = "FailedToDeleteObjects";
                fails(&mut self.addon, DELETED, reason, &message, &self.now);
                Err(Stop::Failed(format!("{message}: {}", error.message)))
            }
        }
    }

    /// Deletes what the new release does not have any more, as [`delete_each`] does.
    pub(super) fn dropped(
        &self,
        workload: &Cluster,
        objects: &[Value],
        space: impl Fn(&Value) -> &str,
    ) -> Result<bool, ApiError> {
        if !self.operator.has(Fault::PrunesNothing) {
            return delete_each(workload, objects, space);
        }
        if !objects.is_empty() {
            self.operator.note(Fault::PrunesNothing);
        }
        Ok(true)
    }
}
