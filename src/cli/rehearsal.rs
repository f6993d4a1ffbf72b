//! What only simulated clusters can do.

use clap::Args;

use crate::engine::embedded::faults::Injected;

/// Each of these asks for the embedded engine.
#[derive(Clone, Debug, Default, Args)]
pub struct RehearsalArgs {
    /// What all randomness of a rehearsal comes from: the same seed gives the same run [default:
    /// random, told in the report]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Let a rehearsal take as long as real clusters would, to watch it
    #[arg(long)]
    pub real_time: bool,
    /// Instead of a STACK: the random stack and the accidents that `simulate` made from this seed
    #[arg(long, requires = "seed", conflicts_with_all = ["stack", "faults", "missing_images", "management"])]
    pub simulated: bool,
    /// Make something go wrong in a rehearsal, when it enters a phase (`stackgate faults` lists both); may
    /// be given again
    #[arg(long = "fault", value_name = "NAME[@PHASE]")]
    pub faults: Vec<Injected>,
    /// An image that no registry of a rehearsal has, as a release names it; may be given again
    #[arg(long = "missing-image", value_name = "IMAGE")]
    pub missing_images: Vec<String>,
}

impl RehearsalArgs {
    /// Whether anything was asked for.
    pub fn is_any(&self) -> bool {
        self.seed.is_some()
            || self.real_time
            || !self.faults.is_empty()
            || !self.missing_images.is_empty()
    }

    /// What is made to go wrong, as it is typed.
    pub fn words(&self) -> impl Iterator<Item = String> + '_ {
        let faults = self.faults.iter().map(|one| format!("--fault {one}"));
        let images = self.missing_images.iter();
        faults.chain(images.map(|image| format!("--missing-image {}", super::quoted(image))))
    }
}

/// Asks Linux for pages of the usual size: objects are small, and of a huge page, as the allocator likes them, a
/// rehearsal uses a part (docs/decisions/0010-allocator.md). Programs that it starts inherit that.
pub fn use_small_pages() {
    // Who refuses it gives more memory than is asked for, and that is all.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}
