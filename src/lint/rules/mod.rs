//! The rules, a file for each family.

mod apis;
mod budgets;
mod class;
mod definitions;
mod images;
mod immutable;
mod objects;
pub(super) mod release;
mod stages;
mod versions;

use super::finding::Found;
use super::rule::Rule;
use super::subject::Subject;

/// Every rule, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let families = [
        release::RULES,
        versions::RULES,
        stages::RULES,
        objects::RULES,
        immutable::RULES,
        apis::RULES,
        definitions::RULES,
        budgets::RULES,
        images::RULES,
        class::RULES,
    ];
    families.into_iter().flatten().copied()
}

/// Asks every rule; those that need all objects only where all are there.
pub(super) fn check(subject: &Subject<'_>, complete: bool, found: &mut Found) {
    release::check(subject, found);
    versions::check(subject, found);
    stages::check(subject, found);
    if complete {
        versions::check_objects(subject, found);
        stages::check_objects(subject, found);
        objects::check(subject, found);
        immutable::check(subject, found);
        apis::check(subject, found);
        definitions::check(subject, found);
        budgets::check(subject, found);
        images::check(subject, found);
        class::check(subject, found);
    }
}
