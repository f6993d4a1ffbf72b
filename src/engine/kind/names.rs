//! Names and labels by which a later process knows what belongs to which run, and what to nobody.

use std::collections::BTreeSet;

pub(super) use crate::engine::names::{PREFIX, RUN_LABEL, RUN_VARIABLE, of_run, run_of};
use crate::record::RunId;

/// kind's and CAPD's own label on every node container; its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The label of a container that is one program of a management cluster without nodes; its value is the
/// program's name.
pub(super) const PART_LABEL: &str = "stackgate/part";
/// The network that kind makes and that CAPD insists on (`DefaultNetwork` in its docker manager).
pub(super) const NETWORK: &str = "kind";

const KEPT_PREFIX: &str = "stackgate-keep-";
/// kind warns above 50 characters of a cluster's name, since a node's name is a host name.
const KEPT_LIMIT: usize = 50 - KEPT_PREFIX.len();

/// The name of a management cluster that outlives its run.
pub(super) fn kept_cluster(name: &str) -> String {
    format!("{KEPT_PREFIX}{name}")
}

/// Whether a cluster of that name is one that outlives its run.
pub(super) fn is_kept(cluster: &str) -> bool {
    cluster
        .strip_prefix(KEPT_PREFIX)
        .is_some_and(|name| kept_name_problem(name).is_none())
}

/// What is wrong with a name for a kept management cluster; the only rule there is.
#[must_use]
pub fn kept_name_problem(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty()
        && name.len() <= KEPT_LIMIT
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    (!good).then(|| {
        format!(
            "'{name}' is no name for a kept management cluster: expected 1 to {KEPT_LIMIT} lower-case letters, digits and hyphens, with no hyphen at the ends"
        )
    })
}

/// The run that a workload cluster's name ends in, e.g. `7f3a09bc` for `docker-demo-7f3a09bc`.
pub(super) fn run_at_end(cluster: &str) -> Option<RunId> {
    let (stem, run) = cluster.rsplit_once('-')?;
    if stem.is_empty() || cluster.starts_with(PREFIX) {
        return None;
    }
    run.parse().ok()
}

/// What is known of one run when its leftovers are looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Names of clusters that the run's own record names.
    pub(super) recorded: BTreeSet<String>,
    /// Whether the user named this run, or its management cluster is still there: then a cluster whose
    /// name ends in the run's id is its own, though nothing recorded it.
    pub(super) by_suffix: bool,
}

/// Whether a container of a cluster of that name belongs to the run.
pub(super) fn owns(run: &RunId, claims: &Claims, cluster: &str) -> bool {
    cluster == of_run(run)
        || claims.recorded.contains(cluster)
        || (claims.by_suffix && run_at_end(cluster).as_ref() == Some(run))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> RunId {
        "7f3a09bc".parse().unwrap()
    }

    #[test]
    fn a_run_owns_its_clusters_and_nobody_elses() {
        let recorded = Claims {
            recorded: ["docker-demo-7f3a09bc".to_owned()].into(),
            by_suffix: false,
        };
        let named = Claims {
            by_suffix: true,
            ..Claims::default()
        };
        let nothing = Claims::default();
        for (cluster, by_record, by_name, by_nothing) in [
            ("stackgate-7f3a09bc", true, true, true),
            ("docker-demo-7f3a09bc", true, true, false),
            ("other-7f3a09bc", false, true, false),
            ("docker-demo-00000000", false, false, false),
            ("stackgate-00000000", false, false, false),
            ("stackgate-keep-warm", false, false, false),
            ("stackgate-keep-7f3a09bc", false, false, false),
            ("kind", false, false, false),
            ("7f3a09bc", false, false, false),
            ("-7f3a09bc", false, false, false),
            ("docker-demo-7F3A09BC", false, false, false),
            ("docker-demo-7f3a09bc-2", false, false, false),
        ] {
            assert_eq!(owns(&run(), &recorded, cluster), by_record, "{cluster}");
            assert_eq!(owns(&run(), &named, cluster), by_name, "{cluster}");
            assert_eq!(owns(&run(), &nothing, cluster), by_nothing, "{cluster}");
        }
    }

    #[test]
    fn a_kept_cluster_is_never_taken_for_a_runs_own() {
        assert_eq!(run_of("stackgate-keep-7f3a09bc"), None);
        assert_eq!(run_of("stackgate-7f3a09bc"), Some(run()));
        assert!(is_kept(&kept_cluster("warm")));
        assert!(!is_kept("stackgate-7f3a09bc"));
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a/b",
            "a b",
            &"a".repeat(KEPT_LIMIT + 1),
        ] {
            let problem = kept_name_problem(bad).unwrap();
            assert!(problem.contains("expected"), "{problem}");
            assert!(!is_kept(&kept_cluster(bad)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_name_belongs_to_two_runs(cluster in "[a-z0-9-]{0,40}", a in "[0-9a-f]{8}", b in "[0-9a-f]{8}") {
            prop_assume!(a != b);
            let claims = Claims { by_suffix: true, ..Claims::default() };
            let (a, b): (RunId, RunId) = (a.parse().unwrap(), b.parse().unwrap());
            prop_assert!(!(owns(&a, &claims, &cluster) && owns(&b, &claims, &cluster)));
        }
    }
}
