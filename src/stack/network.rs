//! What is known of the networks that stacks bring: whose upgrades have to go step by step.

use super::Image;

/// Where Cilium says so, and the issue that tells of it.
pub const STEPS: &str = "https://docs.cilium.io/en/stable/operations/upgrade/ (CS#213)";
/// What is wrong with more than one step at once.
pub const NO_STEPS: &str = "Cilium tests upgrades from one minor version to the next only, and asks for steps between that one stage does not make";

/// What to do about it.
pub const REMEDY: &str = "release each minor version of Cilium, one after the other";

/// Major and minor version of Cilium, if an image is that of its agent.
#[must_use]
pub fn cilium(image: &str) -> Option<(u64, u64)> {
    let image = Image::parse(image);
    let is_agent = image.repository.ends_with("cilium/cilium");
    image.minor().filter(|_| is_agent)
}

/// Whether a move from one version of Cilium to another leaves out a step.
#[must_use]
pub const fn skips(from: (u64, u64), to: (u64, u64)) -> bool {
    to.0 != from.0 || to.1 > from.1 + 1
}
