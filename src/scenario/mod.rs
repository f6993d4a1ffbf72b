//! Pairs of releases that are worth a run of their own: made of a stack's own two by a recipe, not copied by hand.

mod change;
mod load;
mod make;
mod recipe;
mod schema;
mod stack;

pub use load::{ALL, Scenario, ScenarioError, names};
pub use make::Made;
pub use recipe::{Base, Delivered, Kind, Metadata, ReleaseRecipe, ScenarioFile, Spec, Version};
pub use schema::scenario_schema;
