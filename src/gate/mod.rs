//! One run from preflight to teardown: phases, upgrade, comparison, verdict.

mod causes;
mod finished;
