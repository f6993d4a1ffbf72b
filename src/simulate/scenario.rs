//! A random stack and what goes wrong with it, by seed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kubesim::Random;

use super::stack::{self, Addon, Release};
use crate::engine::embedded::faults::{Class, Injected, Known, catalogue};

/// How many of ten runs meet nothing, an accident of the connection, or something fatal.
const CALM: usize = 3;
const ACCIDENTS: usize = 4;

/// In which share of the runs the Cluster Stack Operator delivers.
const OPERATED: f64 = 0.3;
/// In which share of these both releases have the same addons: the operator can take no other pair.
const SAME_ADDONS: f64 = 0.8;
/// In which of those node images come from a provider of their own, beside those whose fault is about it.
const PROVIDED: f64 = 0.3;

/// The seed of the run at a position in a simulation.
#[must_use]
pub fn seed_of(simulation: u64, position: u64) -> u64 {
    let mut random = Random::new(simulation ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Short enough to be typed again.
    (random.below(1 << 16) as u64) << 16 | random.below(1 << 16) as u64
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// What goes wrong, and when.
    pub faults: Vec<Injected>,
    pub(super) from: Release,
    pub(super) to: Release,
    pub(super) control_planes: usize,
    pub(super) workers: Vec<usize>,
    pub(super) api_version: &'static str,
    pub(super) names: Vec<String>,
    pub(super) stable_seconds: usize,
    /// Whether the Cluster Stack Operator delivers.
    pub(super) operated: bool,
    /// Whether node images come from a provider of their own then.
    pub(super) provided: bool,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed).fork("scenario");
        let random = &mut random;
        let (mut from, mut to) = releases(random);
        let operated = random.chance(OPERATED);
        if operated && random.chance(SAME_ADDONS) {
            let old = from.clone();
            from.addons.retain(|addon| to.has(addon));
            to.addons.retain(|addon| old.has(addon));
        }
        let groups = random.below(4);
        let mut workers: Vec<usize> = (0..groups).map(|_| random.below(3)).collect();
        if workers.iter().sum::<usize>() == 0 {
            // Without a worker there is no place for pods that are not the control plane's own.
            workers = vec![1];
        }
        let mut scenario = Self {
            seed,
            faults: Vec::new(),
            from,
            to,
            // Three take twice as long to compute, and show little more: enough of them is one run in ten.
            control_planes: if random.chance(0.9) { 1 } else { 3 },
            workers,
            api_version: if random.chance(0.5) {
                "cluster.x-k8s.io/v1beta1"
            } else {
                "cluster.x-k8s.io/v1beta2"
            },
            names: (0..random.below(3))
                .map(|_| format!("{}.example.org", random.suffix()))
                .collect(),
            stable_seconds: 15 + random.below(46),
            operated,
            provided: false,
        };
        scenario.faults = scenario.draw(random);
        let needed = scenario.faults.iter().any(|one| one.fault.needs_provider());
        scenario.provided = needed || operated && random.chance(PROVIDED);
        scenario
    }

    /// Writes the stack into a folder, its releases packed, and returns the stack's folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        stack::write(self, folder)
    }

    /// What is wrong with the pair itself, by the name of the rule of lint that finds it: the Cluster Stack
    /// Operator neither gets over a stage that the old release has no chart for, nor removes what the new
    /// one has no stage for.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        let lacks = |one: &Release, other: &Release| one.addons.iter().any(|own| !other.has(own));
        if !self.operated {
            None
        } else if lacks(&self.to, &self.from) {
            Some("stage-added")
        } else if lacks(&self.from, &self.to) {
            Some("stage-dropped")
        } else {
            None
        }
    }

    /// Everything that goes wrong, by name: the pair's flaw, then the faults.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let flaw = self.flaw().map(|rule| format!("pair with {rule}"));
        let faults = self.faults.iter().map(ToString::to_string);
        flaw.into_iter().chain(faults).collect()
    }

    /// What the pair's flaw and the injected faults must do to the verdict; nothing when there are none.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        let classes: Vec<Class> = self.faults.iter().map(|one| one.fault.class).collect();
        if self.flaw().is_some() || classes.contains(&Class::Fatal) {
            Some(Class::Fatal)
        } else {
            classes.first().copied()
        }
    }

    fn draw(&self, random: &mut Random) -> Vec<Injected> {
        let wanted = match random.below(10) {
            calm if calm < CALM => return Vec::new(),
            accident if accident < CALM + ACCIDENTS => Class::Transport,
            _ => Class::Fatal,
        };
        let fitting: Vec<&'static Known> = catalogue()
            .filter(|known| known.class == wanted)
            .filter(|known| self.operated || !known.needs_operator())
            .filter(|known| self.shows(known.name))
            .collect();
        let mut drawn = vec![one_of(&fitting, random)];
        if random.chance(0.2) {
            // An accident on top must change nothing.
            let accidents: Vec<&'static Known> = catalogue()
                .filter(|known| known.class == Class::Transport && *known != drawn[0].fault)
                .collect();
            drawn.push(one_of(&accidents, random));
        }
        drawn
    }

    /// Whether a fault can do harm to this stack.
    fn shows(&self, fault: &str) -> bool {
        let both = |of: fn(&Addon, &Addon) -> bool| {
            let pairs = self.from.addons.iter().flat_map(|old| {
                let new = self.to.addons.iter().filter(|new| new.name == old.name);
                new.map(move |new| (old, new))
            });
            pairs.into_iter().any(|(old, new)| of(old, new))
        };
        let only =
            |one: &Release, other: &Release| one.addons.iter().any(|addon| !other.has(addon));
        match fault {
            "addon-left-behind" => both(|old, new| old.version != new.version),
            // To the operator it happens whatever the stage is about.
            "addon-stage-skipped" => self.operated || only(&self.to, &self.from),
            "addon-not-pruned" => only(&self.from, &self.to),
            // It is the first Deployment that is deleted.
            "addon-drift" => self.to.addons.iter().any(Addon::is_deployment),
            // The network's images here are not numbered by minor versions.
            "cni-step-skipped" => false,
            _ => true,
        }
    }
}

/// One of some faults, in one of its phases.
fn one_of(faults: &[&'static Known], random: &mut Random) -> Injected {
    let fault = faults[random.below(faults.len())];
    let phase = fault.phases[random.below(fault.phases.len())];
    Injected { fault, phase }
}

fn releases(random: &mut Random) -> (Release, Release) {
    let minor = 34;
    let patch = random.below(4);
    // A minor or a patch of Kubernetes; the stack's own version goes on with the latter.
    let (from, to) = if random.chance(0.5) {
        (
            Release::new(minor, patch, 1),
            Release::new(minor + 1, random.below(4), 1),
        )
    } else {
        (
            Release::new(minor, patch, 1),
            Release::new(minor, patch + 1 + random.below(2), 2),
        )
    };
    let mut pair = (from, to);
    for number in 0..=random.below(4) {
        let name = format!("app-{number}");
        let old = Addon::random(&name, random);
        let (in_old, in_new) = match random.below(5) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let new = if random.chance(0.6) {
            old.next()
        } else {
            old.clone()
        };
        pair.0.addons.extend(in_old.then_some(old));
        pair.1.addons.extend(in_new.then_some(new));
    }
    pair
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_stands_for_one_scenario_and_another_seed_for_another() {
        let shown = |seed| format!("{:?}", Scenario::of_seed(seed));
        assert_eq!(shown(7), shown(7));
        let all: BTreeSet<String> = (0..100).map(shown).collect();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn every_fault_is_drawn_sooner_or_later_in_each_of_its_phases() {
        let drawn: BTreeSet<String> = (0..10_000)
            .flat_map(|seed| Scenario::of_seed(seed).faults)
            .map(|injected| injected.to_string())
            .collect();
        let all: BTreeSet<String> = catalogue()
            .filter(|fault| fault.name != "cni-step-skipped")
            .flat_map(|fault| {
                let phases = fault.phases.iter();
                phases.map(move |&phase| Injected { fault, phase }.to_string())
            })
            .collect();
        assert_eq!(drawn, all);
    }

    #[test]
    fn a_pair_that_the_operator_cannot_take_must_close_the_gate_issue_4() {
        let operated = (0..5_000).map(Scenario::of_seed);
        let operated: Vec<Scenario> = operated.filter(|one| one.operated).collect();
        for scenario in &operated {
            let names = |release: &Release| -> BTreeSet<String> {
                let addons = release.addons.iter();
                addons.map(|addon| addon.name.clone()).collect()
            };
            let same = names(&scenario.from) == names(&scenario.to);
            assert_eq!(scenario.flaw().is_none(), same, "{scenario:#?}");
            assert!(same || scenario.class() == Some(Class::Fatal));
        }
        let flawed = |rule: &str| {
            let flawed = operated.iter().filter(|one| one.flaw() == Some(rule));
            flawed.count() * 100 / operated.len()
        };
        // Each is met, and most pairs are good ones.
        for rule in ["stage-added", "stage-dropped"] {
            assert!(
                (2..20).contains(&flawed(rule)),
                "{rule}: {} %",
                flawed(rule)
            );
        }
    }

    #[test]
    fn the_seeds_of_a_simulation_hardly_ever_repeat() {
        let seeds: BTreeSet<u64> = (0..1000).map(|position| seed_of(1, position)).collect();
        assert!(seeds.len() > 995, "{}", seeds.len());
        assert_ne!(seed_of(1, 0), seed_of(2, 0));
    }
}
