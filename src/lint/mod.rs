//! What can be known of an upgrade without a cluster: the files of both releases and what they render to,
//! judged by rules.

mod finding;
mod identity;
pub mod output;
mod place;
mod plan;
mod rule;
mod rules;
mod subject;

pub use finding::{Finding, Report};
pub use plan::{Change, UpgradePlan};
pub use rule::{By, Rule};
pub use rules::all;

use finding::Found;
use rules::release;
use subject::{Side, Subject};

use crate::stack::{Pair, Release, ReleaseTag, Stack};

/// Judges two releases of a stack's folder. Whatever is wrong with them is a finding; a stack file that is
/// wrong in itself never comes here.
#[must_use]
pub fn releases(stack: &Stack, from: &ReleaseTag, to: &ReleaseTag) -> Report {
    let dir = stack.releases_dir();
    let mut found = Found::default();
    let mut open = |tag| {
        let opened = Release::open(&dir, tag);
        opened
            .map_err(|error| release::unusable(tag, None, error, &mut found))
            .ok()
    };
    let opened = (open(from), open(to));
    let (Some(from_release), Some(to_release)) = opened else {
        return report(stack, from, to, found, None);
    };
    let pair = Pair {
        start: None,
        from: from_release,
        to: to_release,
    };
    judge(stack, &pair, found)
}

/// Judges two releases that are open.
#[must_use]
pub fn pair(stack: &Stack, pair: &Pair) -> Report {
    judge(stack, pair, Found::default())
}

fn judge(stack: &Stack, pair: &Pair, mut found: Found) -> Report {
    let (from, to) = (&pair.from.tag, &pair.to.tag);
    // Why a class does not render is told below, where it is rendered.
    if let Ok(problems) = stack.problems_with(pair) {
        release::unfit(pair, problems, &mut found);
    }
    let inputs = crate::gate::inputs_of(stack, &pair.from).context();
    let before = Side::render(&pair.from, &inputs, &mut found);
    let after = Side::render(&pair.to, &inputs, &mut found);
    let subject = Subject {
        stack,
        inputs: &inputs,
        from: &before,
        to: &after,
    };
    // Without all objects most rules would take for dropped what only did not render.
    let complete = before.complete && after.complete;
    rules::check(&subject, complete, &mut found);
    let plan = complete.then(|| plan::of(&subject));
    report(stack, from, to, found, plan)
}

fn report(
    stack: &Stack,
    from: &ReleaseTag,
    to: &ReleaseTag,
    found: Found,
    plan: Option<UpgradePlan>,
) -> Report {
    Report {
        stack: stack.name.to_string(),
        from: from.clone(),
        to: to.clone(),
        findings: found.sorted(),
        plan,
    }
}
