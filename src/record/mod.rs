//! The run's stream of events: what happened, in one order, appended to disk as it happens.
