//! The hosts of the hybrid lab, and what each one says of itself: names, greeting, extensions. Pure.

use std::net::Ipv4Addr;

/// A stand-in of the hybrid lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabHost {
    /// The organisation's own Exchange Server.
    Onprem,
    /// Exchange Online, with the organisation's tenant and another one.
    Cloud,
    /// A partner with forced TLS in both directions.
    Partner,
    /// Somebody on the internet.
    Internet,
    /// A partner whose certificate has another name.
    WrongName,
    /// A partner that does not send its intermediate certificate.
    NoIntermediate,
    /// A partner whose certificate is revoked.
    Revoked,
    /// A partner whose certificate has expired.
    Expired,
    /// The host of a partner that still has its old key.
    RenewalOld,
    /// The host of the same partner that has its new key already.
    RenewalNew,
}

/// What EHLO offers on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EhloOffer {
    /// STARTTLS is offered.
    pub starttls: bool,
    /// The session is encrypted.
    pub encrypted: bool,
    /// The client may send cross-premises headers, so XOORG is offered.
    pub trusted: bool,
}

impl LabHost {
    /// All of them, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::Onprem,
        Self::Cloud,
        Self::Partner,
        Self::Internet,
        Self::WrongName,
        Self::NoIntermediate,
        Self::Revoked,
        Self::Expired,
        Self::RenewalOld,
        Self::RenewalNew,
    ];

    /// The word for it in tables, faults and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Onprem => "onprem",
            Self::Cloud => "cloud",
            Self::Partner => "partner",
            Self::Internet => "internet",
            Self::WrongName => "wrong-name",
            Self::NoIntermediate => "no-intermediate",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::RenewalOld => "renewal-old",
            Self::RenewalNew => "renewal-new",
        }
    }

    /// Its host name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onprem => "mail.contoso.lab.test",
            Self::Cloud => "contoso-lab-test.mail.protection.outlook.lab.test",
            Self::Partner => "mail.fabrikam.lab.test",
            Self::Internet => "mx.world.lab.test",
            Self::WrongName => "mx.wrong-name.partners.lab.test",
            Self::NoIntermediate => "mx.no-intermediate.partners.lab.test",
            Self::Revoked => "mx.revoked.partners.lab.test",
            Self::Expired => "mx.expired.partners.lab.test",
            Self::RenewalOld => "mx.old.renewal.lab.test",
            Self::RenewalNew => "mx.new.renewal.lab.test",
        }
    }

    /// The domains whose mailboxes it has.
    #[must_use]
    pub const fn domains(self) -> &'static [&'static str] {
        match self {
            Self::Onprem => &[OWN_DOMAIN],
            Self::Cloud => &[ROUTING_DOMAIN, CLOUD_DOMAIN, OTHER_TENANT, OWN_DOMAIN],
            Self::Partner => &["fabrikam.lab.test"],
            Self::Internet => &["world.lab.test"],
            Self::WrongName => &["wrong-name.partners.lab.test"],
            Self::NoIntermediate => &["no-intermediate.partners.lab.test"],
            Self::Revoked => &["revoked.partners.lab.test"],
            Self::Expired => &["expired.partners.lab.test"],
            Self::RenewalOld => &["old.renewal.lab.test"],
            Self::RenewalNew => &["new.renewal.lab.test"],
        }
    }

    /// The names in its certificate; the first is also the common name.
    #[must_use]
    pub fn certificate_names(self) -> Vec<&'static str> {
        match self {
            // All hosts and all tenants present this one.
            Self::Cloud => vec![CLOUD_CERTIFICATE, "*.mail.protection.outlook.lab.test"],
            Self::Onprem | Self::Partner | Self::Internet => vec![self.name()],
            Self::WrongName
            | Self::NoIntermediate
            | Self::Revoked
            | Self::Expired
            | Self::RenewalOld
            | Self::RenewalNew => self.domains().iter().copied().chain([self.name()]).collect(),
        }
    }

    /// Its address.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        address(match self {
            Self::Onprem => 10,
            Self::Cloud => 20,
            Self::Partner => 30,
            Self::Internet => 40,
            Self::WrongName => 51,
            Self::NoIntermediate => 52,
            Self::Revoked => 53,
            Self::Expired => 54,
            Self::RenewalOld => 55,
            Self::RenewalNew => 56,
        })
    }

    /// Whether it is one of the two Exchange systems.
    #[must_use]
    pub const fn is_exchange(self) -> bool {
        matches!(self, Self::Onprem | Self::Cloud)
    }

    /// The name by which it greets: what its machine, or a front end of its service, is called.
    #[must_use]
    pub const fn edge(self) -> &'static str {
        match self {
            Self::Onprem => "MAIL.contoso.lab.test",
            Self::Cloud => CLOUD_EDGE,
            Self::Partner
            | Self::Internet
            | Self::WrongName
            | Self::NoIntermediate
            | Self::Revoked
            | Self::Expired
            | Self::RenewalOld
            | Self::RenewalNew => self.name(),
        }
    }

    /// Its greeting, without the code.
    #[must_use]
    pub fn greeting(self, date: &str) -> String {
        let name = self.edge();
        if self.is_exchange() {
            format!("{name} Microsoft ESMTP MAIL Service ready at {date}")
        } else {
            format!("{name} ESMTP")
        }
    }

    /// The lines of its EHLO answer, without codes.
    #[must_use]
    pub fn ehlo(self, client: Ipv4Addr, offer: EhloOffer) -> Vec<String> {
        let keywords = match self {
            Self::Onprem => EXCHANGE_SERVER,
            Self::Cloud => EXCHANGE_ONLINE,
            Self::Partner
            | Self::Internet
            | Self::WrongName
            | Self::NoIntermediate
            | Self::Revoked
            | Self::Expired
            | Self::RenewalOld
            | Self::RenewalNew => OTHERS,
        };
        let hello = if self.is_exchange() { format!(" Hello [{client}]") } else { String::new() };
        let name = format!("{}{hello}", self.edge());
        let shown = keywords.iter().filter(|keyword| match **keyword {
            "STARTTLS" => offer.starttls && !offer.encrypted,
            // Between servers of one organisation, with certificates that nobody checks.
            "X-ANONYMOUSTLS" => !offer.encrypted,
            "XOORG" => offer.encrypted && offer.trusted,
            _ => true,
        });
        std::iter::once(name).chain(shown.map(|keyword| (*keyword).to_owned())).collect()
    }

    /// The largest message it accepts, in octets, as its SIZE keyword says.
    #[must_use]
    pub const fn size_max(self) -> usize {
        match self {
            Self::Onprem => 37_748_736,
            Self::Cloud => 157_286_400,
            Self::Partner
            | Self::Internet
            | Self::WrongName
            | Self::NoIntermediate
            | Self::Revoked
            | Self::Expired
            | Self::RenewalOld
            | Self::RenewalNew => 10_485_760,
        }
    }
}

/// An address of the lab, by its last octet.
#[must_use]
pub const fn address(octet: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 31, octet)
}

/// The gateway's name.
pub const GATEWAY_NAME: &str = "gw.contoso.lab.test";
/// Where the gateway takes mail from outside, Exchange Online and partners included.
pub const OUTSIDE: Ipv4Addr = address(100);
/// Where the gateway takes mail of our own servers.
pub const INSIDE: Ipv4Addr = address(101);
/// The address of the lab's DNS server.
pub const NAME_SERVER: Ipv4Addr = address(53);
/// The domain whose mailboxes are on both sides.
pub const OWN_DOMAIN: &str = "contoso.lab.test";
/// The domain by which mail reaches mailboxes in Exchange Online.
pub const ROUTING_DOMAIN: &str = "contoso.mail.onmicrosoft.lab.test";
/// A domain of ours whose mailboxes are all in Exchange Online.
pub const CLOUD_DOMAIN: &str = "tailspin.lab.test";
/// The domain of another tenant of Exchange Online.
pub const OTHER_TENANT: &str = "adatum.lab.test";
/// The name that all hosts of Exchange Online present.
pub const CLOUD_CERTIFICATE: &str = "mail.protection.outlook.lab.test";
/// The name by which a front end of Exchange Online greets.
pub const CLOUD_EDGE: &str = "DB5EUR01FT012.mail.protection.outlook.lab.test";

const EXCHANGE_SERVER: &[&str] = &[
    "SIZE 37748736",
    "PIPELINING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "STARTTLS",
    "X-ANONYMOUSTLS",
    "AUTH NTLM",
    "X-EXPS GSSAPI NTLM",
    "8BITMIME",
    "BINARYMIME",
    "CHUNKING",
    "SMTPUTF8",
    "XRDST",
    "XOORG",
];
const EXCHANGE_ONLINE: &[&str] = &[
    "SIZE 157286400",
    "PIPELINING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "STARTTLS",
    "8BITMIME",
    "BINARYMIME",
    "CHUNKING",
    "SMTPUTF8",
    "XOORG",
];
const OTHERS: &[&str] =
    &["PIPELINING", "SIZE 10485760", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN"];

#[cfg(test)]
mod tests {
    use super::*;

    fn ehlo(host: LabHost, starttls: bool, encrypted: bool, trusted: bool) -> String {
        host.ehlo(OUTSIDE, EhloOffer { starttls, encrypted, trusted }).join("|")
    }

    #[test]
    fn exchange_offers_what_it_is_known_to_offer() {
        assert_eq!(
            ehlo(LabHost::Onprem, true, false, false),
            "MAIL.contoso.lab.test Hello [127.0.31.100]|SIZE 37748736|PIPELINING|DSN|ENHANCEDSTATUSCODES|STARTTLS|\
             X-ANONYMOUSTLS|AUTH NTLM|X-EXPS GSSAPI NTLM|8BITMIME|BINARYMIME|CHUNKING|SMTPUTF8|XRDST"
        );
        assert!(ehlo(LabHost::Cloud, true, true, true).ends_with("|SMTPUTF8|XOORG"));
        assert!(!ehlo(LabHost::Cloud, true, true, true).contains("STARTTLS"));
        assert!(!ehlo(LabHost::Cloud, true, true, false).contains("XOORG"));
        assert!(!ehlo(LabHost::Partner, false, false, false).contains("STARTTLS"));
    }

    #[test]
    fn every_host_has_an_address_and_a_word_of_its_own() {
        let unique = |texts: Vec<String>| texts.iter().collect::<std::collections::BTreeSet<_>>().len();
        let all = LabHost::ALL;
        assert_eq!(unique(all.iter().map(|host| host.address().to_string()).collect()), all.len());
        assert_eq!(unique(all.iter().map(|host| host.word().to_owned()).collect()), all.len());
        for host in all {
            let size = format!("SIZE {}", host.size_max());
            assert!(ehlo(*host, true, false, false).contains(&size), "{host:?}");
        }
    }
}
