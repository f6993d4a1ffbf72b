//! Versions on the way to the one that is asked for: one minor at a time for the control plane, at most
//! three at once for workers.

use super::super::webhooks::version;

/// The versions that the control plane passes, the last being the one that is asked for; empty when it
/// is there. `known` are the versions of the class; without them a step of one minor is all there is.
///
/// # Errors
/// When there is no such way.
pub(super) fn of_plane(known: &[&str], present: &str, wanted: &str) -> Result<Vec<String>, String> {
    let parsed =
        |text: &str| version(text).ok_or_else(|| format!("failed to parse version {text}"));
    let (from, to) = (parsed(present)?, parsed(wanted)?);
    if present == wanted {
        return Ok(Vec::new());
    }
    if known.is_empty() {
        return if to[1] > from[1] + 1 {
            Err(format!(
                "cannot compute an upgrade plan from {present} to {wanted}"
            ))
        } else {
            Ok(vec![wanted.to_owned()])
        };
    }
    // Of each minor on the way the last version.
    let mut plan: Vec<&str> = Vec::new();
    for one in known {
        let at = parsed(one)?;
        if at <= from || at > to {
            continue;
        }
        match plan.last() {
            Some(last) if parsed(last)?[1] == at[1] => {
                plan.pop();
            }
            _ => {}
        }
        plan.push(one);
    }
    let mut minor = from[1];
    for one in &plan {
        let at = parsed(one)?[1];
        if at > minor + 1 {
            return Err(format!(
                "invalid ControlPlane upgrade plan: item 0; expecting a version with minor {minor} or {}, found version {one}",
                minor + 1
            ));
        }
        minor = at;
    }
    match plan.last() {
        Some(last) if *last == wanted => Ok(plan.into_iter().map(str::to_owned).collect()),
        last => Err(format!(
            "invalid ControlPlane upgrade plan: control plane upgrade plan must end with version {wanted}, ends with {} instead",
            last.unwrap_or(&present)
        )),
    }
}

/// The versions that workers pass, who may be three minors behind the control plane; empty when the
/// lowest of them is there. `plane` is the control plane's present version and its plan.
pub(super) fn of_workers(
    plane: (&str, &[String]),
    lowest: Option<&str>,
    wanted: &str,
) -> Vec<String> {
    let Some(lowest) = lowest.filter(|lowest| *lowest != wanted) else {
        return Vec::new();
    };
    let (Some(from), Some(to)) = (version(lowest), version(wanted)) else {
        return vec![wanted.to_owned()];
    };
    let passed: Vec<&str> = std::iter::once(plane.0)
        .chain(plane.1.iter().map(String::as_str))
        .collect();
    let mut plan = Vec::new();
    for behind in (3..to[1].saturating_sub(from[1])).step_by(3) {
        let minor = from[1] + behind;
        let at = passed
            .iter()
            .rev()
            .find(|one| version(one).is_some_and(|one| one[1] == minor));
        plan.extend(at.map(|at| (*at).to_owned()));
    }
    if plan.last().map(String::as_str) != Some(wanted) {
        plan.push(wanted.to_owned());
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_versions_in_the_class_one_minor_is_all() {
        assert_eq!(of_plane(&[], "v1.34.3", "v1.35.0").unwrap(), ["v1.35.0"]);
        assert!(of_plane(&[], "v1.35.0", "v1.35.0").unwrap().is_empty());
        assert!(of_plane(&[], "v1.33.0", "v1.35.0").is_err());
    }

    #[test]
    fn a_class_with_versions_is_passed_minor_by_minor() {
        let known = [
            "v1.32.1", "v1.33.0", "v1.33.5", "v1.34.3", "v1.35.0", "v1.36.0",
        ];
        let plan = of_plane(&known, "v1.32.1", "v1.35.0").unwrap();
        assert_eq!(plan, ["v1.33.5", "v1.34.3", "v1.35.0"]);
        assert_eq!(
            of_workers(("v1.32.1", &plan), Some("v1.32.1"), "v1.35.0"),
            ["v1.35.0"]
        );
        assert!(of_plane(&["v1.35.0"], "v1.33.0", "v1.35.0").is_err());
    }

    #[test]
    fn workers_are_never_more_than_three_minors_behind() {
        let plan = ["v1.33.0", "v1.34.0", "v1.35.0", "v1.36.0"].map(str::to_owned);
        let workers = of_workers(("v1.32.0", &plan), Some("v1.32.0"), "v1.36.0");
        assert_eq!(workers, ["v1.35.0", "v1.36.0"]);
        assert!(of_workers(("v1.36.0", &[]), Some("v1.36.0"), "v1.36.0").is_empty());
        assert!(of_workers(("v1.36.0", &[]), None, "v1.36.0").is_empty());
    }
}
