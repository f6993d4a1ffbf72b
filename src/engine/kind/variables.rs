//! What the Cluster Stack Operator is told by variables when it fetches releases itself: from where, and by whose
//! leave. Chart and manifests take them from a Secret, which is filled here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Without these the operator fetches nothing, by its source (`--source`).
const NEEDED: [(&str, &[&str]); 2] = [
    ("oci", &["OCI_REGISTRY", "OCI_REPOSITORY"]),
    (
        "github",
        &["GIT_PROVIDER", "GIT_ORG_NAME", "GIT_REPOSITORY_NAME"],
    ),
];

/// Fills the Secrets that the variables of a container come from, with what is `given` for them by name, and with what
/// their manifests leave open.
pub(super) fn fill(
    container: &Value,
    objects: &mut [Value],
    given: impl Fn(&str) -> Option<String>,
) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variables = container["env"].as_array().into_iter().flatten();
    let mut filled = Vec::new();
    for variable in variables {
        if let Some(reference) = variable.pointer("/valueFrom/secretKeyRef")
            && let Some(value) = given(&text(&variable["name"]))
        {
            filled.push((text(&reference["name"]), text(&reference["key"]), value));
        }
    }
    for secret in objects.iter_mut().filter(|one| one["kind"] == "Secret") {
        let name = text(&secret["metadata"]["name"]);
        for (_, key, value) in filled.iter().filter(|(of, ..)| *of == name) {
            secret["data"][key] = json!(STANDARD.encode(value));
            // It would win.
            let plain = secret.get_mut("stringData").and_then(Value::as_object_mut);
            plain.map(|plain| plain.remove(key));
        }
        let data = secret.get_mut("data").and_then(Value::as_object_mut);
        for value in data.into_iter().flat_map(|data| data.values_mut()) {
            if let Some(open) = open(value.as_str().unwrap_or_default(), &given) {
                *value = json!(open);
            }
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

/// The source that a container fetches releases from, and which variables it has no value for and cannot do without.
pub(super) fn missing(container: &Value, objects: &[Value]) -> (String, Vec<&'static str>) {
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .flat_map(|list| container[*list].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let source = words.iter().enumerate().find_map(|(at, word)| {
        let flag = word.strip_prefix('-')?;
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        match flag.split_once('=') {
            Some(("source", value)) => Some(value),
            None if flag == "source" => words.get(at + 1).copied(),
            _ => None,
        }
    });
    let source = source.unwrap_or("github");
    let needed = NEEDED.iter().find(|(known, _)| *known == source);
    let needed = needed.map_or(&[][..], |(_, names)| names).iter();
    let missing = needed.filter(|name| !has(container, objects, name));
    (source.to_owned(), missing.copied().collect())
}

/// Whether a container has a value for a variable.
fn has(container: &Value, objects: &[Value], name: &str) -> bool {
    let mut variables = container["env"].as_array().into_iter().flatten();
    let Some(variable) = variables.find(|variable| variable["name"] == name) else {
        return false;
    };
    let Some(reference) = variable.pointer("/valueFrom/secretKeyRef") else {
        // From elsewhere, of which nothing is known here, or in plain words.
        return variable.get("valueFrom").is_some() || variable["value"].as_str() != Some("");
    };
    let key = reference["key"].as_str().unwrap_or_default();
    let secret = objects
        .iter()
        .find(|one| one["kind"] == "Secret" && one["metadata"]["name"] == reference["name"]);
    secret.is_none_or(|secret| {
        let held = ["data", "stringData"].map(|field| secret[field][key].as_str());
        held.into_iter().flatten().any(|value| !value.is_empty())
    })
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
        fill(&container, &mut objects, given);
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
        let told = |container: &Value, objects: &[Value]| missing(container, objects);
        assert_eq!(
            told(&container, &objects),
            ("oci".to_owned(), vec!["OCI_REPOSITORY"])
        );
        objects[0]["stringData"]["oci_repository"] = json!("host/a");
        assert_eq!(told(&container, &objects).1, Vec::<&str>::new());
        container["command"] = json!(["/manager"]);
        for arguments in [
            json!(["--local=false"]),
            json!(["--source=github"]),
            json!(["-source", "github"]),
        ] {
            container["args"] = arguments;
            let told = told(&container, &objects);
            assert_eq!(told.0, "github");
            assert_eq!(
                told.1,
                ["GIT_PROVIDER", "GIT_ORG_NAME", "GIT_REPOSITORY_NAME"]
            );
        }
    }
}
