//! `stackgate doctor`: every problem of the machine at once, each with its remedy.

use std::path::Path;

use anyhow::anyhow;

use super::args::DoctorArgs;
use super::engine::Wanted;
use super::exit::Failure;
use super::management::Management;
use super::stacks;
use crate::engine::Problem;
use crate::record::RunId;

/// The stack whose needs are looked at when none is named.
const DEMO: &str = "docker-demo";

/// Asks the engine for every problem, and prints them.
///
/// # Errors
/// When there is at least one, or the stack is not there.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let stack = args.stack.as_deref().unwrap_or(Path::new(DEMO));
    let folder = stacks::find(stack, args.stacks.stacks.as_deref())?;
    let stack = stacks::read(&folder, args.stacks.stacks.as_deref())?;
    let by_stack = stack.spec.management.mode;
    let management = Management::from(args.management.map_or(by_stack, Into::into));
    let run = RunId::random();
    let cluster = format!("{}-{run}", stack.name);
    let wanted = Wanted {
        stack: &stack,
        run: &run,
        cluster: &cluster,
        management: &management,
        seed: 0,
        faults: &[],
        missing_images: &[],
        releases: &[],
        existing: &args.existing,
    };
    let engine = super::engine::make(args.engine.engine, &wanted)?;
    let problems = super::runtime()?.block_on(engine.preflight());
    judge(engine.name(), &problems)
}

fn judge(engine: &str, problems: &[Problem]) -> Result<(), Failure> {
    if problems.is_empty() {
        let text = format!("engine {engine}: this machine is ready\n");
        return super::print(&text).map_err(Failure::infrastructure);
    }
    let mut text = String::new();
    for Problem { what, remedy } in problems {
        text.push_str(&format!("✗ {what}\n  {remedy}\n"));
    }
    super::print(&text).map_err(Failure::infrastructure)?;
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Err(Failure::infrastructure(anyhow!(
        "failed to find this machine ready for engine {engine}: {count}"
    )))
}

#[cfg(test)]
mod tests {
    use super::super::exit::Blame;
    use super::*;

    #[test]
    fn a_problem_is_the_machines_fault() {
        let problem = Problem {
            what: "Docker does not answer".to_owned(),
            remedy: "start it".to_owned(),
        };
        let failure = judge("kind", &[problem.clone(), problem]).unwrap_err();
        assert_eq!(failure.blame, Blame::Infrastructure);
        assert!(
            failure
                .error
                .to_string()
                .ends_with("engine kind: 2 problems")
        );
        assert!(judge("kind", &[]).is_ok());
    }
}
