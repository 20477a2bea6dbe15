//! Networks.

use std::fmt;
use std::net::IpAddr;

/// A network of addresses in CIDR notation, IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    prefix_bits: u32,
}

/// Why a text is not a network.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotCidr {
    /// Not an address, or one without its number of bits, or with too many.
    Malformed,
    /// An address in a network; this is the network.
    HostBits(String),
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`.
    pub(crate) fn parse(text: &str) -> Result<Self, NotCidr> {
        let (address, bits) = text.split_once('/').ok_or(NotCidr::Malformed)?;
        let address: IpAddr = address.parse().map_err(|_| NotCidr::Malformed)?;
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let prefix_bits: u32 = bits.parse().ok().filter(|_| is_number).ok_or(NotCidr::Malformed)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if prefix_bits > width {
            return Err(NotCidr::Malformed);
        }
        // A client's address is never of this form: it is taken for the IPv4 address that it is.
        if let (IpAddr::V6(mapped), Some(bits)) = (address, prefix_bits.checked_sub(96))
            && let Some(ipv4) = mapped.to_ipv4_mapped()
        {
            return Err(NotCidr::HostBits(format!("{}/{bits}", network(ipv4.into(), bits))));
        }
        let network = network(address, prefix_bits);
        if network != address {
            return Err(NotCidr::HostBits(format!("{network}/{prefix_bits}")));
        }
        Ok(Self { address, prefix_bits })
    }

    /// Whether `ip` is an address of the network.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.address.is_ipv4() == ip.is_ipv4() && network(ip, self.prefix_bits) == self.address
    }
}

/// The first address of the network of `prefix_bits` that `ip` is in.
fn network(ip: IpAddr, prefix_bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix_bits)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix_bits)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        for (cidr, ip, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.1/32", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            assert_eq!(Cidr::parse(cidr).unwrap().contains(ip.parse().unwrap()), expected, "{cidr} {ip}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/", "a/8"] {
            assert_eq!(Cidr::parse(text), Err(NotCidr::Malformed), "{text}");
        }
        assert_eq!(Cidr::parse("10.1.2.3/8"), Err(NotCidr::HostBits("10.0.0.0/8".into())));
        assert_eq!(Cidr::parse("::ffff:10.0.0.0/104"), Err(NotCidr::HostBits("10.0.0.0/8".into())));
    }
}
