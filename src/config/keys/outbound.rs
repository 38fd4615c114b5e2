//! `[[outbound]]`: the keys of an outbound connector, which says where mail is sent and with which TLS.

use std::ops::Range;

use super::demands::Demands;
use super::entry::Entry as _;
use super::forms::{
    ConnectorNames, FailureRule, HostName, Hosts, Ids, Keywords, Lines, Name, Patterns, PeerNames, Pins,
    SniName, SourceAddresses,
};
use super::key::{Condition, Section};
use super::kinds::{Count, File, Flag, Id, Line, Optional, Period, PeriodOrNever, RequiredKey, Waits, Word};
use super::partner::NO_PARTNER;
use super::section::section;
use super::{Level, OutboundTlsKey, forced};
use crate::connector::{
    AddressFamily, Credentials, DialRules, EightBit, Handshake, HeaderHandling, KeyExchange, Mechanism, Mode,
    MxAddresses, OnHandshakeFailure, Outbound, OutboundTls, OverrideLevel, Profile, ProtocolLogging, Purpose,
    Retry, Revision, Revocation, SendingSettings, TlsVersion,
};

const OFF: (&str, &str) = ("off", "tls is \"off\"; remove it, or write tls = \"opportunistic\"");
/// Only if TLS is possible.
const SOME_TLS: Condition =
    Condition { key: "tls", words: &["opportunistic", "forced", "implicit"], otherwise: &[OFF] };

section! {
    pub(in crate::config) OutboundEntry, OutboundValues;

    name: RequiredKey<Name> = "partner-out" => {
        meaning: "Its name in logs, reports and commands. Connectors have different names.",
    }
    partner: Optional<Line> = "fabrikam" => {
        meaning: "The `[[partner]]` it belongs to, instead of `domains`.",
        explanation: "Its domains are then those of the partner, whose contact is named where something is wrong. Errors: no \
            such partner; together with `domains`.",
    }
    domains: RequiredKey<Patterns> = ["partner.example"] => {
        applies: &[NO_PARTNER],
        meaning: "Recipient domains: `\"a.example\"`, `\"*.a.example\"` (any depth below, not a.example), `\"*\"`.",
        explanation: "Errors: one is listed twice; an address; each is served by another connector at a lower cost. Warning: \
            empty, and no connector in use hands mail to this one (`on_failure`).",
    }
    from_connectors: Optional<ConnectorNames> = ["cloud-in"] => {
        absent: "all mail",
        meaning: "Names of inbound connectors: it covers only mail that arrived by one of them.",
        explanation: "For centralised mail transport: mail that Exchange Online hands over goes to the servers on-premises, \
            whoever it is for, and mail of these servers goes to the internet. The closest pattern comes first, whatever \
            arrives; of equal patterns, one that names the arrival comes before one that names none. So \
            `domains = [\"*\"]` here takes what nobody else names, and a partner's domain stays with the partner's connector \
            unless it is listed here too (a warning says which domains that is so for). Our own reports arrived by no connector, \
            so no such connector takes them; mail of programs on this machine arrived by the inbound connector that \
            admitted it. The name is stored with each message: docs/routing.md. Errors: empty; an unknown name, or that of an outbound \
            connector; one is listed twice; none of them relays to any of the domains. Warnings: one of them relays to none; the only host \
            that one of them names is a next hop.",
    }
    cost: Count<u16> = 10 => {
        meaning: "The lowest wins among equal patterns. It never fails over to a looser connector.",
    }
    next_hop: RequiredKey<Hosts> = "mx" => {
        hint: ", or hosts in order",
        meaning: "`\"mx\"`: the recipient domain's mail exchangers. Otherwise smart hosts in order: \
            `[\"smtp1.fabrikam.example:25\", \"[192.0.2.7]:25\"]`.",
        explanation: "Smart hosts are used without MX look-up. They are written `\"smtp.a.example\"` (port 25), \
            `\"smtp.a.example:2525\"`, `\"[192.0.2.7]:25\"`, `\"[2001:db8::7]:25\"`. Errors: an IPv6 address without \
            brackets whose end could be a port; one is listed twice; an address that no host has, or link-local IPv6, \
            which has no place for its interface here; one of our own listeners.",
    }
    spread: Flag = false => {
        meaning: "Smart hosts are used in rotation, instead of each time beginning with the first.",
        explanation: "Each then has its share; the others follow if one does not answer. Without it the first that \
            answers has all, which is what you want of a main host and its stand-by. Error: `next_hop` is not a list of \
            several.",
    }
    port: Optional<Count<u16>> = 25 => {
        applies: &[Condition {
            key: "next_hop",
            words: &["mx"],
            otherwise: &[(
                "",
                "next_hop names smart hosts; write the port behind each, as \"smtp.partner.example:2525\"",
            )],
        }],
        absent: "`25`; `465` with `tls = \"implicit\"`",
        meaning: "The port of mail exchangers.",
    }
    mx_addresses: Optional<Word<MxAddresses>> = "public" => {
        applies: &[Condition {
            key: "next_hop",
            words: &["mx"],
            otherwise: &[("", "next_hop names smart hosts, which may have any address; remove it")],
        }],
        absent: "`\"public\"`; `\"any\"` if `port` is not 25, 465 or 587",
        meaning: "Which addresses of mail exchangers are connected to: `public`: those of the internet; `private`: those \
            of private networks too; `any`: loopback addresses too.",
        explanation: "Anyone can write any address into an MX record, and a connection from this host may reach \
            services that trust it. Other addresses are ignored; if a domain has no other, its mail waits with 4.4.4. \
            `private` is for partners behind a VPN, or an internal name service. Mail exchangers of the internet listen on \
            port 25, so another `port` is that of a closed network or of a lab. Unspecified, multicast and reserved \
            addresses are never connected to.",
    }
    address_family: Word<AddressFamily> = "prefer-ipv6" => {
        meaning: "`prefer-ipv6` or `prefer-ipv4`: both, in turn, this one first; `ipv6` or `ipv4`: only this one.",
        explanation: "If a host does not answer in a quarter of a second, its address of the other family is tried as \
            well, and the first that answers is used (RFC 8305); for ten minutes it then comes first. `ipv4` is for a \
            machine whose IPv6 address is blocked by many receivers.",
    }
    tls: RequiredKey<Word<OutboundTlsKey>> = "opportunistic" => {
        meaning: "`off`: never; `opportunistic`: encrypt if offered; `forced`: TLS as required below, or nothing is \
            sent; `implicit`: the same, TLS from the first octet.",
        explanation: "`opportunistic` never judges the certificate: it protects against anyone who only listens, and \
            delivers everywhere. `forced` also protects against anyone who can change the traffic; mail that can't be sent \
            that way waits, and its sender gets a report when it expires. `implicit` uses port 465 if none is written. \
            Warnings: `off`; anything but `implicit` with port 465; `implicit` with port 25 or 587.",
    }
    require: Word<Level> = "identity" => {
        applies: &[forced::OUT],
        meaning: "What forced TLS asks of the server's certificate: `identity`: chain and name; `chain`; \
            `encryption`: any certificate.",
        explanation: "`identity` proves that mail reaches the partner: the chain ends in `trust`, and the certificate \
            presents one of `peer_names`. `chain` proves only that some authority in `trust` issued the \
            certificate: enough for an authority of the partner's own, little for the public ones. `encryption` does \
            not stop anyone who answers in the partner's place, unless `pins` name the key. With `next_hop = \"mx\"` that \
            matters most, since whoever can change a DNS answer chooses the host (a warning for anything but \
            `identity`). `sealpost probe DOMAIN` shows what a partner can meet; `mode = \"audit\"` rehearses it.",
    }
    peer_names: Optional<PeerNames> = ["mail.fabrikam.example", "*.mx.fabrikam.example"] => {
        applies: &[forced::OUT, forced::NAME],
        absent: "the smart host's name as configured, or the recipient domain",
        meaning: "The names of which the server's certificate must present one. `\"*.a.example\"` stands for one label.",
        explanation: "Mail exchangers rarely present the recipient domain itself, so most partners with \
            `next_hop = \"mx\"` need this key. The name of a mail exchanger from DNS is not taken instead: whoever can \
            change the answer would choose the name too. Agree on the names with the partner, who has to tell you before \
            moving to another provider. Only subjectAltName is looked at, unless `allow_cn` is set. Error: \
            missing where a smart host is an address.",
    }
    trust: Ids = ["system"] => {
        applies: &[forced::OUT, forced::CHAIN],
        meaning: forced::TRUST,
        explanation: forced::TRUST_MORE,
    }
    min_version: Optional<Word<TlsVersion>> = "1.2" => {
        applies: &[forced::OUT],
        absent: forced::MIN_VERSION_ABSENT,
        meaning: forced::MIN_VERSION,
    }
    key_exchange: Word<KeyExchange> = "any" => {
        applies: &[forced::OUT],
        meaning: "`any`: post-quantum preferred; `post-quantum`: only a hybrid group, which needs TLS 1.3; `classic`: \
            none is offered.",
        explanation: "Traffic that is recorded today could be decrypted by a quantum computer of the future; a hybrid \
            group (X25519MLKEM768) prevents that. Both sides use it by themselves if they can. `post-quantum` sends \
            nothing to hosts that can't. With `any`, a handshake that fails is tried once more without the hybrid \
            group, since some firewalls fail on the larger first message; if that works, the host gets no \
            hybrid group for an hour. `classic` saves that attempt; remove it once the firewall is replaced. Error: `min_version = \"1.2\"` together with `post-quantum`.",
    }
    profile: Optional<Word<Profile>> = "bsi-tr-02102-2-2025" => {
        applies: &[SOME_TLS],
        meaning: "Handshakes are limited to a published guideline in one edition; with forced TLS, session and certificate must \
            conform to it.",
        explanation: forced::PROFILE_OUT_MORE,
    }
    pins: Optional<Pins> = ["sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM= until 2027-03-01"] => {
        applies: &[forced::OUT],
        meaning: forced::PINS,
        explanation: forced::PINS_MORE,
    }
    organisation: Optional<Lines> = ["Fabrikam"] => {
        applies: &[forced::OUT],
        meaning: forced::ORGANISATION,
        explanation: forced::ORGANISATION_MORE,
    }
    common_name: Optional<Lines> = ["mail.fabrikam.example"] => {
        applies: &[forced::OUT],
        meaning: forced::COMMON_NAME,
    }
    issuer: Optional<Lines> = ["Fabrikam CA"] => {
        applies: &[forced::OUT],
        meaning: forced::ISSUER,
        explanation: forced::ISSUER_MORE,
    }
    allow_cn: Flag = false => {
        applies: &[forced::OUT, forced::NAME],
        meaning: forced::ALLOW_CN,
        explanation: forced::ALLOW_CN_MORE,
    }
    revocation: Word<Revocation> = "soft" => {
        applies: &[forced::OUT, forced::CHAIN],
        meaning: forced::REVOCATION,
        explanation: forced::REVOCATION_MORE,
    }
    override_floor: Optional<Word<OverrideLevel>> = "encryption" => {
        applies: &[forced::OUT],
        absent: "no override is possible",
        meaning: "How far `sealpost override` may lower the requirement for a time: `chain`; `encryption`; `opportunistic`.",
        explanation: "For the night on which a partner's certificate has ended and mail must go all the same: \
            docs/break-glass.md. `chain` leaves the chain, and gives up name, key and subject; `encryption` leaves TLS with \
            any certificate; `opportunistic` leaves nothing. Versions, key exchange and profile stay with the first two. Errors: the \
            requirement is no higher than the floor; `opportunistic` with `tls = \"implicit\"`; beside `auth_user`, whose \
            password would be shown to whoever answers; beside `mode = \"audit\"`, which enforces nothing.",
    }
    mode: Word<Mode> = "enforce" => {
        meaning: "`enforce`; `audit`: judged and logged, but delivered as opportunistic would; `off`: as if the \
            connector were not there.",
        explanation: "`audit` is a rehearsal: set it when you begin to require TLS of a partner, look at what the log \
            says would not have been sent, then write `enforce`. As long as it is on, mail goes in plaintext too (a \
            warning). Error: `audit` where `tls` is not `forced` or `implicit`. An `off` connector can still be \
            validated.",
    }
    sni: Optional<SniName> = "none" => {
        applies: &[SOME_TLS],
        absent: "the host's name",
        meaning: "The name sent in the handshake (SNI): a name, or `\"none\"`.",
        explanation: "A host with several certificates picks one by it. Set it for a partner whose host answers to \
            another name than the one in DNS, and `\"none\"` for one that ends the handshake when it gets a name.",
    }
    source_address: Optional<SourceAddresses> = "192.0.2.10" => {
        absent: "the system's choice",
        meaning: "Where its connections come from: one address, or one of each family.",
        explanation: "For partners that know us by our address. One that this host does not have makes mail wait with \
            4.3.5. Errors: two of one family; `0.0.0.0` or `::`; link-local IPv6; IPv4 written as IPv6; a family that none \
            of the addresses in `next_hop` has.",
    }
    ehlo_name: Optional<HostName> = "gw1.contoso.example" => {
        absent: "`[server]` `name`",
        meaning: "Our name in EHLO.",
    }
    remember_tls: Flag = false => {
        applies: &[Condition {
            key: "tls",
            words: &["opportunistic"],
            otherwise: &[
                ("forced", "tls is \"forced\", which says it already; remove it"),
                ("implicit", "tls is \"implicit\", which says it already; remove it"),
                OFF,
            ],
        }],
        meaning: "A domain once seen with TLS is not sent mail in plaintext without an alarm and an hour's delay.",
        explanation: "Anyone on the path can remove opportunistic TLS by taking STARTTLS out of the answer \
            to EHLO. With this key, a domain that had TLS and suddenly has none is an alarm, and its mail waits for \
            an hour before it goes in plaintext: that leaves you time to look, and an attacker \
            has to keep it up for that long. A partner that turns \
            TLS off on purpose costs you one alarm and one hour. It is remembered in `tls-seen` in `data_dir`. For a \
            partner with whom you have agreed on TLS, write `tls = \"forced\"`, which never sends in plaintext.",
    }
    client_certificate: Optional<Id> = "gw" => {
        applies: &[SOME_TLS],
        meaning: "The ID of the certificate that we show if the peer asks for one.",
        explanation: "For partners that admit us by our certificate, as a connector of Exchange Online with \
            `TlsSenderCertificateName` does. It is shown only to a server that asks for one. It should present our EHLO \
            name (a warning if it does not), and some partners accept only a certificate that is issued for clients. Error: an unknown ID.",
    }
    on_failure: FailureRule = "defer" => {
        applies: &[forced::OUT],
        meaning: "If no host meets the requirement: `defer`: try again until `expire`; `bounce`: send a report at once; \
            `reroute:NAME`: hand it to the connector of this name.",
        explanation: "`defer` gives the partner a day to renew a certificate, and the sender a delay report after an \
            hour. With `bounce` the sender learns at once what the host showed (no STARTTLS, version, certificate, \
            chain, name) and can choose another way; but then a short outage of the partner's TLS \
            returns every message. A \
            failed handshake or a 4yz reply to STARTTLS still waits. `reroute:NAME` takes another way where `bounce` would send a \
            report, such as a portal where recipients fetch their mail: the recipients go by that connector, whatever its \
            `domains` are (`[]` if it serves no others), and under its own requirement: docs/routing.md. Errors: there is no such outbound \
            connector, it is this one, is not forced or not enforced, has `from_connectors`, or hands mail on itself.",
    }
    on_handshake_failure: Word<OnHandshakeFailure> = "clear" => {
        applies: &[Condition {
            key: "tls",
            words: &["opportunistic"],
            otherwise: &[
                ("forced", "tls is \"forced\", which never sends in plaintext; remove it, or write on_failure"),
                ("implicit", "tls is \"implicit\", which never sends in plaintext; remove it, or write on_failure"),
                OFF,
            ],
        }],
        meaning: "If TLS was offered but failed at every host: `clear`: a new connection in plaintext; \
            `clear_later`: the same, but only at a later attempt; `defer`: never in plaintext.",
        explanation: "`clear` delivers to hosts whose TLS is defective, of which there are many; it also helps someone \
            who damages handshakes on purpose. `clear_later` makes that person wait for the next attempt, and gives a \
            host that was only restarting another chance. `defer` keeps mail for a defective host until it expires. \
            TLS has failed if STARTTLS is refused and the connection closed, the handshake fails, or the session \
            is lost before its first reply inside TLS. A host that took mail in plaintext after that, twice in a row, is \
            not asked for TLS again for ten minutes. Where STARTTLS is refused and the session stays open, it continues in \
            plaintext.",
    }
    retry: Optional<Waits> = ["1m x4", "5m x6", "15m", "30m", "1h"] => {
        absent: "`[queue]`",
        meaning: "The waits after the first, second, … failure; the last one repeats.",
        explanation: "Error: empty.",
    }
    expire: Optional<Period> = "2d" => {
        absent: "`[queue]`",
        meaning: "When mail is given up, counted from its acceptance.",
        explanation: "Warning: before the first retry.",
    }
    delay_dsn: Optional<PeriodOrNever> = "4h" => {
        absent: "`[queue]`",
        meaning: "When the sender is notified of a delay, counted from acceptance.",
        explanation: "Warning: not before `expire`.",
    }
    connections: Count<usize> = 4 => {
        meaning: "Maximum number of connections of one lane (recipient domain, or group of smart hosts) at the same \
            time; fewer if the host cannot handle them.",
    }
    messages_per_connection: Optional<Count<u32>> = 100 => {
        absent: "`[limits]`",
        meaning: "Maximum number of messages over one connection; a host's own limit (LIMITS MAILMAX) is kept too.",
    }
    messages_per_minute: Optional<Count<u32>> = 600 => {
        meaning: "Maximum number of messages handed to its hosts in a minute, over all lanes; the rest waits, and has \
            not failed.",
    }
    max_recipients: Optional<Count<usize>> = 50 => {
        absent: "`[limits]`",
        meaning: "Maximum number of recipients in one transaction; a host's own limits (LIMITS RCPTMAX, \
            RCPTDOMAINMAX) are kept too.",
    }
    ignore_extensions: Optional<Keywords> = ["CHUNKING"] => {
        meaning: "Extensions that are not used even if the host offers them; see `withhold` of a listener.",
        explanation: "For a host that offers what it gets wrong.",
    }
    eight_bit: Word<EightBit> = "convert" => {
        meaning: "What happens to mail with 8-bit octets, declared or not, if the host does not offer 8BITMIME: \
            `convert`: its parts are encoded; `report`: it fails with 5.6.3.",
        explanation: "RFC 6152 allows no third way. `convert` puts text with 8-bit octets in quoted-printable and other \
            parts in base64, changes Content-Transfer-Encoding accordingly (and adds MIME-Version and Content-Type if a \
            message has none), and leaves every other octet as it is; `delivered` in the log then has `converted`. \
            The default is `convert`, because otherwise mail of older programs, which do not declare what they send, would \
            fail. It fails (5.6.3) with either word where conversion would break a signature (DKIM-Signature, \
            ARC-Message-Signature, `multipart/signed`, S/MIME) or touch what is encrypted, where 8-bit octets are in \
            header fields or in a part that is labelled as encoded already, where the structure is ambiguous, and where the \
            content is over 64 MiB, its encoded parts over 16 MiB, or it has more than 250 parts. The report says why.",
    }
    headers: Word<HeaderHandling> = "firewall" => {
        meaning: "Header fields of Exchange: `firewall`: those that belong inside an organisation are removed; `preserve`: \
            they pass; `promote`: they become cross-premises fields, for our own Exchange, which checks our certificate.",
        explanation: "`firewall` removes fields whose names begin with `X-MS-Exchange-Organization-`, `X-MS-Exchange-Forest-` or \
            `X-MS-Exchange-CrossPremises-`, which tell others about your servers. Your own Exchange would miss them: write \
            `promote` where it knows the gateway by certificate (`TlsDomainCapabilities`), and `preserve` where it believes it \
            all fields (`ExternalAuthoritative`). Warning: left out where an inbound connector promotes fields for its domains. Every other octet passes as it is with each of the three. Error: `promote` where \
            TLS is not forced with an identity or pins, and enforced. See docs/headers.md.",
    }
    auth_user: Optional<Line> = "relay@contoso.example" => {
        meaning: "The name we log in with at the smart host, inside forced TLS that has proved who it is.",
        explanation: "Errors: `auth_secret` is missing; `next_hop` is `\"mx\"`; TLS is not forced with an identity, \
            pins, or a chain to a trust set other than `system` or with `organisation` or `common_name`; `mode = \"audit\"`. Each of these would show the \
            password to whoever answers.",
    }
    auth_secret: Optional<File> = "secrets/provider" => {
        meaning: "The file with the password or token; `\"credential:NAME\"` is one that systemd loads.",
        explanation: "It is read for each session, so a token can be renewed by replacing the file; \
            `LoadCredential=` of systemd keeps it where only the service can read it. Mail waits while it can't be read, \
            or while the login is refused.",
    }
    auth_mechanism: Optional<Word<Mechanism>> = "plain" => {
        absent: "`\"plain\"`",
        meaning: "`plain`; `login`; `xoauth2`: the secret is a bearer token.",
    }
    protocol_log: Word<ProtocolLogging> = "off" => {
        meaning: "The SMTP dialogue of its sessions, in `data_dir/protocol`: `off`; `errors`: sessions in which something failed; \
            `full`: all.",
        explanation: "Without secrets and content; see [the protocol log](log.md#the-protocol-log).",
    }
}

impl OutboundEntry {
    /// Where its domains are written: by themselves, or as those of a partner.
    pub(in crate::config) fn domains_place(&self) -> Option<Range<usize>> {
        self.place("domains").or_else(|| self.place("partner"))
    }
}

impl OutboundValues {
    /// The connector; `None` if a required key is missing, which has been reported.
    pub(in crate::config) fn connector(
        &self,
        (tls, handshake): (OutboundTls, Handshake),
        retry: Retry,
        auth: Option<Credentials>,
    ) -> Option<Outbound> {
        let certificate = self.client_certificate.as_ref();
        Some(Outbound {
            name: self.name.as_ref()?.get_ref().as_str().into(),
            partner: None,
            domains: self.domains.as_ref()?.iter().map(|(pattern, _)| pattern.clone()).collect(),
            from_connectors: self
                .from_connectors
                .iter()
                .flatten()
                .map(|name| name.get_ref().as_str().into())
                .collect(),
            cost: self.cost,
            next_hop: self.next_hop.clone()?,
            tls,
            mode: self.mode,
            override_floor: self.override_floor,
            handshake,
            sni: self.sni.clone().unwrap_or_default(),
            dialling: DialRules {
                family: self.address_family,
                mx_addresses: self.mx_addresses.unwrap_or_default(),
            },
            source_addresses: self.source_address.clone().unwrap_or_default(),
            ehlo_name: self.ehlo_name.clone(),
            remember_tls: self.remember_tls,
            client_certificate: certificate.map(|id| id.get_ref().as_str().into()),
            on_handshake_failure: self.on_handshake_failure,
            on_failure: self.on_failure.clone(),
            retry,
            connections: self.connections,
            sending: SendingSettings {
                ignored: self.ignore_extensions.clone().unwrap_or_default(),
                recipients_max: self.max_recipients,
                messages_max: self.messages_per_connection,
                messages_per_minute_max: self.messages_per_minute,
                spread: self.spread,
                eight_bit: self.eight_bit,
                headers: self.headers,
                auth,
                protocol_log: self.protocol_log,
            },
            revision: Revision::default(),
        })
    }

    /// The values of the forced TLS keys.
    pub(in crate::config) fn demands(&mut self) -> Demands<'_> {
        Demands {
            level: self.require,
            peer_names: self.peer_names.as_deref(),
            trust: &self.trust,
            min_version: &mut self.min_version,
            key_exchange: self.key_exchange,
            profile: self.profile,
            pins: self.pins.as_deref(),
            organisation: self.organisation.as_deref(),
            common_name: self.common_name.as_deref(),
            issuer: self.issuer.as_deref(),
            allow_cn: self.allow_cn,
            revocation: self.revocation,
            accept_purpose: Purpose::default(),
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "outbound",
    header: "[[outbound]]",
    sample_header: "[[outbound]]",
    sample: &[("name", "\"internet-out\""), ("domains", "[\"*\"]")],
    comment: "Where mail goes, under which conditions. The closest domain wins, then the lowest cost.",
    intro: "Where mail goes, under which conditions. The connector with the closest pattern serves a recipient \
        domain, then the one of lowest cost; it is chosen again at each attempt. Two of the same pattern and cost are an \
        error that names both lines, and so is a connector that never serves, since each of its domains is served at a \
        lower cost for all mail it could take. A domain that none serves is refused at RCPT. Warnings: a domain that is served at a lower cost; forced TLS for a domain in whose name anyone may \
        send to us; forced TLS for `a.example` without `*.a.example` (or the other way round) where a looser connector \
        serves the rest; with `next_hop = \"mx\"`, `require = \"chain\"` or `\"encryption\"` and nothing else, which \
        stops no active attacker. Without any outbound connector no mail is accepted (a warning).",
    reload: true,
    keys: OutboundEntry::KEYS,
};
