//! kubectl with kinds that definitions add, and with fields that nobody knows.

use std::path::Path;

use crate::bench::{Bench, Test, holds};
use libtest_mimic::Failed;

pub const TESTS: &[Test] = &[
    ("kubectl_adds_a_kind_and_uses_it", kind_of_its_own),
    ("kubectl_applies_on_the_server_s_side", applies_there),
    ("kubectl_is_told_of_unknown_fields", unknown),
];

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: boats, kind: Boat, shortNames: [bo]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns: [{name: Crew, type: integer, jsonPath: .spec.crew}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [crew]
            x-kubernetes-validations: [{rule: self.crew < 10, message: she would sink}]
            properties:
              crew: {type: integer, description: How many sail.}
              replicas: {type: integer, default: 1}
              color: {type: string, enum: [blue, red]}
          status: {type: object, properties: {replicas: {type: integer}}}
";

const BOAT: &str = "
apiVersion: example.org/v1
kind: Boat
metadata: {name: b}
spec: {crew: 2}
";

fn error(bench: &Bench, kubectl: &Path, arguments: &[&str], input: &str) -> Result<String, Failed> {
    let output = bench.output(kubectl, arguments, input)?;
    if output.status.success() {
        return Err(format!("{arguments:?} succeeded").into());
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn kind_of_its_own(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    let apply = |text: &str| bench.run(kubectl, &["apply", "-f", "-"], text);
    holds(&apply(DEFINITION)?, &["boats.example.org created"])?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd/boats.example.org",
        "--timeout=10s",
    ];
    holds(&run(&wait)?, &["condition met"])?;
    holds(&apply(BOAT)?, &["boat.example.org/b created"])?;
    holds(&apply(BOAT)?, &["boat.example.org/b unchanged"])?;
    holds(
        &apply(&BOAT.replace("crew: 2", "crew: 3"))?,
        &["boat.example.org/b configured"],
    )?;
    holds(&run(&["get", "bo"])?, &["NAME   CREW", "b      3"])?;
    holds(
        &run(&["explain", "boat.spec"])?,
        &["crew\t<integer> -required-", "How many sail."],
    )?;
    holds(&run(&["describe", "boat", "b"])?, &["Crew:", "Replicas:"])?;
    holds(&run(&["scale", "boat", "b", "--replicas=4"])?, &["scaled"])?;
    let patch = [
        "patch",
        "boat",
        "b",
        "--subresource=status",
        "--type=merge",
        "-p",
        "{\"status\":{\"replicas\":4}}",
    ];
    holds(&run(&patch)?, &["patched"])?;
    let told = run(&[
        "get",
        "boat",
        "b",
        "-o",
        "jsonpath={.spec.replicas} {.status.replicas} {.metadata.generation}",
    ])?;
    holds(&told, &["4 4 3"])?;
    holds(
        &error(
            &bench,
            kubectl,
            &["apply", "-f", "-"],
            &BOAT.replace("crew: 2", "crew: 12, color: green"),
        )?,
        &["spec.color: Unsupported value: \"green\": supported values: \"blue\", \"red\""],
    )?;
    holds(
        &error(
            &bench,
            kubectl,
            &["apply", "-f", "-"],
            &BOAT.replace("crew: 2", "crew: 12"),
        )?,
        &["spec: Invalid value: \"object\": she would sink"],
    )?;
    holds(
        &run(&["delete", "crd", "boats.example.org", "--timeout=10s"])?,
        &["deleted"],
    )?;
    holds(
        &error(&bench, kubectl, &["get", "boats"], "")?,
        &["the server doesn't have a resource type \"boats\""],
    )
    .or_else(|_| {
        // A client that remembers what was served asks for it.
        let told = error(&bench, kubectl, &["get", "boats"], "")?;
        holds(&told, &["could not find the requested resource"])
    })
}

fn applies_there(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value}}}\n")
    };
    let apply = |more: &[&str], text: &str| {
        let arguments = [&["apply", "--server-side", "-f", "-"], more].concat();
        bench.output(kubectl, &arguments, text)
    };
    holds(
        &String::from_utf8_lossy(&apply(&[], &map("one"))?.stdout),
        &["configmap/m serverside-applied"],
    )?;
    let refused = apply(&["--field-manager=other"], &map("two"))?;
    holds(
        &String::from_utf8_lossy(&refused.stderr),
        &[
            "Apply failed with 1 conflict: conflict with \"kubectl\"",
            ".data.a",
        ],
    )?;
    let forced = apply(&["--field-manager=other", "--force-conflicts"], &map("two"))?;
    holds(
        &String::from_utf8_lossy(&forced.stdout),
        &["serverside-applied"],
    )?;
    let managers = [
        "get",
        "cm",
        "m",
        "--show-managed-fields",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    ];
    holds(&bench.run(kubectl, &managers, "")?, &["other"])?;
    let diff = bench.output(kubectl, &["diff", "-f", "-"], &map("three"))?;
    // Where there is a difference, its exit code is 1.
    if diff.status.code() != Some(1) {
        return Err(format!("diff ended with {}", diff.status).into());
    }
    holds(
        &String::from_utf8_lossy(&diff.stdout),
        &["-  a: two", "+  a: three"],
    )
}

fn unknown(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndat: {a: b}\n";
    holds(
        &error(&bench, kubectl, &["create", "-f", "-"], text)?,
        &[
            "Error from server (BadRequest)",
            "strict decoding error: unknown field \"dat\"",
        ],
    )?;
    let warned = bench.output(kubectl, &["create", "--validate=warn", "-f", "-"], text)?;
    holds(
        &String::from_utf8_lossy(&warned.stderr),
        &["Warning: unknown field \"dat\""],
    )?;
    holds(
        &String::from_utf8_lossy(&warned.stdout),
        &["configmap/m created"],
    )
}
