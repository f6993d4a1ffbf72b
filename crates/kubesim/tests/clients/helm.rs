//! Helm, as it is, against a served cluster.

use std::path::Path;

use crate::bench::{Bench, Client, Test, find, holds};
use kubesim::resource::builtin::{CONFIG_MAPS, SECRETS};
use libtest_mimic::Failed;
use serde_json::Value;

const TESTS: &[Test] = &[(
    "helm_installs_upgrades_lists_and_uninstalls",
    life_of_a_release,
)];

pub fn client() -> Client {
    Client {
        name: "helm",
        program: find("helm"),
        tests: TESTS,
    }
}

fn life_of_a_release(helm: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    bench.file(
        "chart/Chart.yaml",
        "apiVersion: v2\nname: demo\nversion: 0.1.0\n",
    );
    bench.file("chart/values.yaml", "colour: red\n");
    // What a chart defines is served before its templates are written.
    bench.file(
        "chart/crds/boats.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: boats.example.org}\nspec:\n  group: example.org\n  scope: Namespaced\n  names: {plural: boats, kind: Boat}\n  versions:\n  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {crew: {type: integer}}}}}}}\n",
    );
    bench.file(
        "chart/templates/boat.yaml",
        "apiVersion: example.org/v1\nkind: Boat\nmetadata: {name: '{{ .Release.Name }}'}\nspec: {crew: 2}\n",
    );
    bench.file(
        "chart/templates/settings.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-settings'}\ndata: {colour: '{{ .Values.colour }}'}\n",
    );
    let run = |arguments: &[&str]| bench.run(helm, arguments, "");
    let colour = || -> Option<Value> {
        let map = bench
            .cluster
            .api()
            .get(&CONFIG_MAPS, "default", "one-settings")?;
        Some(map["data"]["colour"].clone())
    };
    holds(
        &run(&["install", "one", "chart", "--wait"])?,
        &["STATUS: deployed", "REVISION: 1"],
    )?;
    if colour() != Some("red".into()) {
        return Err(format!("after the installation it is {:?}", colour()).into());
    }
    let upgraded = run(&["upgrade", "one", "chart", "--set", "colour=blue", "--wait"])?;
    holds(&upgraded, &["REVISION: 2"])?;
    if colour() != Some("blue".into()) {
        return Err(format!("after the upgrade it is {:?}", colour()).into());
    }
    holds(&run(&["list"])?, &["one", "deployed", "demo-0.1.0"])?;
    holds(&run(&["history", "one"])?, &["superseded", "deployed"])?;
    run(&["rollback", "one", "1", "--wait"])?;
    if colour() != Some("red".into()) {
        return Err(format!("after the rollback it is {:?}", colour()).into());
    }
    holds(
        &run(&["uninstall", "one"])?,
        &["release \"one\" uninstalled"],
    )?;
    if colour().is_some() || !bench.cluster.api().list(&SECRETS, None).is_empty() {
        return Err("the release left something".into());
    }
    Ok(())
}
