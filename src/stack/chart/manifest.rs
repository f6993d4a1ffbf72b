//! Rendered text to objects, in the order in which Helm installs them.

use serde_json::Value;

use super::{ChartError, Rendered, yaml};

/// Kinds in the order of `helm install`; others come after them, by name.
const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// Hooks that Helm knows; an object with any other is dropped.
const HOOKS: &[&str] = &[
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
];

const HOOK_ANNOTATION: &str = "helm.sh/hook";

/// Turns rendered files into objects: ordinary ones first, then those of hooks, each sorted by
/// kind and within a kind by file and place.
pub(super) fn sorted(mut files: Vec<(String, String)>) -> Result<Vec<Rendered>, ChartError> {
    files.sort();
    let (mut ordinary, mut hooks) = (Vec::new(), Vec::new());
    for (source, text) in &files {
        for object in objects(source, text)? {
            let hook = object
                .pointer("/metadata/annotations")
                .and_then(|a| a.get(HOOK_ANNOTATION));
            let rendered = |object| Rendered {
                object,
                source: source.clone(),
            };
            match hook.map(|hook| hook.as_str().unwrap_or("").to_owned()) {
                None => ordinary.push(rendered(object)),
                Some(hook) if is_known(&hook) => hooks.push(rendered(object)),
                Some(_) => {}
            }
        }
    }
    for list in [&mut ordinary, &mut hooks] {
        list.sort_by_cached_key(|rendered| {
            let kind = rendered
                .object
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or("");
            let rank = INSTALL_ORDER.iter().position(|known| *known == kind);
            (
                rank.unwrap_or(INSTALL_ORDER.len()),
                rank.is_none().then(|| kind.to_owned()),
            )
        });
    }
    ordinary.append(&mut hooks);
    Ok(ordinary)
}

fn is_known(hooks: &str) -> bool {
    hooks
        .split(',')
        .all(|hook| HOOKS.contains(&hook.trim().to_lowercase().as_str()))
}

/// The objects in one text; empty documents are left out.
pub(super) fn objects(source: &str, text: &str) -> Result<Vec<Value>, ChartError> {
    let mut objects = Vec::new();
    for (line, document) in documents(text) {
        let value = yaml::parse(document)
            .map_err(|e| ChartError::file(source, Some(line + e.line - 1), rendered(&e.message)))?;
        match value {
            Value::Null => {}
            Value::Object(_) => objects.push(value),
            _ => {
                let message = rendered("expected a Kubernetes object (a mapping)");
                return Err(ChartError::file(source, Some(line), message));
            }
        }
    }
    Ok(objects)
}

/// Says that the line counts in what the template printed.
fn rendered(message: &str) -> String {
    format!("{message} (line of the rendered text)")
}

/// Splits at lines that start with `---`, as Helm does; with the line where each part starts.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    for piece in text.split_inclusive('\n') {
        if piece.starts_with("---") {
            parts.push((start_line, &text[start..offset]));
            // The rest of a separator's line belongs to the document after it.
            start = offset + 3;
            start_line = line;
        }
        offset += piece.len();
        line += 1;
    }
    parts.push((start_line, &text[start..]));
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(rendered: &[Rendered]) -> Vec<&str> {
        rendered
            .iter()
            .map(|r| r.object["kind"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn objects_are_sorted_by_kind_and_hooks_come_last() {
        let text = "kind: Widget\n---\nkind: Deployment\n---\n# nothing\n---\nkind: ServiceAccount\n\
                    --- # note\nkind: Apple\n---\nkind: Job\nmetadata:\n  annotations:\n    \
                    helm.sh/hook: pre-install,post-upgrade\n---\nkind: Gone\nmetadata:\n  \
                    annotations: {helm.sh/hook: crd-install}\n";
        let files = vec![
            ("c/templates/b.yaml".into(), text.into()),
            ("c/templates/a.yaml".into(), "kind: Service".into()),
        ];
        let rendered = sorted(files).unwrap();
        assert_eq!(
            kinds(&rendered),
            [
                "ServiceAccount",
                "Service",
                "Deployment",
                "Apple",
                "Widget",
                "Job"
            ]
        );
        assert_eq!(rendered[1].source, "c/templates/a.yaml");
    }

    #[test]
    fn broken_documents_name_file_and_line() {
        let error = objects("c/templates/a.yaml", "a: 1\n---\nb: 1\nc: [\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("c/templates/a.yaml:4:")
                || error.starts_with("c/templates/a.yaml:5:"),
            "{error}"
        );
        let error = objects("c/templates/a.yaml", "\n---\njust text\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a Kubernetes object"), "{error}");
    }

    #[test]
    fn separators_inside_of_indented_text_do_not_split() {
        let found = objects("s", "data: |\n  ---\n  x\n").unwrap();
        assert_eq!(found, [json!({"data": "---\nx\n"})]);
    }
}
