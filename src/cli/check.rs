//! `stackgate check`: the checks alone, of a cluster that a kubeconfig names.

use std::path::Path;
use std::sync::Arc;

use super::args::CheckArgs;
use super::conduct::{Conduct, free};
use super::exit::{Ending, Failure};
use super::kubeconfig::Given;
use crate::gate::{self, CheckPlan};
use crate::record::{NO_DELIVERY, ReleaseRef, RunId, Surroundings, Verdict};
use crate::stack::{Accepted, OkToFail};
use crate::suite::{Place, Rights, Suite};

/// Where suites of one's own are, beside those that ship.
const FOLDER: &str = "suites";
/// Where the cluster comes from, for suites that ask and for the reports.
const ENGINE: &str = "existing";

/// Checks a cluster, or prints the rights that this takes.
///
/// # Errors
/// When the input is wrong or the cluster does not answer; nothing was created then.
pub fn run(args: CheckArgs, command: Vec<String>) -> Result<Ending, Failure> {
    let mut names = args.suite.clone();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.to_string()));
    let suites = Suite::load_all(&names, Path::new(FOLDER)).map_err(Failure::input)?;
    if args.print_rbac {
        return print_rbac(&suites, args.read_only);
    }
    let ok_to_fail = args.ok_to_fail.as_deref().map(OkToFail::read).transpose();
    let ok_to_fail = ok_to_fail.map_err(Failure::input)?.unwrap_or_default();
    let accepted = args.accepted.as_deref().map(Accepted::read).transpose();
    let accepted = accepted.map_err(Failure::input)?.unwrap_or_default();
    let given = Given::read(args.kubeconfig.as_deref(), args.context.as_deref())?;
    // A runtime of its own: what is connected in it ends with it.
    let version = super::runtime()?.block_on(given.version())?;
    let programs = suites.iter().flat_map(|suite| &suite.checks);
    let programs = programs.filter(|check| check.exec.is_some()).count() > 0;
    let file = (programs && !args.read_only)
        .then(|| given.file())
        .transpose();
    let file = file.map_err(Failure::infrastructure)?;
    let plan = CheckPlan {
        suites,
        accepted,
        ok_to_fail,
        handshakes: Some(Arc::new(given.network())),
        place: Place {
            engine: ENGINE.to_owned(),
            // They are seen when the cluster is asked.
            surroundings: Surroundings::default(),
            kubeconfig: file.as_ref().map(|(_, path)| path.clone()),
            read_only: args.read_only,
        },
    };
    let subject = args.subject.unwrap_or_else(|| given.context.clone());
    let id = RunId::random();
    let reference = ReleaseRef {
        tag: version.clone(),
        kubernetes: version,
    };
    let conduct = Conduct {
        folder: free(&args.reports, &format!("{}-{id}", as_folder(&subject))),
        run: id,
        timeout_scale: args.timeout_scale,
        stack: subject,
        from: reference.clone(),
        to: reference,
        engine: ENGINE.to_owned(),
        delivery: NO_DELIVERY.to_owned(),
        command,
        recorded: false,
        judged_on: args.now,
        resumed: None,
        virtual_time: false,
        rehearsal: None,
        open: false,
        format: args.format,
    };
    let ended = conduct.run(async |context| match given.client().await {
        Ok(client) => gate::check(&plan, &client, &context).await,
        Err(failure) => gate::Ending {
            verdict: Verdict::None,
            reason: format!("{:#}", failure.error),
            kept: Vec::new(),
        },
    });
    ended.map(Ending::Verdict)
}

fn print_rbac(suites: &[Suite], read_only: bool) -> Result<Ending, Failure> {
    let rights = Rights::of(suites, read_only);
    let manifest = rights.manifest().map_err(Failure::infrastructure)?;
    super::print(&manifest).map_err(Failure::infrastructure)?;
    super::note(&format!(
        "hint: apply it as an administrator; a token for it: {}",
        Rights::token_command()
    ));
    if !rights.open.is_empty() {
        let paths = Vec::from_iter(rights.open.iter().copied()).join(", ");
        super::note(&format!(
            "hint: {paths} are not in it: Kubernetes opens them to everybody who is authenticated"
        ));
    }
    if !rights.unknown.is_empty() {
        let ids = rights.unknown.join(", ");
        super::note(&format!("hint: what executables need is not known: {ids}"));
    }
    Ok(Ending::Done)
}

/// A name that a folder can have.
fn as_folder(subject: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = subject
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_any_name_has_a_folder_inside_the_reports() {
        for (subject, folder) in [
            ("demo", "demo"),
            ("admin@prod/eu 1", "admin-prod-eu-1"),
            ("../../etc", "-..-etc"),
            ("..", ""),
        ] {
            assert_eq!(as_folder(subject), folder);
        }
    }
}
