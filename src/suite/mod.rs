//! Suite files: which checks run, when, and how much each weighs.
