//! Rows of pods and what runs them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{
    age, containers, elements, human, is_true, labels, name, number, selector, since, text,
    timestamp,
};
use super::{Columns, built_in, pods};

/// The columns of a workload's resource.
pub fn columns(group: &str, resource: &str) -> Option<Columns> {
    Some(match (group, resource) {
        ("", "pods") => built_in(pods::COLUMNS, pods::cells),
        ("apps", "deployments") => built_in(
            &[
                "Name",
                "Ready",
                "Up-to-date",
                "Available",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            deployment,
        ),
        ("apps", "replicasets") => built_in(
            &[
                "Name",
                "#Desired",
                "#Current",
                "#Ready",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            replica_set,
        ),
        ("", "replicationcontrollers") => built_in(
            &[
                "Name",
                "#Desired",
                "#Current",
                "#Ready",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            replication_controller,
        ),
        ("apps", "daemonsets") => built_in(
            &[
                "Name",
                "#Desired",
                "#Current",
                "#Ready",
                "#Up-to-date",
                "#Available",
                "Node Selector",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            daemon_set,
        ),
        ("apps", "statefulsets") => built_in(
            &["Name", "Ready", "Age", "*Containers", "*Images"],
            stateful_set,
        ),
        ("apps", "controllerrevisions") => built_in(
            &["Name", "Controller", "Revision", "Age"],
            controller_revision,
        ),
        ("batch", "jobs") => built_in(
            &[
                "Name",
                "Status",
                "Completions",
                "Duration",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            job,
        ),
        ("batch", "cronjobs") => built_in(
            &[
                "Name",
                "Schedule",
                "Timezone",
                "?Suspend",
                "#Active",
                "Last Schedule",
                "Age",
                "*Containers",
                "*Images",
                "*Selector",
            ],
            cron_job,
        ),
        ("policy", "poddisruptionbudgets") => built_in(
            &[
                "Name",
                "Min Available",
                "Max Unavailable",
                "#Allowed Disruptions",
                "Age",
            ],
            disruption_budget,
        ),
        _ => return None,
    })
}

/// `spec.replicas`, which is 1 when it is not said.
fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn template(object: &Value) -> [Value; 2] {
    containers(object, "/spec/template/spec/containers")
}

fn ready_of(object: &Value) -> Value {
    json!(format!(
        "{}/{}",
        number(object, "/status/readyReplicas"),
        replicas(object)
    ))
}

fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = template(object);
    vec![
        name(object),
        ready_of(object),
        json!(number(object, "/status/updatedReplicas")),
        json!(number(object, "/status/availableReplicas")),
        age(object, now),
        names,
        images,
        json!(selector(&object["spec"]["selector"])),
    ]
}

fn set(object: &Value, now: Timestamp, selected: String) -> Vec<Value> {
    let [names, images] = template(object);
    vec![
        name(object),
        json!(replicas(object)),
        json!(number(object, "/status/replicas")),
        json!(number(object, "/status/readyReplicas")),
        age(object, now),
        names,
        images,
        json!(selected),
    ]
}

fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    set(object, now, selector(&object["spec"]["selector"]))
}

fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    set(object, now, labels(&object["spec"]["selector"]))
}

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = template(object);
    let count = |field: &str| json!(number(object, &format!("/status/{field}")));
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        json!(labels(&object["spec"]["template"]["spec"]["nodeSelector"])),
        age(object, now),
        names,
        images,
        json!(selector(&object["spec"]["selector"])),
    ]
}

fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = template(object);
    vec![
        name(object),
        ready_of(object),
        age(object, now),
        names,
        images,
    ]
}

fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut owners = elements(object, "/metadata/ownerReferences").iter();
    let owner = owners.find(|owner| owner["controller"] == true);
    let shown = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let word = |field: &str| owner[field].as_str().unwrap_or_default();
            let kind = word("kind").to_lowercase();
            match word("apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", word("name")),
                None => format!("{kind}/{}", word("name")),
            }
        },
    );
    vec![
        name(object),
        json!(shown),
        object["revision"].clone(),
        age(object, now),
    ]
}

fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = number(object, "/status/succeeded");
    let completions = match object["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(object, "/spec/parallelism") {
            parallel if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
            _ => format!("{succeeded}/1"),
        },
    };
    let started = timestamp(&object["status"]["startTime"]);
    let ended = timestamp(&object["status"]["completionTime"]).unwrap_or(now);
    let duration = started.map_or_else(String::new, |started| human(ended.duration_since(started)));
    let deleted = object["metadata"]["deletionTimestamp"].is_string();
    let status = match () {
        () if is_true(object, "Complete") => "Complete",
        () if is_true(object, "Failed") => "Failed",
        () if deleted => "Terminating",
        () if is_true(object, "Suspended") => "Suspended",
        () if is_true(object, "FailureTarget") => "FailureTarget",
        () if is_true(object, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let [names, images] = template(object);
    vec![
        name(object),
        json!(status),
        json!(completions),
        json!(duration),
        age(object, now),
        names,
        images,
        json!(selector(&object["spec"]["selector"])),
    ]
}

fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let last = &object["status"]["lastScheduleTime"];
    let [names, images] = containers(object, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        name(object),
        text(object, "/spec/schedule", ""),
        text(object, "/spec/timeZone", "<none>"),
        json!(
            object["spec"]["suspend"]
                .as_bool()
                .map_or("<unset>", |suspended| {
                    if suspended { "True" } else { "False" }
                })
        ),
        json!(elements(object, "/status/active").len()),
        json!(if last.is_string() {
            since(last, now)
        } else {
            "<none>".to_owned()
        }),
        age(object, now),
        names,
        images,
        json!(selector(&object["spec"]["jobTemplate"]["spec"]["selector"])),
    ]
}

fn disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/minAvailable", "N/A"),
        text(object, "/spec/maxUnavailable", "N/A"),
        json!(number(object, "/status/disruptionsAllowed")),
        age(object, now),
    ]
}
