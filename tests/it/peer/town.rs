//! Many domains, by their mail exchangers: each with a host of its own, or all with a few of them. The
//! hosts are those of a sink that is a town.

use std::net::Ipv4Addr;

use super::dns::Dns;

/// A host of a quarter, from 0.
pub(crate) fn host(quarter: u8, number: usize) -> Ipv4Addr {
    let (street, house) = (number / 250, number % 250 + 1);
    Ipv4Addr::new(127, quarter, u8::try_from(street).unwrap(), u8::try_from(house).unwrap())
}

/// A domain of a quarter, from 0.
pub(crate) fn domain(quarter: u8, number: usize) -> String {
    format!("d{number}.q{quarter}.test")
}

/// Tells the name server of the domains of a quarter, which share so many hosts by turns.
pub(crate) fn populate(dns: &Dns, quarter: u8, domains: usize, hosts: usize) {
    for number in 0..hosts {
        dns.a(&format!("mx{number}.q{quarter}.test"), host(quarter, number));
    }
    for number in 0..domains {
        dns.mx(&domain(quarter, number), 10, &format!("mx{}.q{quarter}.test", number % hosts));
    }
}

/// `[dns]`, and the connector for every domain that has no other; what `tls` says goes for it.
pub(crate) fn by_mx(dns: &Dns, port: u16, tls: &str) -> String {
    format!(
        "[dns]\nservers = [\"{}\"]\n\n[[outbound]]\nname = \"mx\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\n\
         port = {port}\n{tls}\n",
        dns.address
    )
}
