//! The control plane's components as their static pods show them: which flags each was started with.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use crate::checks::judgement::{Judgement, judge_once};
use crate::checks::{Answer, Target};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

/// One replica of a component.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its pod.
    pub pod: Object,
    /// Its flags, without the leading dashes; a flag without a value is `true`. Of a flag that is
    /// given twice the last counts, as for the component.
    pub flags: BTreeMap<String, String>,
}

impl Component {
    /// A component by its pod.
    #[must_use]
    pub fn of(pod: Object) -> Self {
        let words = ["/spec/containers/0/command", "/spec/containers/0/args"];
        let words = words.iter().flat_map(|pointer| pod.array(pointer));
        let flags = words
            .filter_map(Value::as_str)
            .filter_map(|word| word.strip_prefix("--"))
            .map(|flag| {
                let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Self { pod, flags }
    }

    /// A flag's value, or an empty one.
    #[must_use]
    pub fn flag(&self, name: &str) -> &str {
        self.flags.get(name).map_or("", String::as_str)
    }

    /// The values of a flag that takes a list.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.flag(name).split(',').map(str::trim);
        values.filter(|value| !value.is_empty()).collect()
    }

    /// Whether a flag has a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.flag(name).is_empty()
    }
}

/// What is demanded of each replica.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is wrong with it.
    pub wrong: fn(&Component) -> Vec<String>,
    /// Why it cannot be told; then nothing is judged.
    pub unseen: fn(&Component) -> Option<String>,
}

impl Rule {
    /// A rule about flags that can always be seen.
    pub const fn of(wrong: fn(&Component) -> Vec<String>) -> Self {
        Self {
            wrong,
            unseen: |_| None,
        }
    }
}

/// Judges every replica of a component (kubeadm's label `component`) by what is wrong with it.
///
/// # Errors
/// When the pods cannot be listed.
pub async fn judge_each(target: &Target<'_>, component: &str, rule: Rule) -> Result<Answer> {
    let view = target.view(&[(kinds::POD, "kube-system")]);
    judge_once(
        target,
        &format!("the pods of {component}"),
        &[&view],
        || {
            let pods = view.list(&kinds::POD);
            let own = pods
                .iter()
                .filter(|pod| pod.label("component") == Some(component));
            let components: Vec<_> = own.map(|pod| Component::of(Object::clone(pod))).collect();
            judge(component, &components, rule)
        },
    )
    .await
}

/// What is wrong with the replicas of a component; where none can be seen, nothing is judged.
pub fn judge(component: &str, components: &[Component], rule: Rule) -> Judgement {
    if components.is_empty() {
        return Judgement::Skip(format!(
            "no pod of {component} can be seen in kube-system: the control plane runs elsewhere"
        ));
    }
    if let Some(why) = components.iter().find_map(rule.unseen) {
        return Judgement::Skip(why);
    }
    let problems: Vec<Blocker> = components
        .iter()
        .flat_map(|one| {
            (rule.wrong)(one)
                .into_iter()
                .map(|what| one.pod.blocker(what))
        })
        .collect();
    Judgement::unless(problems, || {
        format!(
            "all {} pods of {component} are started so",
            components.len()
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A replica of a component with these flags.
    pub fn replica(component: &str, flags: &[&str]) -> Component {
        let mut command = vec![component];
        command.extend(flags);
        Component::of(Object::new(
            "workload",
            json!({"kind": "Pod", "metadata": {"name": format!("{component}-cp-1"), "namespace": "kube-system"},
                "spec": {"containers": [{"name": component, "command": command}]}}),
        ))
    }

    /// How a component with these flags is judged, as text; empty for a pass.
    pub fn told(component: &str, flags: &[&str], wrong: fn(&Component) -> Vec<String>) -> String {
        match judge(component, &[replica(component, flags)], Rule::of(wrong)) {
            Judgement::Pass(_) => String::new(),
            Judgement::Fail(problems) => problems.iter().map(ToString::to_string).collect(),
            Judgement::Skip(reason) => panic!("skipped: {reason}"),
        }
    }

    #[test]
    fn flags_are_read_from_command_and_arguments() {
        let pod = json!({"spec": {"containers": [
            {"command": ["kube-apiserver", "--a=1", "--b"], "args": ["--a=2", "--list=x, y,"]}]}});
        let component = Component::of(Object::new("workload", pod));
        assert_eq!((component.flag("a"), component.flag("b")), ("2", "true"));
        assert_eq!(component.list("list"), ["x", "y"]);
        assert!(!component.has("c"));
    }

    #[test]
    fn a_control_plane_that_cannot_be_seen_is_not_judged_and_every_replica_counts() {
        let wrong = Rule::of(|one| {
            let missing = !one.has("good");
            missing
                .then(|| "no --good".to_owned())
                .into_iter()
                .collect()
        });
        assert!(matches!(judge("etcd", &[], wrong), Judgement::Skip(_)));
        let [good, bad] = [replica("etcd", &["--good"]), replica("etcd", &[])];
        assert!(matches!(
            judge("etcd", std::slice::from_ref(&good), wrong),
            Judgement::Pass(_)
        ));
        assert!(matches!(
            judge("etcd", &[good, bad], wrong),
            Judgement::Fail(_)
        ));
    }
}
