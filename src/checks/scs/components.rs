//! The control plane's components as their static pods show them: which flags each was started with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::checks::judgement::{Judgement, read};
use crate::checks::{Answer, Target};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

/// How variables of the environment begin that etcd takes for flags.
const ETCD: &str = "ETCD_";

/// One replica of a component.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its pod.
    pub pod: Object,
    /// Its flags, without the leading dashes; a flag without a value is `true`. Of a flag that is
    /// given twice the last counts, as for the component. What etcd is told by its environment is here, too.
    pub flags: BTreeMap<String, String>,
    /// Why some of its settings cannot be seen; none when all can.
    unseen: Option<String>,
}

impl Component {
    /// A component by its pod.
    #[must_use]
    pub fn of(pod: Object) -> Self {
        let words = ["/spec/containers/0/command", "/spec/containers/0/args"];
        let words = words.iter().flat_map(|pointer| pod.array(pointer));
        let mut flags = flags(words.filter_map(Value::as_str));
        let mut unseen = None;
        if pod.label("component") == Some("etcd") {
            unseen = environment(&pod, &mut flags);
            if let Some(file) = flags.get("config-file") {
                // With it, etcd heeds neither flags nor environment.
                unseen = Some(format!(
                    "etcd reads its settings from {file}, whose content the API does not show"
                ));
            }
        }
        Self { pod, flags, unseen }
    }

    /// The addresses of the machine that it runs on, and those that it tells others.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<&str> {
        let own = ["/status/hostIP", "/status/podIP"].map(|pointer| self.pod.str(pointer));
        let more = ["/status/hostIPs", "/status/podIPs"];
        let more = more.iter().flat_map(|pointer| self.pod.array(pointer));
        let more = more.filter_map(|one| one["ip"].as_str());
        let told = [self.flag("advertise-address")];
        let all = own.into_iter().chain(more).chain(told);
        all.filter(|address| !address.is_empty()).collect()
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

/// The flags of a command line, in all forms that the components take: `--flag=value`, `--flag value`, and
/// `--flag` alone; etcd also takes a single dash. None of them takes other words, so what stands behind a flag
/// is its value.
fn flags<'w>(words: impl Iterator<Item = &'w str>) -> BTreeMap<String, String> {
    let mut flags = BTreeMap::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(flag) = flag.filter(|flag| !flag.is_empty()) else {
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some(given) => given,
            None => {
                let next = words.next_if(|next| !next.starts_with('-'));
                (flag, next.unwrap_or("true"))
            }
        };
        // Kubernetes takes underscores for dashes.
        flags.insert(name.replace('_', "-"), value.to_owned());
    }
    flags
}

/// Adds what etcd's environment says and no flag does, as etcd does; returns why some of it cannot be seen.
fn environment(pod: &Object, flags: &mut BTreeMap<String, String>) -> Option<String> {
    let mut unseen = None;
    for variable in pod.array("/spec/containers/0/env") {
        let name = variable["name"].as_str().unwrap_or_default();
        let Some(flag) = name.strip_prefix(ETCD) else {
            continue;
        };
        let flag = flag.to_lowercase().replace('_', "-");
        if flags.contains_key(&flag) {
            continue;
        }
        if variable["valueFrom"].is_object() {
            unseen = Some(format!(
                "etcd reads --{flag} from the variable {name}, whose value is somewhere else"
            ));
        } else {
            let value = variable["value"].as_str().unwrap_or_default();
            flags.insert(flag, value.to_owned());
        }
    }
    let elsewhere = !pod.array("/spec/containers/0/envFrom").is_empty();
    unseen.or_else(|| {
        elsewhere.then(|| "etcd reads variables from other objects (envFrom)".to_owned())
    })
}

/// What is wrong with a replica.
pub type Rule = fn(&Component) -> Vec<String>;

/// Every replica of a component (kubeadm's label `component`) that can be seen.
///
/// # Errors
/// When the pods cannot be listed.
pub async fn replicas(target: &Target<'_>, component: &str) -> Result<Vec<Component>> {
    let view = target.view(&[(kinds::POD, "kube-system")]);
    read(target, &format!("the pods of {component}"), &[&view]).await?;
    let pods = view.list(&kinds::POD);
    let own = pods
        .iter()
        .filter(|pod| pod.label("component") == Some(component));
    Ok(own.map(|pod| Component::of(Object::clone(pod))).collect())
}

/// Judges every replica of a component by what is wrong with it.
///
/// # Errors
/// When the pods cannot be listed.
pub async fn judge_each(target: &Target<'_>, component: &str, rule: Rule) -> Result<Answer> {
    let components = replicas(target, component).await?;
    Ok(judge(component, &components, rule).into())
}

/// Why nothing can be said of a component.
pub fn unseen(component: &str, components: &[Component]) -> Option<String> {
    if components.is_empty() {
        return Some(format!(
            "no pod of {component} can be seen in kube-system: the control plane runs elsewhere"
        ));
    }
    components.iter().find_map(|one| one.unseen.clone())
}

/// What is wrong with the replicas of a component; where none can be seen, nothing is judged.
pub fn judge(component: &str, components: &[Component], rule: Rule) -> Judgement {
    if let Some(why) = unseen(component, components) {
        return Judgement::Skip(why);
    }
    let problems: Vec<Blocker> = components
        .iter()
        .flat_map(|one| rule(one).into_iter().map(|what| one.pod.blocker(what)))
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
            json!({"kind": "Pod", "metadata": {"name": format!("{component}-cp-1"), "namespace": "kube-system",
                    "labels": {"component": component}},
                "spec": {"nodeName": "cp-1", "containers": [{"name": component, "command": command}]},
                "status": {"hostIP": "10.0.0.1"}}),
        ))
    }

    /// A replica of etcd with such a container.
    pub fn etcd(container: &Value) -> Component {
        Component::of(Object::new(
            "workload",
            json!({"metadata": {"labels": {"component": "etcd"}}, "spec": {"containers": [container]}}),
        ))
    }

    /// How a component with these flags is judged, as text; empty for a pass.
    pub fn told(component: &str, flags: &[&str], wrong: fn(&Component) -> Vec<String>) -> String {
        match judge(component, &[replica(component, flags)], wrong) {
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
    fn flags_are_read_in_every_form_that_the_components_take() {
        let words = [
            "etcd", "--a", "1", "--b", "--c_d=2", "-e", "3", "-f=4", "--", "--g",
        ];
        let flags = flags(words.into_iter());
        let told: Vec<String> = flags
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(told, ["a=1", "b=true", "c-d=2", "e=3", "f=4", "g=true"]);
    }

    #[test]
    fn what_etcd_is_told_by_its_environment_counts_where_no_flag_does() {
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        let set = etcd(
            &json!({"command": ["etcd", "--auto-compaction-mode=periodic"], "env": [
            variable("ETCD_AUTO_COMPACTION_MODE", "revision"), variable("ETCD_AUTO_COMPACTION_RETENTION", "8h"),
            variable("PATH", "/bin")]}),
        );
        assert_eq!(set.flag("auto-compaction-mode"), "periodic");
        assert_eq!(set.flag("auto-compaction-retention"), "8h");
        assert!(!set.has("path") && set.unseen.is_none());
        for (container, why) in [
            (
                json!({"command": ["etcd", "--config-file", "/etc/etcd.yaml"]}),
                "from /etc/etcd.yaml",
            ),
            (
                json!({"env": [variable("ETCD_CONFIG_FILE", "/etcd.conf")]}),
                "from /etcd.conf",
            ),
            (
                json!({"env": [{"name": "ETCD_CERT_FILE", "valueFrom": {"fieldRef": {}}}]}),
                "variable ETCD_CERT_FILE",
            ),
            (
                json!({"envFrom": [{"configMapRef": {"name": "x"}}]}),
                "envFrom",
            ),
        ] {
            let judged = judge("etcd", &[etcd(&container)], |_| vec!["wrong".to_owned()]);
            let Judgement::Skip(told) = judged else {
                panic!("{container} was judged");
            };
            assert!(told.contains(why), "{told}");
        }
        // Only etcd reads such variables.
        let other = json!({"metadata": {"labels": {"component": "kube-apiserver"}}, "spec": {"containers": [
            {"env": [variable("ETCD_CERT_FILE", "/a")]}]}});
        assert!(!Component::of(Object::new("workload", other)).has("cert-file"));
    }

    #[test]
    fn a_control_plane_that_cannot_be_seen_is_not_judged_and_every_replica_counts() {
        let wrong = |one: &Component| {
            let missing = !one.has("good");
            missing
                .then(|| "no --good".to_owned())
                .into_iter()
                .collect()
        };
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
