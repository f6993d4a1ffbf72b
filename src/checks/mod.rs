//! The checks themselves: one file per standard or subject, each with a passing and a failing case.
