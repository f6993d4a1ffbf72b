//! Randomness from one seed: names, uids, delays.

use std::time::Duration;

use fastrand::Rng;

/// Characters of generated names: no vowels, no digits that look like letters, so no words come about.
const NAME: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A source of randomness; the same seed gives the same sequence.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// A source for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// A source of its own for a part of the simulation, so that what one part draws does not move
    /// what another draws.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        // FNV-1a: stable between builds, which the standard hasher does not promise.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Rng::with_seed(self.0.get_seed() ^ hash))
    }

    /// Five characters for `generateName`.
    pub fn suffix(&mut self) -> String {
        self.name(5)
    }

    /// `length` characters as they occur in generated names.
    pub fn name(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| char::from(NAME[self.0.usize(..NAME.len())]))
            .collect()
    }

    /// A uid in the form of a version 4 UUID.
    pub fn uid(&mut self) -> String {
        let bits =
            (self.0.u128(..) & !(0xf000 << 64) & !(0xc000 << 48)) | (0x4000 << 64) | (0x8000 << 48);
        let hex = format!("{bits:032x}");
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    /// A duration between two, evenly spread.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        least + Duration::from_micros(if span == 0 { 0 } else { self.0.u64(..=span) })
    }

    /// Whether something happens that does so with this probability (0 to 1).
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// A whole number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert_eq!((one.uid(), one.suffix()), (other.uid(), other.suffix()));
    }

    #[test]
    fn parts_draw_apart() {
        let root = Random::new(7);
        let (mut a, mut b) = (root.fork("a"), root.fork("b"));
        assert_ne!(a.uid(), b.uid());
        assert_eq!(root.fork("a").suffix().len(), 5);
    }

    #[test]
    fn a_uid_is_a_version_4_uuid() {
        let uid = Random::new(1).uid();
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
        assert!("89ab".contains(&uid[19..20]), "{uid}");
    }
}
