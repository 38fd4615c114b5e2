//! `[[inbound]]`: the keys of an inbound connector, which says who may hand us mail and for whom.

use std::ops::Range;

use super::demands::Demands;
use super::entry::Entry as _;
use super::forms::{Ids, Lines, ListenerNames, Name, Networks, Patterns, PeerNames, Pins};
use super::key::{Condition, Section};
use super::kinds::{Count, File, Flag, Line, Optional, RequiredKey, Size, Word};
use super::partner::NO_PARTNER;
use super::section::section;
use super::{Level, TlsIn, forced};
use crate::config::clouds::shared_cloud;
use crate::config::named::Lists;
use crate::connector::{
    BareLf, BrakeMode, ClientKind, ClientNetworks, DomainPattern, HeaderHandling, Inbound, InboundLimits,
    InboundTls, KeyExchange, Mode, Onward, OverrideLevel, Profile, ProtocolLogging, Purpose, Reveal,
    Revision, Revocation, TlsVersion,
};

/// Only where the reverse-path counts.
const PARTNER: Condition = Condition {
    key: "kind",
    words: &["partner"],
    otherwise: &[("own", "our own systems may use any reverse-path; remove it, or write kind = \"partner\"")],
};

section! {
    pub(in crate::config) InboundEntry, InboundValues;

    name: RequiredKey<Name> = "partner-in" => {
        meaning: "Its name in logs, replies and commands. Connectors have different names.",
    }
    kind: Word<ClientKind> = "partner" => {
        meaning: "Whose mail it takes: `partner`: another organisation's, or anybody's; `own`: our own mail systems'.",
        explanation: "Our own systems, such as Exchange on-premises and Exchange Online, send mail with any \
            reverse-path: our domains, that of a message that somebody redirects, of a partner even. So the \
            reverse-path is not looked at for `own`, and a client that meets all conditions is admitted by it before \
            any `partner` connector is looked at. It must therefore identify the client: by `from_networks`, by \
            `users_file`, or by `tls = \"forced\"` with `peer_names` or `pins`. Exchange Online sends from networks that it \
            shares among all its customers, so identify it by certificate. Error: nothing identifies the client.",
    }
    partner: Optional<Line> = "fabrikam" => {
        applies: &[PARTNER],
        meaning: "The `[[partner]]` it belongs to, instead of `from_domains`.",
        explanation: "Its domains are then those of the partner, whose contact is named where something is wrong. Errors: no \
            such partner; together with `from_domains`.",
    }
    listeners: Optional<ListenerNames> = ["internet"] => {
        absent: "all",
        meaning: "Names of the listeners it takes mail on.",
        explanation: "It is one more condition, like `from_networks`: a forced connector limited to one listener still binds \
            its domains on the others, where nobody can meet it. Errors: empty; an unknown name.",
    }
    from_domains: RequiredKey<Patterns> = ["partner.example"] => {
        applies: &[PARTNER, NO_PARTNER],
        meaning: "Domains of the reverse-path: `\"a.example\"`, `\"*.a.example\"` (any depth below, not a.example), \
            `\"*\"`.",
        explanation: "The null reverse-path is covered only by `*`, and by a connector whose user has logged in. \
            Errors: empty; one is listed twice; an address.",
    }
    except_domains: Optional<Patterns> = ["contoso.example", "*.contoso.example"] => {
        applies: &[PARTNER],
        absent: "none",
        meaning: "Domains of the reverse-path that it does not cover, although `from_domains` does.",
        explanation: "Name your own domains here in the connector for the internet, so that a stranger can't \
            send mail in your name: it is refused (550 5.7.1) unless another connector admits it, such as that of your own \
            servers. Mail that others forward or send for you (newsletters, ticket systems) then needs a connector of \
            its own. Errors: empty; one is listed twice; nothing is left of `from_domains`. Warning, beside connectors of \
            `kind = \"own\"`: a domain of `to_domains` is not excepted, and anyone may send by this connector.",
    }
    from_networks: Optional<Networks> = ["192.0.2.0/24"] => {
        absent: "anywhere",
        meaning: "Where the client's address must be: networks, or single addresses.",
        explanation: "Written `\"192.0.2.0/24\"`, `\"2001:db8::/32\"`, or one address. Networks that cover a sixteenth of the \
            public addresses or more, in one piece or in several, count as a condition, but tell nobody apart: what \
            needs known clients (`mode = \"audit\"`, `bare_lf = \"normalize\"`, reserved connections, relaying anywhere) \
            takes them as if they were missing. Errors: empty; bits set behind the prefix; IPv4 written \
            as IPv6 (`::ffff:192.0.2.0/120`), since clients are compared by their IPv4 address; where no client connects \
            from, as multicast; one is listed twice or within another; every address of a family is covered, as by \
            `\"0.0.0.0/0\"`, which restricts nobody. Warning: all are of a family that no listener has.",
    }
    from_networks_file: Optional<File> = "networks/devices.txt" => {
        meaning: "A file of networks, one a line; they count together with `from_networks`.",
        explanation: "`#` begins a comment. It is read again at a reload, and when it changes. Errors: it can't be \
            read; a line is not a network; it has none, which would mean anywhere.",
    }
    users_file: Optional<File> = "users" => {
        meaning: "The client must have logged in as a user of this file; `sealpost user NAME` makes a line for it.",
        explanation: "For devices and applications without a fixed address. AUTH PLAIN and LOGIN are offered only \
            inside TLS, so a listener must offer it. Each line is `name:hash`; the hash is of Argon2, which is slow on \
            purpose, so clients should keep their connection. Whoever has the password may send as the whole of \
            `from_domains`. The file is read again at a reload, and when it changes. Errors: it can't be read; a line \
            is not of that form, or its hash is not of Argon2. Warning: it has nobody.",
    }
    tls: RequiredKey<Word<TlsIn>> = "opportunistic" => {
        meaning: "`off`: neither required nor judged; `opportunistic`: not required, what the client showed is \
            recorded; `forced`: required, as the keys below say.",
        explanation: "With `forced`, mail in the name of these domains comes under the required TLS or not at all: a \
            client that does not meet it gets 4yz or 5yz with the reason, and no looser connector admits it. Warning: \
            `forced` while no listener offers TLS.",
    }
    require: Word<Level> = "identity" => {
        applies: &[forced::IN],
        meaning: "What forced TLS asks of the client's certificate: `identity`: chain and name; `chain`; \
            `encryption`: any certificate, or none.",
        explanation: "`identity` proves who the client is: its chain ends in `trust`, and it presents one of \
            `peer_names`. `chain` proves only that an authority in `trust` issued the certificate; that is \
            enough if the authority is the partner's own, and means nearly nobody is kept out if it is a public one. \
            `encryption` proves nothing about the client, only that nobody on \
            the path could listen, unless \
            `pins` name the key. Start with `mode = \"audit\"` if you don't know what the partner shows.",
    }
    peer_names: Optional<PeerNames> = ["mail.fabrikam.example"] => {
        applies: &[forced::IN, forced::NAME],
        meaning: "The client certificate must present one of these names. `\"*.a.example\"` stands for one label.",
        explanation: "Ask the partner which names the certificates of its outbound servers have; they are often not \
            those of its mail exchangers. Only subjectAltName is looked at, unless `allow_cn` is set. Error: missing \
            with `require = \"identity\"`.",
    }
    trust: Ids = ["system"] => {
        applies: &[forced::IN, forced::CHAIN],
        meaning: forced::TRUST,
        explanation: forced::TRUST_MORE,
    }
    min_version: Optional<Word<TlsVersion>> = "1.2" => {
        applies: &[forced::IN],
        absent: forced::MIN_VERSION_ABSENT,
        meaning: forced::MIN_VERSION,
    }
    key_exchange: Word<KeyExchange> = "any" => {
        applies: &[forced::IN],
        meaning: "`any`: post-quantum preferred; `post-quantum`: only a hybrid group, which needs TLS 1.3.",
        explanation: "Traffic that is recorded today could be decrypted by a quantum computer of the future; a hybrid \
            group (X25519MLKEM768) prevents that. Both sides use it by themselves if they can. `post-quantum` refuses \
            clients that can't: few can in old installations, so look at what is recorded first. Errors: `classic`, \
            which is for outbound connectors; `min_version = \"1.2\"` together with `post-quantum`.",
    }
    profile: Optional<Word<Profile>> = "bsi-tr-02102-2-2025" => {
        applies: &[Condition {
            key: "tls",
            words: &["forced"],
            otherwise: &[
                ("off", "TLS is not judged where tls is \"off\"; write it at the [[listener]], or tls = \"forced\""),
                (
                    "opportunistic",
                    "TLS is not judged where tls is \"opportunistic\"; write it at the [[listener]], or tls = \"forced\"",
                ),
            ],
        }],
        meaning: forced::PROFILE,
        explanation: forced::PROFILE_MORE,
    }
    pins: Optional<Pins> = ["sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM= until 2027-03-01"] => {
        applies: &[forced::IN],
        meaning: forced::PINS,
        explanation: forced::PINS_MORE,
    }
    organisation: Optional<Lines> = ["Fabrikam"] => {
        applies: &[forced::IN],
        meaning: forced::ORGANISATION,
        explanation: forced::ORGANISATION_MORE,
    }
    common_name: Optional<Lines> = ["mail.fabrikam.example"] => {
        applies: &[forced::IN],
        meaning: forced::COMMON_NAME,
    }
    issuer: Optional<Lines> = ["Fabrikam CA"] => {
        applies: &[forced::IN],
        meaning: forced::ISSUER,
        explanation: forced::ISSUER_MORE,
    }
    allow_cn: Flag = false => {
        applies: &[forced::IN, forced::NAME],
        meaning: forced::ALLOW_CN,
        explanation: forced::ALLOW_CN_MORE,
    }
    revocation: Word<Revocation> = "soft" => {
        applies: &[forced::IN, forced::CHAIN],
        meaning: forced::REVOCATION,
        explanation: forced::REVOCATION_MORE,
    }
    override_floor: Optional<Word<OverrideLevel>> = "chain" => {
        applies: &[forced::IN],
        absent: "no override is possible",
        meaning: "How far `sealpost override` may lower the requirement for a time: `chain`; `encryption`.",
        explanation: "As of an outbound connector: docs/break-glass.md. TLS stays forced, and the connector still binds its \
            domains. Something must still tell the clients apart: `from_networks`, `users_file`, or a `trust` set of \
            the partner's own (an error otherwise, since anyone could claim these domains). Errors: as there; `opportunistic`.",
    }
    mode: Word<Mode> = "enforce" => {
        meaning: "`enforce`; `audit`: TLS and certificate are judged and logged, but waived where `from_networks` \
            holds; `off`: as if the connector were not there.",
        explanation: "`audit` is a rehearsal: set it when you begin to require TLS of a partner, look at what \
            the log says would have been refused, then write `enforce`. As long as it is on, mail in plaintext is \
            accepted from these networks (a warning). It needs `from_networks` that tell the clients apart, because \
            otherwise anyone could claim the domains (an error). An `off` connector can still be validated.",
    }
    accept_purpose: Word<Purpose> = "either" => {
        applies: &[forced::IN],
        meaning: "What the client certificate must be for: `either`: servers or clients; `client`.",
        explanation: "Mail servers use their server certificate as client certificate, and public authorities no \
            longer issue for clients, so `client` refuses most partners. It makes sense with an authority of your own \
            that issues for clients. Error: `require = \"encryption\"` without `pins`, which looks at no certificate.",
    }
    onward: Word<Onward> = "any" => {
        meaning: "`sealed`: the mail leaves only under forced TLS that is enforced; otherwise it waits. `identity`: and only where \
            that proves by name or pin who the host is.",
        explanation: "For mail that must never leave in plaintext, whoever its recipient is: a message from this connector to a domain that an opportunistic connector serves is not sent in \
            plaintext, it is not sent at all, and its sender gets a report when it expires. Reports about it are \
            sealed too. A message may ask for more by a `[[raise]]` rule. So give the domains that such mail goes to forced connectors first, and see \
            `sealpost explain --to user@partner.example`.",
    }
    headers: Optional<Word<HeaderHandling>> = "firewall" => {
        absent: "`\"firewall\"`; `\"preserve\"` with `kind = \"own\"`, unless all customers of a cloud present the name",
        meaning: "Header fields of Exchange: `firewall`: those that only our own servers may write are removed; `preserve`: they \
            pass; `promote`: cross-premises fields become fields of the organisation again, for our own Exchange.",
        explanation: "Exchange believes what these fields say, for example that a message is internal and needs no filter. \
            `firewall` removes fields whose names begin with `X-MS-Exchange-Organization-`, `X-MS-Exchange-Forest-` or \
            `X-MS-Exchange-CrossPremises-`, the marks of the servers that handled those, and `Authentication-Results` in our \
            name. `Received` always stays, and so does every other octet. Error: `promote` where TLS is not forced with an \
            identity or pins, and enforced. Warnings: `preserve` where anyone may send and a next hop believes it; `preserve`, or `promote` \
            without `originators`, for a certificate that all customers of a cloud present. See docs/headers.md.",
    }
    originators: Optional<Patterns> = ["contoso.example"] => {
        absent: "any",
        meaning: "With `headers = \"promote\"`: only fields of these organisations are promoted, as the client names them by \
            `XOORG` at MAIL FROM; those of others are removed.",
        explanation: "All customers of Exchange Online present one certificate; the cloud says by `XOORG` which of them \
            a message comes from. Write your own domains; `\"*\"` means any, which is a warning for such a certificate. Errors: empty; one is listed twice; `headers` is not `promote`.",
    }
    arrival_header: Flag = false => {
        meaning: "Tell the next hop how a message came, in an `Authentication-Results` field with our name.",
        explanation: "It has the connector, the TLS version, why the connector was chosen, the name that the client's certificate \
            proved, and who logged in (RFC 8601); a rule of the next hop can use it. Fields in our name that are there already \
            are removed, even with `headers = \"preserve\"`. Warning: another connector lets fields in our name pass. See docs/headers.md.",
    }
    reveal: Word<Reveal> = "partner" => {
        meaning: "What strangers learn. From a refusal, the client: `full` and `partner`: connector, what was required \
            and what was attained; `code`: the code and a general sentence. From a report that leaves our organisation, \
            the sender: `full`: everything; `partner` and `code`: what happened in general, and codes.",
        explanation: "A client that is refused learns about its own connection, which saves a call from the partner's \
            administrator. It also tells anyone who claims the domain which names and authorities you expect; where \
            that is a secret, write `code` and read the reason in the log. A report that leaves goes to whoever wrote \
            the reverse-path, and names hosts and connectors of yours only with `full`. Which senders are ours: \
            docs/operation.md, \"Reports\".",
    }
    bare_lf: Word<BareLf> = "refuse" => {
        meaning: "How a LF without a CR in content is handled: `refuse` (550 5.6.11); `normalize`: it gets its CR.",
        explanation: "Servers that disagree on where a line ends can be made to see a second message in the first \
            (SMTP smuggling), so bare LF is refused. Some old devices send nothing else: give them a connector of \
            their own with `from_networks` and `normalize`. The end of the content is CRLF.CRLF all the same, and \
            chunks are not changed. Error: `normalize` without `from_networks` that tell the clients apart.",
    }
    lenient: Flag = false => {
        meaning: "Accept commands as old printers and scanners send them: a path without `<>`, an address without a \
            domain, HELO without a name, a blank before a colon.",
        explanation: "An address without a domain, such as `<root>`, gets the name of the `[server]`; a client without a \
            name gets its address. Before MAIL no connector is attributed yet: HELO and MAIL are read so if a lenient \
            connector could admit the client, that is, it is not `off`, its `from_networks` hold, and nobody has logged \
            in but a user of it. If the connector that is then attributed is not lenient, MAIL is refused with 501. RCPT \
            goes by the connector that was attributed. Everything else about a message stays as strict. Give such \
            devices a connector of their own. Error: without `users_file` or `from_networks` that tell the clients apart.",
    }
    message_size: Optional<Size<u64>> = "25MiB" => {
        absent: "`[limits]`",
        meaning: "Maximum content of one message by this connector.",
        explanation: "Warning: more than `[limits]` allows everybody; so it is with `recipients` and `connections`.",
    }
    recipients: Optional<Count<usize>> = 100 => {
        absent: "`[limits]`",
        meaning: "Maximum number of recipients of one message by this connector.",
    }
    messages_per_minute: Optional<Count<u32>> = 600 => {
        meaning: "Maximum number of messages a minute over all its sessions; more are refused with 450.",
    }
    connections: Optional<Count<usize>> = 20 => {
        absent: "`[limits]`",
        meaning: "Maximum number of sessions at the same time that mail comes by; more are refused with 451.",
    }
    brake: Optional<Word<BrakeMode>> = "on" => {
        absent: "`on` with `users_file`; else `alarm` with `kind = \"own\"`; else `off`",
        meaning: "What happens if much more mail, or many more refused recipients, come by it within ten minutes than on the days \
            before: `off`: nothing; `alarm`; `on`: an alarm, and new mail is refused with 451 until the connector is released.",
        explanation: "A stolen password or a device that runs wild shows by its numbers. What is much, `[brake]` says; only mail that \
            this connector admits is counted. What was accepted goes on. `sealpost connectors` shows a braked connector, \
            and `sealpost connectors release NAME` releases it. For your own servers the default is only an alarm, since `on` \
            would stop everybody's mail there. Error: `on` where anyone can be the client, since a stranger could then stop \
            everybody's mail.",
    }
    to_domains: Optional<Patterns> = ["*"] => {
        absent: "nowhere",
        meaning: "Recipient domains it may relay to, written like `from_domains`; `\"*\"` relays anywhere.",
        explanation: "`*` does not cover the null reverse-path where the connector has its own `from_domains` and knows clients only by \
            the name in a certificate: then it goes to domains that some connector names here, as ours are, and to no \
            others. Error: one covers another. Warnings: left out; one that no outbound connector serves; with \
            `onward = \"sealed\"`, one that is not served under forced TLS; an open relay, that is `\"*\"` where neither a login nor networks nor a certificate \
            tells the clients apart. A chain to `system` does not: anyone can get such a certificate; nor does, for `kind = \"own\"`, \
            a name that all customers of a cloud present.",
    }
    recipients_file: Optional<File> = "recipients" => {
        meaning: "The recipients that exist, one a line; `@a.example` stands for every one of a domain.",
        explanation: "Others are refused at RCPT (550 5.1.1), so that no report about them has to be sent later to \
            addresses that are often forged; `postmaster` always exists. It needs something that writes the file, say \
            from the directory, whenever somebody joins; where there is nothing like that, see `verify_recipients`. \
            `#` at its start makes a line a comment. Addresses compare in any case and however they are quoted. The file \
            is read again at a reload, and when it changes. Errors: it can't be read; a line is not an address; it has \
            none, or none in `to_domains`; `to_domains` is empty. Warning: it has none in one of `to_domains`.",
    }
    verify_recipients: Flag = false => {
        meaning: "Ask the next hop at RCPT whether it knows the recipient, and remember what it said.",
        explanation: "The question is MAIL FROM:<> and RCPT TO without content, under the rules of the connector that \
            would carry the mail. What the next hop refuses for good is refused here with its words (550 5.1.1), for ten \
            minutes without asking again; a recipient it takes is remembered for six hours. Nobody has to keep a list, but \
            the first mail to each recipient waits for the answer, and a next hop that accepts everything at RCPT makes \
            it useless: try one unknown address first. A recipient that can't be asked about within 15 seconds, or that \
            is deferred (4yz), is accepted, and so is `postmaster`. Where hosts keep a question waiting for so long, \
            their domain is not asked for a minute. A question goes the way of mail: it counts among the outbound \
            connector's `connections` and is not asked while that is paused or its hosts fail; its recipient is accepted \
            then. Clients that ask about many unknown recipients are deferred (`unknown_recipients`). Error: together \
            with `recipients_file`.",
    }
    protocol_log: Word<ProtocolLogging> = "off" => {
        meaning: "The SMTP dialogue of its sessions, in `data_dir/protocol`: `off`; `errors`: sessions in which something failed; \
            `full`: all.",
        explanation: "Without secrets and content; see [the protocol log](log.md#the-protocol-log). The connector of a session is known \
            only at MAIL. What comes before, a handshake that fails for instance, is logged if any connector asks for it that the client \
            could come by: by listener and `from_networks`.",
    }
    echo: Optional<Flag> = true => {
        absent: "`true` for a partner's connector that tells its clients apart and does not take mail from every domain",
        meaning: "Its clients may use the echo mailbox (`[echo]`), which answers to their reverse-path.",
        explanation: "With `from_domains = [\"*\"]` anyone could have answers sent to anyone, so write `true` there only for networks of \
            your own. Error: `true` without an `[echo]` address.",
    }
}

impl InboundEntry {
    /// Where its domains are written: by themselves, or as those of a partner.
    pub(in crate::config) fn domains_place(&self) -> Option<Range<usize>> {
        self.place("from_domains").or_else(|| self.place("partner"))
    }
}

impl InboundValues {
    /// The connector; `None` if a required key is missing, which has been reported.
    pub(in crate::config) fn connector(&self, tls: InboundTls, lists: &Lists) -> Option<Inbound> {
        let patterns = |found: &Vec<(DomainPattern, _)>| found.iter().map(|(one, _)| one.clone()).collect();
        let (users, recipients) = (self.users_file.as_ref(), self.recipients_file.as_ref());
        Some(Inbound {
            name: self.name.as_ref()?.get_ref().as_str().into(),
            partner: None,
            kind: self.kind,
            listeners: self.listeners.iter().flatten().map(|name| name.get_ref().as_str().into()).collect(),
            except_domains: self.except_domains.as_ref().map(patterns).unwrap_or_default(),
            from_domains: match self.kind {
                ClientKind::Partner => patterns(self.from_domains.as_ref()?),
                ClientKind::Own => Vec::new(),
            },
            from_networks: self.networks(),
            users: users.and_then(|file| lists.users.get(file.get_ref()).cloned()),
            headers: self.headers.unwrap_or(match (self.kind, &tls) {
                // Every customer of a shared cloud presents its certificate, so it doesn't say that the mail is ours.
                (ClientKind::Own, InboundTls::Forced(forced)) if shared_cloud(forced).is_some() => {
                    HeaderHandling::Firewall
                }
                (ClientKind::Own, _) => HeaderHandling::Preserve,
                (ClientKind::Partner, _) => HeaderHandling::Firewall,
            }),
            tls,
            mode: self.mode,
            override_floor: self.override_floor,
            onward: self.onward,
            raise: Vec::new(),
            originators: self.originators.as_ref().map(patterns).unwrap_or_default(),
            arrival_header: self.arrival_header,
            reveal: self.reveal,
            bare_lf: self.bare_lf,
            lenient: self.lenient,
            limits: InboundLimits {
                message_bytes_max: self.message_size,
                recipients_max: self.recipients,
                messages_per_minute_max: self.messages_per_minute,
                connections_max: self.connections,
            },
            brake: self.brake.unwrap_or(match (self.kind, &self.users_file) {
                (_, Some(_)) => BrakeMode::On,
                (ClientKind::Own, None) => BrakeMode::Alarm,
                (ClientKind::Partner, None) => BrakeMode::Off,
            }),
            to_domains: self.to_domains.as_ref().map(patterns).unwrap_or_default(),
            recipients: recipients.and_then(|file| lists.recipients.get(file.get_ref()).cloned()),
            verify_recipients: self.verify_recipients,
            protocol_log: self.protocol_log,
            echo: self.echo,
            revision: Revision::default(),
        })
    }

    /// The networks as a condition.
    pub(in crate::config) fn networks(&self) -> ClientNetworks {
        self.from_networks.iter().flatten().copied().collect()
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
            accept_purpose: self.accept_purpose,
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "inbound",
    header: "[[inbound]]",
    sample_header: "[[inbound]]",
    sample: &[
        ("name", "\"exchange-in\""),
        ("from_domains", "[\"*\"]"),
        ("from_networks", "[\"192.0.2.0/24\"]"),
        ("to_domains", "[\"*\"]"),
    ],
    comment: "Who may hand us mail, under which conditions, for whom. The conditions listed must all hold.",
    intro: "Who may hand us mail, under which conditions, for whom. All conditions that are listed must hold. \
        Connectors of `kind = \"own\"` come first, whatever the reverse-path. The others are ranked by how closely \
        `from_domains` covers the reverse-path: the domain itself, the longest `*.` pattern, `*`. If there is a forced \
        connector at the closest pattern, one such must hold in full, and nothing looser admits the mail; only `*` \
        binds nobody, and the first connector whose conditions hold is taken. Warnings: a connector that can never admit anyone for that reason; a forced \
        domain to which mail goes by a connector that is not forced. Names must differ between all connectors, \
        inbound and outbound. Without any inbound connector no mail is accepted (a warning).",
    reload: true,
    keys: InboundEntry::KEYS,
};
