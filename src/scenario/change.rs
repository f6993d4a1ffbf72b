//! What can be changed of a release: its class, rendered and changed object by object, and its addons' charts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::stack::archive::Files;
use crate::stack::{Action, Hook, Release};

/// Stands for the namespace while a class is rendered.
const NAMESPACE: &str = "stackgate-namespace";
/// An image that nobody can pull: no name below `invalid` ever resolves (RFC 2606).
pub(super) const NO_IMAGE: &str = "registry.invalid/stackgate/broken:v1";
/// A workload that is always to be available in part.
const BUDGET: &str = include_str!("budget.yaml");

/// What a class is changed in.
pub(super) struct ClassChange<'a> {
    /// A command for each node.
    pub(super) command: Option<&'a str>,
    /// Texts with what they are replaced by; the first has to be there.
    pub(super) texts: &'a [(String, String)],
}

/// The class chart of a release with changes: its objects as they are rendered, and no values any more. A chart's
/// templates can say the same in a hundred ways, what they render to in one.
///
/// # Errors
/// One sentence, when the class has nothing that could be changed so.
pub(super) fn class(
    release: &Release,
    chart: &Files,
    change: &ClassChange<'_>,
) -> Result<Files, String> {
    let rendered = release
        .render_class(NAMESPACE)
        .map_err(|error| error.to_string())?;
    let mut objects: Vec<Value> = rendered.into_iter().map(|one| one.object).collect();
    if let Some(command) = change.command {
        let mut templates = 0;
        for commands in objects.iter_mut().filter_map(commands) {
            templates += 1;
            match commands.as_array_mut() {
                Some(list) => list.push(json!(command)),
                None => *commands = json!([command]),
            }
        }
        if templates == 0 {
            return Err(
                "its class has no KubeadmControlPlaneTemplate or KubeadmConfigTemplate".to_owned(),
            );
        }
    }
    for (position, (old, new)) in change.texts.iter().enumerate() {
        let count: usize = objects
            .iter_mut()
            .map(|object| replace(object, old, new))
            .sum();
        if count == 0 && position == 0 {
            return Err(format!("no object of its class has the text `{old}`"));
        }
    }
    let mut text = String::new();
    for object in &objects {
        // What looks like a template's action is none here.
        let shown = format!("{object:#}").replace("{{", "{{ \"{{\" }}");
        text.push_str(&format!("---\n{shown}\n"));
    }
    let text = text.replace(NAMESPACE, "{{ .Release.Namespace }}");
    let mut files = Files::new();
    if let Some(about) = chart.get(Path::new("Chart.yaml")) {
        files.insert("Chart.yaml".into(), without_dependencies(about)?);
    }
    files.insert("templates/class.yaml".into(), text.into_bytes());
    Ok(files)
}

/// A chart that is rendered already needs no other.
fn without_dependencies(about: &[u8]) -> Result<Vec<u8>, String> {
    let mut about = mapping(about)?;
    if let Some(fields) = about.as_object_mut() {
        fields.remove("dependencies");
    }
    Ok(format!("{about:#}\n").into_bytes())
}

/// A YAML text as one value.
///
/// # Errors
/// When it is none.
pub(super) fn mapping(text: &[u8]) -> Result<Value, String> {
    serde_saphyr::from_slice(text).map_err(|error| error.to_string())
}

/// Where an object says what a node runs before kubeadm.
fn commands(object: &mut Value) -> Option<&mut Value> {
    let spec = match object["kind"].as_str()? {
        "KubeadmControlPlaneTemplate" => "/spec/template/spec/kubeadmConfigSpec",
        "KubeadmConfigTemplate" => "/spec/template/spec",
        _ => return None,
    };
    Some(&mut object.pointer_mut(spec)?["preKubeadmCommands"])
}

/// Replaces whole texts, and counts them.
fn replace(value: &mut Value, old: &str, new: &str) -> usize {
    match value {
        Value::String(text) if text == old => {
            new.clone_into(text);
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| replace(item, old, new)).sum(),
        Value::Object(fields) => fields
            .values_mut()
            .map(|field| replace(field, old, new))
            .sum(),
        _ => 0,
    }
}

/// The folder of a hook's first or last chart that is applied, in the files of the addons' archive.
fn chart_of<'a>(release: &Release, addons: &'a Files, last: bool) -> Option<&'a Path> {
    if !release.addons.is_staged() {
        return Some(Path::new(
            addons.keys().next()?.components().next()?.as_os_str(),
        ));
    }
    let stages = release.addons.stages(Hook::AfterControlPlaneInitialized);
    let mut applied = stages.iter().filter(|stage| stage.action == Action::Apply);
    let stage = if last {
        applied.next_back()
    } else {
        applied.next()
    }?;
    let inside = |path: &&PathBuf| path.starts_with(&stage.name);
    let path = addons.keys().find(inside)?;
    Some(Path::new(path.components().next()?.as_os_str()))
}

/// Gives the pods of the first addon an image that nobody can pull: each line of its templates that names one.
///
/// # Errors
/// One sentence, when it names none.
pub(super) fn break_first_addon(release: &Release, addons: &mut Files) -> Result<(), String> {
    let none = || "it has no addon whose templates name an image".to_owned();
    let chart = chart_of(release, addons, false)
        .ok_or_else(none)?
        .to_owned();
    let templates = chart.join("templates");
    let mut count = 0;
    for (_, content) in addons
        .iter_mut()
        .filter(|(path, _)| path.starts_with(&templates))
    {
        let text = String::from_utf8_lossy(content);
        let broken: Vec<String> = text
            .split_inclusive('\n')
            .map(|line| match image_line(line) {
                Some(key) => {
                    count += 1;
                    format!("{key} {NO_IMAGE}\n")
                }
                None => line.to_owned(),
            })
            .collect();
        *content = broken.concat().into_bytes();
    }
    if count == 0 { Err(none()) } else { Ok(()) }
}

/// The beginning of a line that names an image, up to its colon.
fn image_line(line: &str) -> Option<&str> {
    let bare = line.trim_start().trim_start_matches("- ");
    let value = bare.strip_prefix("image:")?;
    let ends_here = !value.trim().is_empty();
    ends_here.then(|| &line[..line.len() - value.len()])
}

/// Has the last addon bring a workload with a budget.
///
/// # Errors
/// One sentence, when there is no addon.
pub(super) fn add_budget(release: &Release, addons: &mut Files) -> Result<(), String> {
    let chart =
        chart_of(release, addons, true).ok_or("it has no addon that could bring a workload")?;
    let file = chart.join("templates/stackgate-budget.yaml");
    addons.insert(file, BUDGET.as_bytes().to_vec());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_names_an_image_is_known_whatever_it_is_named_with() {
        for (line, key) in [
            ("      - image: a:1\n", Some("      - image:")),
            ("  image: {{ include \"x\" . | quote }}\n", Some("  image:")),
            ("image: \"a\"", Some("image:")),
            ("  image:\n", None),
            ("  imagePullPolicy: Always\n", None),
            ("  # image: a\n", None),
        ] {
            assert_eq!(image_line(line), key, "{line}");
        }
    }

    #[test]
    fn only_whole_texts_are_replaced() {
        let mut value = json!({"a": "x:1", "b": ["x:1", "x:12"], "c": {"d": "x:1"}});
        assert_eq!(replace(&mut value, "x:1", "x:2"), 3);
        assert_eq!(
            value,
            json!({"a": "x:2", "b": ["x:2", "x:12"], "c": {"d": "x:2"}})
        );
    }
}
