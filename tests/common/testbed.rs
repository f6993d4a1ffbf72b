//! Whether real clusters can be had on this machine, and Docker through its own program.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Why real tests that need these images beside the testbed's cannot run here, in one line.
fn missing(images: &[&str]) -> Option<String> {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/check");
    let checked = Command::new(check)
        .output()
        .map_err(|error| error.to_string());
    match checked {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let line = String::from_utf8_lossy(&said)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            return Some(format!(
                "the testbed is not built ({line}); build it with testbed/up"
            ));
        }
        Err(error) => return Some(format!("testbed/check does not start: {error}")),
    }
    let answers = docker(&["version", "--format", "{{.Server.Version}}"]).is_some();
    if !answers {
        return Some("Docker does not answer; start it with testbed/up".to_owned());
    }
    let there = |image: &str| docker(&["image", "inspect", "--format", "{{.Id}}", image]).is_some();
    let image = images.iter().find(|image| !there(image))?;
    Some(format!(
        "the image {image} is not built; testbed/README.md tells its part"
    ))
}

/// The lines that `docker` prints, or nothing when it fails.
pub fn docker(arguments: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("docker").args(arguments).output().ok()?;
    output.status.success().then(|| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    })
}

/// Name, whether it belongs to the quick set that CI runs, and the test.
pub type Real = (&'static str, bool, fn() -> Result<(), Failed>);

/// Runs tests that need real clusters, one at a time: two clusters on two cores make each other's
/// deadlines worthless. Where the testbed is not up, all of them are shown as ignored and one line says
/// why; the others but the quick ones are ignored unless asked for.
pub fn run(tests: &[Real]) -> ExitCode {
    run_with(tests, &[])
}

/// The same, for tests that need images of the testbed's optional parts.
pub fn run_with(tests: &[Real], images: &[&str]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let missing = missing(images);
    if let Some(missing) = missing.as_ref().filter(|_| !arguments.list) {
        eprintln!("real tests are skipped: {missing}");
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    let trials = tests
        .iter()
        .map(|(name, quick, test)| {
            Trial::test(*name, *test).with_ignored_flag(missing.is_some() || !quick)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
