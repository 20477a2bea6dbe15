//! Networks.

use std::fmt;
use std::net::IpAddr;

use crate::finding::Fault;

/// A network of addresses in CIDR notation, IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cidr {
    address: IpAddr,
    prefix_bits: u32,
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let problem = || format!("{text:?} is not a network");
        let Some((address, prefix_bits)) = parts(text) else {
            let remedy = "write it in CIDR notation: \"10.0.0.0/8\", \"192.0.2.1/32\" or \"2001:db8::/32\"";
            return Err(Fault::new(problem(), remedy));
        };
        let is = |network: String| Fault::new(problem(), format!("the network is {network:?}"));
        // A client's address never has this form: it is the IPv4 address that is mapped into it.
        if let (IpAddr::V6(mapped), Some(bits)) = (address, prefix_bits.checked_sub(96))
            && let Some(ipv4) = mapped.to_ipv4_mapped()
        {
            return Err(is(format!("{}/{bits}", network(ipv4.into(), bits))));
        }
        let network = network(address, prefix_bits);
        if network != address {
            return Err(is(format!("{network}/{prefix_bits}")));
        }
        Ok(Self { address, prefix_bits })
    }

    /// Whether `ip` is an address of the network.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.address.is_ipv4() == ip.is_ipv4() && network(ip, self.prefix_bits) == self.address
    }
}

/// The address and the number of bits of a network's text.
fn parts(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let prefix_bits: u32 = bits.parse().ok().filter(|_| is_number)?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    (prefix_bits <= width).then_some((address, prefix_bits))
}

/// The first address of the network of `prefix_bits` that contains `ip`.
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
    fn a_string_that_is_no_network_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/", "a/8"] {
            assert!(Cidr::parse(text).unwrap_err().remedy.contains("CIDR"), "{text}");
        }
        for text in ["10.1.2.3/8", "::ffff:10.0.0.0/104"] {
            assert_eq!(Cidr::parse(text).unwrap_err().remedy, "the network is \"10.0.0.0/8\"", "{text}");
        }
    }
}
