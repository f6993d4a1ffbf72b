//! IPv4 ranges in the form that Kubernetes writes them.

use std::net::Ipv4Addr;

/// A range such as `10.96.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: u32,
    bits: u32,
}

impl Range {
    /// A range as it is written; none when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split(',').next()?.split_once('/')?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let base = u32::from(base.parse::<Ipv4Addr>().ok()?) & Self::mask(bits);
        Some(Self { base, bits })
    }

    fn mask(bits: u32) -> u32 {
        u32::MAX.checked_shl(32 - bits).unwrap_or(0)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: &str) -> bool {
        let address = address.parse::<Ipv4Addr>().map(u32::from);
        address.is_ok_and(|address| address & Self::mask(self.bits) == self.base)
    }

    /// How many addresses it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        1 << (32 - self.bits)
    }

    /// The address after so many others.
    #[must_use]
    pub fn nth(&self, index: u32) -> Option<Ipv4Addr> {
        (u64::from(index) < self.size()).then(|| Ipv4Addr::from(self.base + index))
    }

    /// The part after so many others when it is cut into parts of so many bits.
    #[must_use]
    pub fn part(&self, index: u32, bits: u32) -> Option<String> {
        let parts = 1_u64.checked_shl(bits.checked_sub(self.bits)?)?;
        let step = u64::from(index) << (32 - bits);
        let base = u32::try_from(u64::from(self.base) + step).ok()?;
        (u64::from(index) < parts).then(|| format!("{}/{bits}", Ipv4Addr::from(base)))
    }
}

/// The address after so many others of a range; none when the text is no range.
#[must_use]
pub fn nth(range: &str, index: u32) -> Option<String> {
    Some(Range::parse(range)?.nth(index)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_and_ranges_cut() {
        assert_eq!(nth("10.96.0.0/12", 10).as_deref(), Some("10.96.0.10"));
        let pods = Range::parse("10.244.0.0/16").unwrap();
        assert_eq!(pods.part(3, 24).as_deref(), Some("10.244.3.0/24"));
        assert_eq!(pods.part(256, 24), None);
        assert!(pods.contains("10.244.255.255") && !pods.contains("10.245.0.0"));
        assert!(Range::parse("0.0.0.0/0").unwrap().contains("1.2.3.4"));
        assert_eq!(Range::parse("10.0.0.0"), None);
    }
}
