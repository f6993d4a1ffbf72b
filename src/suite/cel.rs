//! Checks that are CEL expressions over objects.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::file::{CelCheck, Rule, Selector, WhichCluster};
use crate::checks::{Answer, Judgement, Target, problem, settle};
use crate::cluster::Kind;
use crate::cluster::cel::Condition;
use crate::record::{Blocker, Outcome, Phase};

/// The names that expressions may use.
pub(super) const VARIABLES: [&str; 4] = ["object", "objects", "old", "new"];
/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// What checks saw before the upgrade, by check; kept in memory alone.
#[derive(Debug, Default)]
pub struct Memory {
    kept: Mutex<BTreeMap<String, Value>>,
    unasked: bool,
}

impl Memory {
    /// That of a round after which no other one comes.
    #[must_use]
    pub fn unasked() -> Self {
        Self {
            unasked: true,
            ..Self::default()
        }
    }

    /// Whether no other round comes or came.
    pub(super) const fn is_unasked(&self) -> bool {
        self.unasked
    }

    /// All that was kept, by check. It may hold what is secret.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    /// Knows what was kept by a process that is gone.
    pub fn recover(&self, all: BTreeMap<String, Value>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = all;
    }

    fn keep(&self, check: &str, objects: Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(check.to_owned(), objects);
    }

    fn recall(&self, check: &str) -> Option<Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(check).cloned()
    }
}

/// A rule, parsed.
struct Parsed {
    expression: Condition,
    message: Option<Condition>,
    each: bool,
    compares: bool,
}

impl Parsed {
    fn of(rule: &Rule) -> Result<Self> {
        let expression = Condition::parse(&rule.expression)?;
        let message = rule.message.as_deref().map(Condition::parse).transpose()?;
        let mut used = expression.variables();
        used.extend(message.iter().flat_map(Condition::variables));
        let uses = |names: &[&str]| used.iter().any(|name| names.contains(&name.as_str()));
        Ok(Self {
            expression,
            message,
            each: uses(&["object"]),
            compares: uses(&["old", "new"]),
        })
    }

    /// Why it does not hold; none when it does.
    fn broken(&self, variables: &BTreeMap<&str, &Value>) -> Result<Option<String>> {
        let named = variables.iter().map(|(name, value)| (*name, *value));
        if self.expression.holds(named.clone())? {
            return Ok(None);
        }
        let Some(message) = &self.message else {
            return Ok(Some(format!(
                "`{}` does not hold",
                self.expression.expression()
            )));
        };
        // Values of environment variables may be secrets: they can be judged, but not told.
        let shown: BTreeMap<&str, Value> = named
            .map(|(name, value)| (name, without_environment(value.clone())))
            .collect();
        Ok(Some(
            message.text(shown.iter().map(|(name, value)| (*name, value)))?,
        ))
    }
}

/// Why a check is not judged where there is no other side.
const COMPARES: &str = "it compares before with after: judged after the upgrade";

/// Whether a check is about the difference between before and after alone.
pub(super) fn only_compares(check: &CelCheck) -> bool {
    let mut rules = check.rules.iter().map(Parsed::of);
    rules.all(|rule| rule.is_ok_and(|rule| rule.compares))
}

/// Asks.
pub(super) async fn run(
    target: &Target<'_>,
    id: &str,
    check: &CelCheck,
    phase: Phase,
    memory: &Memory,
) -> Result<Answer> {
    let rules: Vec<Parsed> = check.rules.iter().map(Parsed::of).collect::<Result<_>>()?;
    let comparing = rules.iter().any(|rule| rule.compares);
    if memory.unasked && rules.iter().all(|rule| rule.compares) {
        // No upgrade follows whose other side could be judged: nothing is asked.
        return Ok(skip(COMPARES));
    }
    let after = phase >= Phase::Upgrade;
    let old = memory.recall(id);
    let (cluster, client, namespace) = match (check.cluster, &target.management) {
        (WhichCluster::Workload, _) => {
            let namespace = check.objects.namespace.as_deref();
            ("workload", target.workload, namespace.unwrap_or_default())
        }
        (WhichCluster::Management, Some(management)) => {
            ("management", management.client, management.namespace)
        }
        (WhichCluster::Management, None) => {
            return Ok(skip("there is no management cluster to ask"));
        }
    };
    let Selector {
        api_version, kind, ..
    } = &check.objects;
    let served = target
        .shared
        .cache
        .kind_of(cluster, client, api_version, kind)
        .await
        .with_context(|| format!("failed to ask for {kind} in {api_version}"))?;
    let watched: Vec<(Kind, &str)> = served
        .iter()
        .map(|kind| (kind.clone(), namespace))
        .collect();
    let view = match &target.management {
        Some(management) if check.cluster == WhichCluster::Management => {
            let kinds: Vec<Kind> = served.iter().cloned().collect();
            target.management_view(management, &kinds)
        }
        _ => target.view(&watched),
    };
    let objects = || -> Vec<Value> {
        let all = served.iter().flat_map(|kind| view.list(kind));
        let all = all.map(|object| with_type(object.json.clone(), api_version, kind));
        all.filter(|object| check.objects.selects(object))
            .map(without_secrets)
            .collect()
    };
    let round = Round {
        check,
        cluster,
        rules: &rules,
        old: old.as_ref().filter(|_| after),
        after,
    };
    let mut failed = None;
    let answer = settle(target, id, check.settles.get(), &[&view], || {
        match round.judge(&objects()) {
            Ok(judgement) => {
                failed = None;
                judgement
            }
            Err(error) => {
                // Right after an upgrade a field may be missing for a moment.
                let told = format!("{error:#}");
                failed = Some(error);
                Judgement::Fail(vec![round.about("", told)])
            }
        }
    })
    .await?;
    if comparing && !after {
        memory.keep(id, Value::Array(objects()));
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(answer),
    }
}

fn skip(why: &str) -> Answer {
    Answer {
        outcome: Outcome::Skip,
        message: why.to_owned(),
        evidence: Vec::new(),
    }
}

/// One look at the objects.
struct Round<'a> {
    check: &'a CelCheck,
    cluster: &'static str,
    rules: &'a [Parsed],
    old: Option<&'a Value>,
    after: bool,
}

impl Round<'_> {
    fn judge(&self, objects: &[Value]) -> Result<Judgement> {
        let kind = &self.check.objects.kind;
        if objects.len() < self.check.at_least {
            let told = format!(
                "{} selected, expected at least {}",
                objects.len(),
                self.check.at_least
            );
            return Ok(Judgement::Fail(vec![self.about("(all)", told)]));
        }
        let nothing = self
            .old
            .is_some_and(|old| old.as_array().is_some_and(Vec::is_empty));
        if nothing && self.rules.iter().all(|rule| rule.compares) {
            return Ok(Judgement::Skip(format!(
                "no {kind} was there before the upgrade: there is nothing to compare"
            )));
        }
        let all = json!(objects);
        let mut problems = Vec::new();
        let mut judged = 0;
        for rule in self.rules {
            let mut variables = BTreeMap::from([("objects", &all)]);
            if rule.compares {
                match (self.after, self.old) {
                    (false, _) => continue,
                    (true, Some(old)) => variables.extend([("old", old), ("new", &all)]),
                    (true, None) => bail!("the objects before the upgrade were not seen"),
                }
            }
            judged += 1;
            if !rule.each {
                let broken = rule.broken(&variables)?;
                problems.extend(broken.map(|why| self.about("(all)", why)));
                continue;
            }
            for object in objects {
                variables.insert("object", object);
                let broken = rule.broken(&variables)?;
                problems.extend(broken.map(|why| self.about_object(object, why)));
            }
        }
        if judged == 0 {
            return Ok(Judgement::Skip(COMPARES.to_owned()));
        }
        let count = objects.len();
        Ok(Judgement::unless(problems, || {
            format!("{count} {kind} as they have to be")
        }))
    }

    fn about(&self, name: &str, why: String) -> Blocker {
        let namespace = self.check.objects.namespace.as_deref().unwrap_or_default();
        problem(self.cluster, &self.check.objects.kind, namespace, name, why)
    }

    fn about_object(&self, object: &Value, why: String) -> Blocker {
        let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        let kind = &self.check.objects.kind;
        problem(self.cluster, kind, field("namespace"), field("name"), why)
    }
}

impl Selector {
    fn selects(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let in_namespace = self
            .namespace
            .as_deref()
            .is_none_or(|namespace| metadata["namespace"] == namespace);
        let labelled = self
            .labels
            .iter()
            .all(|(name, value)| metadata["labels"][name] == value.as_str());
        let has_fields = self.fields.iter().all(|(path, wanted)| {
            let found = path
                .split('.')
                .try_fold(object, |object, key| object.get(key));
            found.unwrap_or(&Value::Null) == wanted
        });
        in_namespace && labelled && has_fields
    }
}

/// Items of lists do not say what they are.
fn with_type(mut object: Value, api_version: &str, kind: &str) -> Value {
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object
}

/// The object without what a Secret keeps: its keys can be judged, not its values.
fn without_secrets(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        for part in ["data", "stringData"] {
            let values = object.get_mut(part).and_then(Value::as_object_mut);
            for value in values.into_iter().flat_map(|values| values.values_mut()) {
                *value = HIDDEN.into();
            }
        }
        let annotations = object["metadata"].get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    object
}

/// The value without the values of environment variables in any container below it.
fn without_environment(mut value: Value) -> Value {
    match &mut value {
        Value::Array(items) => {
            for item in items {
                *item = without_environment(item.take());
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (true, Value::Array(variables)) = (name == "env", &mut *field) {
                    for variable in variables {
                        if let Some(value) = variable.get_mut("value") {
                            *value = HIDDEN.into();
                        }
                    }
                }
                *field = without_environment(field.take());
            }
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests;
