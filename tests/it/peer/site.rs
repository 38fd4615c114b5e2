//! A usual place for a daemon: our certificate, a partner's authority, a listener, pieces of config.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use super::daemon::{Daemon, Home, NAME, free_address};
use super::mint::{Authority, Kind, Pair};
use super::sink::{Manner, Sink};
use super::source::Source;

/// A home with `certificate.gw` (of `ours`, for [`NAME`]) and `trust.partners`.
pub(crate) struct Site {
    pub(crate) home: Home,
    pub(crate) ours: Authority,
    pub(crate) partners: Authority,
    /// The partners' authority after a renewal: the same name and another key.
    pub(crate) renewed: Authority,
    /// A partner's own certificate, marked as an authority, which may be an anchor itself.
    pub(crate) anchor: Pair,
    head: String,
}

/// A name that every good partner's certificate has.
pub(crate) const PARTNER: &str = "mail.partner.test";

/// The serial number that the partners' authority has revoked.
pub(crate) const REVOKED: u64 = 666;
/// The serial number that only their second list names.
pub(crate) const REVOKED_TOO: u64 = 667;
/// The serial number that the authority with the renewed key has revoked.
pub(crate) const REVOKED_SINCE: u64 = 668;

/// The lists of [`Site::with_many_lists`]: the first has ended, and the last is of the renewed key.
pub(crate) const MANY_LISTS: &str =
    "crl = [\"ended.crl\", \"partners.crl\", \"more.crl\", \"renewed.crl\"]\n\n";

/// One listener that offers TLS, named `in`.
pub(crate) const LISTENER: &str =
    "[[listener]]\nname = \"in\"\naddress = [\"127.0.0.1:0\"]\ntls = \"starttls\"\ncertificate = \"gw\"\n\n";

/// Everyone on loopback may send to everyone; a.test is our own domain.
pub(crate) const ANYONE: &str = "[[inbound]]\nname = \"anyone\"\nfrom_domains = [\"a.test\", \"*\"]\n\
     from_networks = [\"127.0.0.0/8\"]\ntls = \"opportunistic\"\nto_domains = [\"*\"]\n\n";

/// Forced, with chain and name, for an outbound connector.
pub(crate) const IDENTITY: &str = "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n";

/// Opportunistic, for an outbound connector.
pub(crate) const OPPORTUNISTIC: &str = "tls = \"opportunistic\"\n";

/// Retries come each second.
pub(crate) const QUICK: &str = "[queue]\nretry = [\"1s\"]\n\n";

/// An admin listener, with the tokens that [`Site::write_tokens`] writes.
pub(crate) const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"tokens\"\n\n";

impl Site {
    pub(crate) fn new() -> Self {
        let (home, ours, partners) = (Home::new(), Authority::new("ours"), Authority::new("partners"));
        let (renewed, anchor) = (Authority::new("partners"), Pair::self_signed_authority(&[PARTNER]));
        std::fs::write(home.path().join("partners.crl"), partners.revocation_list(&[REVOKED])).unwrap();
        let trust =
            home.trust("partners", &partners).trim_end().to_owned() + "\ncrl = [\"partners.crl\"]\n\n";
        let head = home.certificate("gw", &ours.pair(&[NAME], Kind::Good)) + &trust;
        Self { home, ours, partners, renewed, anchor, head }
    }

    /// Writes the file of tokens of the admin listener.
    pub(crate) fn write_tokens(&self, text: &str) {
        let file = self.home.path().join("tokens");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The same with several anchors and lists in `trust.partners`: an authority whose key was renewed, lists that
    /// have ended, and a partner's own certificate.
    pub(crate) fn with_many_lists() -> Self {
        let mut site = Self::new();
        let write = |name: &str, text: String| std::fs::write(site.home.path().join(name), text).unwrap();
        let anchors = [&site.partners.pem, &site.renewed.pem, &site.anchor.chain].map(String::as_str);
        write("partners.pem", anchors.concat());
        write("ended.crl", site.partners.revocation_list_until(2026, &[]));
        write("more.crl", site.partners.revocation_list(&[REVOKED_TOO]));
        write("renewed.crl", site.renewed.revocation_list(&[REVOKED_SINCE]));
        site.head = site.head.replace("crl = [\"partners.crl\"]\n\n", MANY_LISTS);
        site
    }

    /// Writes the config: certificate and trust, the usual listener and inbound connector, and `rest`.
    /// A site with a forced connector for a partner and an opportunistic one for the rest; nothing listens there.
    pub(crate) fn usual() -> Self {
        let site = Self::new();
        let config = outbound("partner", "partner.test", free_address(), IDENTITY)
            + &outbound("rest", "*", free_address(), OPPORTUNISTIC);
        site.configure(&config);
        site
    }

    pub(crate) fn configure(&self, rest: &str) {
        self.home.configure(&format!("{}{LISTENER}{ANYONE}{rest}", self.head));
    }

    /// The same without listener and inbound connector.
    pub(crate) fn configure_all(&self, rest: &str) {
        self.home.configure(&format!("{}{rest}", self.head));
    }

    pub(crate) async fn start(&self, rest: &str) -> Daemon {
        self.configure(rest);
        Daemon::start(&self.home).await
    }

    /// A partner that does all well.
    pub(crate) async fn good_sink(&self) -> Sink {
        Sink::start(Manner::sealed(self.partners.pair(&[PARTNER], Kind::Good).server())).await
    }

    /// A source over TLS that checks our certificate.
    pub(crate) fn source(&self, target: SocketAddr, sessions: usize) -> Source {
        Source::sealed(target, sessions, self.ours.client(None), NAME)
    }
}

/// An outbound connector for one domain to one address.
pub(crate) fn outbound(name: &str, domain: &str, next_hop: SocketAddr, tls: &str) -> String {
    format!("[[outbound]]\nname = \"{name}\"\ndomains = [\"{domain}\"]\nnext_hop = [\"{next_hop}\"]\n{tls}\n")
        .replace(&next_hop.to_string(), &host_and_port(next_hop))
}

/// An address as `next_hop` writes it.
fn host_and_port(address: SocketAddr) -> String {
    format!("[{}]:{}", address.ip(), address.port())
}
