//! Networks in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{ValueError, string_value};

/// An IPv4 or IPv6 network in CIDR notation, its host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

string_value!(
    Cidr,
    "^[0-9a-fA-F.:]+/[0-9]{1,3}$",
    "A network in CIDR notation such as 10.244.0.0/16"
);

impl Cidr {
    /// Length of the network part in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether this is an IPv6 network.
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether the two networks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        if self.is_ipv6() != other.is_ipv6() {
            return false;
        }
        let prefix = self.prefix.min(other.prefix);
        masked(self.address, prefix) == masked(other.address, prefix)
    }
}

/// The first `prefix` bits of an address.
fn masked(address: IpAddr, prefix: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host = u32::from(width - prefix.min(width));
    bits.checked_shr(host).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, "a network", "CIDR notation such as 10.244.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let width = if address.is_ipv6() { 128 } else { 32 };
        let prefix = super::version::number(prefix)
            .and_then(|prefix| u8::try_from(prefix).ok())
            .filter(|prefix| *prefix <= width)
            .ok_or_else(error)?;
        let host = u32::from(width - prefix);
        let bits = masked(address, width);
        if bits
            .checked_shr(host)
            .unwrap_or(0)
            .checked_shl(host)
            .unwrap_or(0)
            != bits
        {
            return Err(ValueError::new(
                text,
                "a network",
                "all bits after the prefix to be zero",
            ));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: &str, b: &str) -> bool {
        let (a, b): (Cidr, Cidr) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(a.overlaps(b), b.overlaps(a));
        a.overlaps(b)
    }

    #[test]
    fn knows_what_overlaps() {
        assert!(overlap("10.96.0.0/16", "10.0.0.0/8"));
        assert!(overlap("0.0.0.0/0", "192.168.0.0/16"));
        assert!(overlap("::/0", "fd00::/64"));
        assert!(!overlap("10.244.0.0/16", "10.96.0.0/16"));
        assert!(!overlap("0.0.0.0/0", "::/0"));
        assert!(!overlap("fd00::/112", "fd00::1:0/112"));
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "10.244.0.0",
            "10.244.0.0/33",
            "10.244.0.1/16",
            "10.244/16",
            "fd00::/129",
            "fd00::1/64",
            "10.0.0.0/-1",
            "10.0.0.0/08",
            "x/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!(
            "fd00:0::/64".parse::<Cidr>().map(|c| c.to_string()),
            Ok("fd00::/64".into())
        );
    }
}
