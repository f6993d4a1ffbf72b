//! One run from preflight to teardown: phases, upgrade, comparison, verdict.
