//! What the Cluster Stack Operator is told by variables when it fetches releases itself: from where, and by whose
//! leave. Chart and manifests take them from a Secret, which is filled here.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// By whose leave it fetches from an OCI registry: what it gives to [`REGISTRY`] alone.
const CREDENTIALS: [&str; 3] = ["OCI_ACCESS_TOKEN", "OCI_USERNAME", "OCI_PASSWORD"];
pub(super) const REGISTRY: &str = "OCI_REGISTRY";
pub(super) const REPOSITORY: &str = "OCI_REPOSITORY";

/// Without these the operator fetches nothing, by its source (`--source`).
const NEEDED: [(&str, &[&str]); 2] = [
    ("oci", &[REGISTRY, REPOSITORY]),
    (
        "github",
        &["GIT_PROVIDER", "GIT_ORG_NAME", "GIT_REPOSITORY_NAME"],
    ),
];

/// Where a variable of a container comes from.
enum Origin<'a> {
    /// It stands in the container itself; empty where it has no value.
    Plain(&'a str),
    /// A kind of object, its name, and the key there.
    Held(&'static str, &'a str, &'a str),
    /// From something of which nothing is known here.
    Elsewhere,
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    let mut all = objects.iter();
    all.find(|one| one["kind"] == kind && one["metadata"]["name"] == name)
}

impl<'a> Origin<'a> {
    /// The last of several wins, and each of them over whole objects (`envFrom`).
    fn of(container: &'a Value, objects: &[Value], name: &'a str) -> Self {
        let mut own = list(container, "env").iter().rev();
        if let Some(variable) = own.find(|variable| variable["name"] == name) {
            let from = &variable["valueFrom"];
            return match (&from["secretKeyRef"], &from["configMapKeyRef"]) {
                (Value::Object(_), _) => Self::key("Secret", &from["secretKeyRef"]),
                (_, Value::Object(_)) => Self::key("ConfigMap", &from["configMapKeyRef"]),
                _ if from.is_object() => Self::Elsewhere,
                _ => Self::Plain(text(&variable["value"])),
            };
        }
        // Where none has it, it can be put into a Secret.
        let mut place = None;
        for whole in list(container, "envFrom").iter().rev() {
            let Some(key) = name.strip_prefix(text(&whole["prefix"])) else {
                continue;
            };
            for (kind, field) in [("Secret", "secretRef"), ("ConfigMap", "configMapRef")] {
                let Some(of) = whole[field]["name"].as_str() else {
                    continue;
                };
                let Some(object) = find(objects, kind, of) else {
                    return Self::Elsewhere;
                };
                let held = Self::Held(kind, of, key);
                if ["data", "stringData"]
                    .iter()
                    .any(|field| object[field].get(key).is_some())
                {
                    return held;
                }
                if kind == "Secret" && place.is_none() {
                    place = Some(held);
                }
            }
        }
        place.unwrap_or(Self::Plain(""))
    }

    fn key(kind: &'static str, reference: &'a Value) -> Self {
        Self::Held(kind, text(&reference["name"]), text(&reference["key"]))
    }
}

/// The value that a container has for a variable, empty where it has none; nothing where that cannot be known.
fn value(container: &Value, objects: &[Value], name: &str) -> Option<String> {
    match Origin::of(container, objects, name) {
        Origin::Plain(value) => Some(value.to_owned()),
        Origin::Held(kind, of, key) => {
            let object = find(objects, kind, of)?;
            if let Some(plain) = object["stringData"][key].as_str() {
                return Some(plain.to_owned());
            }
            let held = text(&object["data"][key]);
            let decoded = STANDARD.decode(held).ok().filter(|_| kind == "Secret");
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(decoded.unwrap_or_else(|| held.to_owned()))
        }
        Origin::Elsewhere => None,
    }
}

/// Fills the Secrets that the variables of a container come from: with what the `environment` has for them by name, and
/// where neither that nor its manifests say anything, with what the `source` of the stack does. What the manifests leave
/// open comes from the environment, too.
pub(super) fn fill(
    container: &Value,
    objects: &mut [Value],
    environment: impl Fn(&str) -> Option<String>,
    source: impl Fn(&str) -> Option<String>,
) {
    for secret in objects.iter_mut().filter(|one| one["kind"] == "Secret") {
        let data = secret.get_mut("data").and_then(Value::as_object_mut);
        for value in data.into_iter().flat_map(|data| data.values_mut()) {
            if let Some(open) = open(text(value), &environment) {
                *value = json!(open);
            }
        }
    }
    let named = list(container, "env").iter().map(|one| text(&one["name"]));
    let needed = NEEDED.iter().flat_map(|(_, names)| names.iter().copied());
    let known = needed.chain(CREDENTIALS).chain(["GIT_ACCESS_TOKEN"]);
    for name in named.chain(known).collect::<BTreeSet<_>>() {
        let own = value(container, objects, name);
        // A registry that the manifests name may be the one that their credentials are for.
        let from_source = || {
            own.is_some_and(|own| own.is_empty())
                .then(|| source(name))
                .flatten()
        };
        let Some(filled) = environment(name).or_else(from_source) else {
            continue;
        };
        let Origin::Held("Secret", of, key) = Origin::of(container, objects, name) else {
            continue;
        };
        let mut secrets = objects.iter_mut().filter(|one| one["kind"] == "Secret");
        if let Some(secret) = secrets.find(|one| one["metadata"]["name"] == of) {
            secret["data"][key] = json!(STANDARD.encode(filled));
            // It would win.
            let plain = secret.get_mut("stringData").and_then(Value::as_object_mut);
            plain.map(|plain| plain.remove(key));
        }
    }
}

/// What stands for `${NAME:=default}`, as the operator's published manifests have it in their Secret; it is in base64
/// already.
fn open(text: &str, given: impl Fn(&str) -> Option<String>) -> Option<String> {
    let inside = text.strip_prefix("${")?.strip_suffix('}')?;
    let (name, default) = inside.split_once(":=").unwrap_or((inside, ""));
    Some(given(name).unwrap_or_else(|| default.trim_matches('"').to_owned()))
}

/// The last value of a flag, as Go's `flag` reads it; `alone` is what it says without one, and without that the word
/// behind it is its value.
fn flag<'a>(container: &'a Value, name: &str, alone: Option<&'a str>) -> Option<&'a str> {
    let words = ["command", "args"].map(|field| list(container, field).iter());
    let words: Vec<&str> = words.into_iter().flatten().map(text).collect();
    words.iter().enumerate().rev().find_map(|(at, word)| {
        let flag = word.strip_prefix('-')?;
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        match flag.split_once('=') {
            Some((named, value)) => (named == name).then_some(value),
            None if flag == name => alone.or_else(|| words.get(at + 1).copied()),
            None => None,
        }
    })
}

/// Whether a container fetches nothing, but looks into a folder.
pub(super) fn is_local(container: &Value) -> bool {
    let told = flag(container, "local", Some("true"));
    told.is_some_and(|told| ["1", "t", "T", "true", "TRUE", "True"].contains(&told))
}

/// The source that a container fetches releases from, and which variables it has no value for and cannot do without.
pub(super) fn missing<'a>(container: &'a Value, objects: &[Value]) -> (&'a str, Vec<&'static str>) {
    let source = flag(container, "source", None).unwrap_or("github");
    let needed = NEEDED.iter().find(|(known, _)| *known == source);
    let needed = needed.map_or(&[][..], |(_, names)| names).iter();
    let missing = needed.filter(|name| value(container, objects, name).as_deref() == Some(""));
    (source, missing.copied().collect())
}

/// What is wrong with the hosts that a container is told: by what it has in `objects`, which were filled from those that
/// are its `own`, and by the `repository` that the stack has its releases from.
pub(super) fn strangers(
    container: &Value,
    own: &[Value],
    objects: &[Value],
    repository: Option<&str>,
) -> Option<String> {
    let of = |objects: &[Value], name: &str| value(container, objects, name).unwrap_or_default();
    let asked = of(objects, REPOSITORY);
    if let Some(repository) = repository
        && !asked.is_empty()
        && host(&asked) != host(repository)
    {
        return Some(format!(
            "it fetches releases from {}, and stack.yaml has them from {}",
            host(&asked),
            host(repository)
        ));
    }
    let (trusted, first) = (of(objects, REGISTRY), of(own, REGISTRY));
    let kept = |name: &str| {
        let held = of(objects, name);
        !held.is_empty() && held == of(own, name)
    };
    if !first.is_empty()
        && host(&first) != host(&trusted)
        && let Some(name) = CREDENTIALS.iter().find(|name| kept(name))
    {
        return Some(format!(
            "its own {name} is for {}, and the environment's {REGISTRY} would give it to {}",
            host(&first),
            host(&trusted)
        ));
    }
    let name = CREDENTIALS
        .iter()
        .find(|name| !of(objects, name).is_empty())?;
    (!asked.is_empty() && !trusted.is_empty() && host(&trusted) != host(&asked)).then(|| {
        format!(
            "it gives its {name} to {} ({REGISTRY}) alone, and fetches from {} ({REPOSITORY})",
            host(&trusted),
            host(&asked)
        )
    })
}

/// The host of a repository, without what may stand before it, a password among that; Docker's own goes by several
/// names.
fn host(repository: &str) -> &str {
    let bare = repository.split_once("://");
    let bare = bare.map_or(repository, |(_, bare)| bare);
    let authority = bare.split('/').next().unwrap_or_default();
    match authority.rsplit('@').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, key: &str) -> Value {
        json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "vars", "key": key}}})
    }

    fn secret(data: Value, plain: Value) -> Vec<Value> {
        vec![
            json!({"kind": "Secret", "metadata": {"name": "vars"}, "data": data, "stringData": plain}),
        ]
    }

    #[test]
    fn a_secret_gets_what_is_given_by_the_names_of_its_variables_issue_7() {
        let container = json!({"env": [
            variable("OCI_PASSWORD", "oci-password"),
            variable("OCI_USERNAME", "oci-username"),
            variable("GIT_ACCESS_TOKEN", "git-access-token"),
        ]});
        // As the operator's published manifests leave it open.
        let mut objects = secret(
            json!({"git-access-token": "${GIT_ACCESS_TOKEN_B64:=\"\"}", "git-provider": "${GIT_PROVIDER_B64:=\"Z2l0aHVi\"}",
                "oci-repository": "${OCI_REPOSITORY_B64:=\"\"}", "kept": "a2VwdA=="}),
            json!({"oci-password": "from the manifest", "other": "stays"}),
        );
        let given = |name: &str| match name {
            "OCI_PASSWORD" => Some("secret".to_owned()),
            "OCI_REPOSITORY_B64" => Some("aG9zdC9h".to_owned()),
            _ => None,
        };
        fill(&container, &mut objects, given, |_| None);
        assert_eq!(
            objects[0]["data"],
            json!({"git-access-token": "", "git-provider": "Z2l0aHVi", "oci-repository": "aG9zdC9h",
                "kept": "a2VwdA==", "oci-password": STANDARD.encode("secret")})
        );
        assert_eq!(objects[0]["stringData"], json!({"other": "stays"}));
    }

    #[test]
    fn what_the_operator_cannot_do_without_is_missed_by_its_source_issue_7() {
        let names = [
            "OCI_REGISTRY",
            "OCI_REPOSITORY",
            "GIT_PROVIDER",
            "GIT_ORG_NAME",
        ];
        let mut container = json!({"command": ["/manager", "-source", "oci"],
            "env": names.map(|name| variable(name, &name.to_lowercase()))});
        let mut objects = secret(
            json!({"oci_registry": "aG9zdA==", "oci_repository": ""}),
            json!({}),
        );
        assert_eq!(
            missing(&container, &objects),
            ("oci", vec!["OCI_REPOSITORY"])
        );
        objects[0]["stringData"]["oci_repository"] = json!("host/a");
        assert_eq!(missing(&container, &objects).1, Vec::<&str>::new());
        container["command"] = json!(["/manager"]);
        for arguments in [
            json!(["--local=false"]),
            json!(["--source=github"]),
            json!(["-source", "github"]),
        ] {
            container["args"] = arguments;
            let told = missing(&container, &objects);
            assert_eq!(told.0, "github");
            assert_eq!(
                told.1,
                ["GIT_PROVIDER", "GIT_ORG_NAME", "GIT_REPOSITORY_NAME"]
            );
        }
    }

    #[test]
    fn whole_objects_give_variables_too_issue_7() {
        let mut objects = vec![
            json!({"kind": "Secret", "metadata": {"name": "vars"}, "data": {"REGISTRY": "aG9zdA=="}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "names"}, "data": {"OCI_REPOSITORY": "host/a"}}),
        ];
        let container = json!({"args": ["--source=oci"], "envFrom": [
            {"configMapRef": {"name": "names"}},
            {"prefix": "OCI_", "secretRef": {"name": "vars"}},
        ]});
        assert_eq!(missing(&container, &objects), ("oci", vec![]));
        let given = |name: &str| (name == "OCI_PASSWORD").then(|| "secret".to_owned());
        fill(&container, &mut objects, given, |_| None);
        let data = json!({"REGISTRY": "aG9zdA==", "PASSWORD": STANDARD.encode("secret")});
        assert_eq!(objects[0]["data"], data);
        objects[1]["data"] = json!({});
        assert_eq!(missing(&container, &objects).1, ["OCI_REPOSITORY"]);
        // What is not among the objects may have it.
        objects.remove(1);
        assert_eq!(missing(&container, &objects).1, Vec::<&str>::new());
    }

    #[test]
    fn a_variable_without_a_value_has_none_and_the_last_of_two_counts_issue_7() {
        let told = |env: Value| missing(&json!({"args": ["-source", "oci"], "env": env}), &[]).1;
        let both = |value: Value| {
            let plain = |name: &str| json!({"name": name, "value": value});
            json!([plain("OCI_REGISTRY"), plain("OCI_REPOSITORY")])
        };
        assert_eq!(told(both(json!("host"))), Vec::<&str>::new());
        assert_eq!(told(both(json!(""))).len(), 2);
        assert_eq!(
            told(json!([{"name": "OCI_REGISTRY"}, {"name": "OCI_REPOSITORY"}])).len(),
            2
        );
        let mut twice = both(json!("host"));
        let last = json!({"name": "OCI_REGISTRY", "value": ""});
        twice.as_array_mut().unwrap().push(last);
        assert_eq!(told(twice), ["OCI_REGISTRY"]);
    }

    #[test]
    fn the_last_of_two_flags_wins_issue_7() {
        let container = |words: &[&str]| json!({"command": ["/manager"], "args": words});
        for (words, source) in [
            (&["--source=github", "--source=oci"][..], "oci"),
            (&["-source", "oci", "--source=github"], "github"),
            (&["--source=github", "--source", "oci"], "oci"),
        ] {
            assert_eq!(missing(&container(words), &[]).0, source, "{words:?}");
        }
        for (words, local) in [
            (&["--local"][..], true),
            (&["--local=true", "-source", "oci"], true),
            (&["--local=true", "-local=false"], false),
            (&["--source=oci"], false),
        ] {
            assert_eq!(is_local(&container(words)), local, "{words:?}");
        }
    }

    #[test]
    fn credentials_are_given_to_the_registry_that_they_are_for_issue_7() {
        let names = ["OCI_REGISTRY", "OCI_REPOSITORY", "OCI_PASSWORD"];
        let container =
            json!({"args": ["--source=oci"], "env": names.map(|name| variable(name, name))});
        let filled = |own: Value, environment: &[(&str, &str)]| {
            let own = secret(json!({}), own);
            let mut objects = own.clone();
            let given = |name: &str| {
                let mut all = environment.iter();
                all.find(|one| one.0 == name).map(|one| one.1.to_owned())
            };
            let source = |name: &str| match name {
                REGISTRY => Some("b.example".to_owned()),
                REPOSITORY => Some("b.example/stacks".to_owned()),
                _ => None,
            };
            fill(&container, &mut objects, given, source);
            let registry = value(&container, &objects, REGISTRY).unwrap();
            let told = strangers(&container, &own, &objects, Some("b.example/stacks"));
            (registry, told.unwrap_or_default())
        };
        // Nobody else said anything.
        let password = [("OCI_PASSWORD", "x")];
        assert_eq!(
            filled(json!({}), &password),
            ("b.example".to_owned(), String::new())
        );
        // The password is for a.example, and stays there.
        let own = json!({"OCI_REGISTRY": "a.example", "OCI_PASSWORD": "x"});
        let (registry, told) = filled(own.clone(), &[]);
        assert_eq!(registry, "a.example");
        assert!(
            told.contains("OCI_PASSWORD to a.example") && told.contains("from b.example"),
            "{told}"
        );
        let (_, told) = filled(own, &[("OCI_REGISTRY", "b.example")]);
        assert!(
            told.contains("own OCI_PASSWORD is for a.example") && told.contains("to b.example"),
            "{told}"
        );
        let elsewhere = json!({"OCI_REGISTRY": "a.example", "OCI_REPOSITORY": "a.example/stacks"});
        let (registry, told) = filled(elsewhere, &[]);
        assert_eq!(registry, "a.example");
        assert!(
            told.contains("from a.example, and stack.yaml has them from b.example"),
            "{told}"
        );
    }
}
