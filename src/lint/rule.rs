//! A rule: what is asked of a pair of releases, with which force, why, and what to do.

use crate::record::Severity;

/// What is asked of a pair of releases, or of one of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// A stable name.
    pub id: &'static str,
    /// With which force it is asked. A MUST that is broken closes the gate.
    pub severity: Severity,
    /// Who is to blame when it matters.
    pub by: By,
    /// What must hold, in one line.
    pub asks: &'static str,
    /// What happens where it does not.
    pub why: &'static str,
    /// Who says so: an address, or an issue of `cluster-stacks` (CS) or `cluster-stack-operator` (CSO).
    pub source: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The known defects that it finds: issues, and what was found by reading the operator's code.
    pub defects: &'static [&'static str],
}

/// Where breaking a rule matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// On any cluster, however the release gets there.
    Anyone,
    /// Where the Cluster Stack Operator delivers.
    Operator,
}

/// Where the operator's behaviour is told that no issue tells of.
pub const OPERATOR: &str = "https://github.com/SovereignCloudStack/cluster-stack-operator";

/// Declares rules, and the list of them in their order.
macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $by:ident, $source:expr, [$($defect:literal),*],
        $asks:literal, $why:expr, $remedy:expr;)*) => {
        $(
            pub(super) static $name: $crate::lint::rule::Rule = $crate::lint::rule::Rule {
                id: $id,
                severity: $crate::record::Severity::$severity,
                by: $crate::lint::rule::By::$by,
                asks: $asks,
                why: $why,
                source: $source,
                remedy: $remedy,
                defects: &[$($defect),*],
            };
        )*
        /// The rules of this family.
        pub(super) static RULES: &[&$crate::lint::rule::Rule] = &[$(&$name),*];
    };
}
pub(super) use rules;
