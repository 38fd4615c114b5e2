//! Known replies of any host: words that many servers use, then codes of the IANA registry "SMTP Enhanced Status Codes",
//! most specific first. Data only.

use super::known::Actor::{Either, Nobody, Recipient, Sender, They, We};
use super::known::{Hint, KnownReply, class, code};

const ANY: &str = "any host";
const LIST: &str = "block lists";
const POSTFIX: &str = "Postfix";

pub(super) const GENERAL: &[KnownReply] = &[
    // RFC 6647; postgrey and others.
    KnownReply {
        from: ANY,
        codes: None,
        marks: &["greylist|graylist|grey-list|gray-list"],
        hint: Hint {
            token: "greylisted",
            actor: Nobody,
            advice: "Nobody needs to act: the host lets a sender that it does not know try again after some minutes.",
        },
        example: "450 4.2.0 <bob@fabrikam.example>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/fabrikam.example.html",
    },
    // Postfix, postconf(5): reject_unknown_client_hostname, reject_unknown_reverse_client_hostname.
    KnownReply {
        from: POSTFIX,
        codes: None,
        marks: &[
            "cannot find your hostname|cannot find your reverse hostname|fix reverse dns|no reverse dns|bad reverse dns|no ptr record",
        ],
        hint: Hint {
            token: "no-ptr",
            actor: We,
            advice: "We must give our sending address a PTR record, and the name in it an address record that leads back.",
        },
        example: "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
    },
    // Postfix, postconf(5): reject_unknown_helo_hostname, reject_invalid_helo_hostname.
    KnownReply {
        from: POSTFIX,
        codes: None,
        marks: &["helo command rejected|invalid helo|bad helo"],
        hint: Hint {
            token: "bad-helo",
            actor: We,
            advice: "We must greet with a name that has an address record (ehlo_name, or the server's name).",
        },
        example: "450 4.7.1 <gw1.contoso.example>: Helo command rejected: Host not found",
    },
    // Postfix, postconf(5): reject_unknown_sender_domain.
    KnownReply {
        from: POSTFIX,
        codes: None,
        marks: &["sender address rejected", "domain not found|domain of sender"],
        hint: Hint {
            token: "sender-domain-unknown",
            actor: We,
            advice: "We must publish MX or address records for the domain of the reverse-path, or correct the program that sends with it.",
        },
        example: "450 4.1.8 <ann@internal.contoso.example>: Sender address rejected: Domain not found",
    },
    // Postfix, smtpd_relay_restrictions; Sendmail, "Relaying denied".
    KnownReply {
        from: ANY,
        codes: None,
        marks: &[
            "relay access denied|relaying denied|relay not permitted|not permitted to relay|relaying not allowed|relay denied",
        ],
        hint: Hint {
            token: "relay-denied",
            actor: Either,
            advice: "The host takes no mail for this domain from us: we must correct next_hop or log in there, or its administrators \
                     must add the domain, or the MX record is wrong.",
        },
        example: "554 5.7.1 <bob@fabrikam.example>: Relay access denied",
    },
    // Postfix, postconf(5): reject_unverified_recipient.
    KnownReply {
        from: POSTFIX,
        codes: code(1, 1),
        marks: &["unverified address|undeliverable address"],
        hint: Hint {
            token: "recipient-not-verified",
            actor: They,
            advice: "The host asked the server behind it about the recipient, and quotes the answer: its administrators should look at \
                     that server, or the sender at the address.",
        },
        example: "450 4.1.1 <bob@fabrikam.example>: Recipient address rejected: unverified address: Address verification in progress",
    },
    KnownReply {
        from: ANY,
        codes: None,
        marks: &[
            "too many connections|too many concurrent|too many sessions|concurrent connections|concurrent server connections",
        ],
        hint: Hint {
            token: "too-many-connections",
            actor: We,
            advice: "We should open fewer connections to this host at once (connections).",
        },
        example: "421 4.7.0 mx.fabrikam.example Error: too many connections from 192.0.2.1",
    },
    // uceprotect.net, backscatterer.org: listed for reports and verifications, not for spam.
    KnownReply {
        from: LIST,
        codes: None,
        marks: &["backscatterer"],
        hint: Hint {
            token: "listed-backscatter",
            actor: We,
            advice: "Our address is listed for reports or address checks that went to strangers: we must refuse unknown recipients at \
                     once (recipients_file, verify_recipients), and the entry ends by itself.",
        },
        example: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using ips.backscatterer.org; Sorry 192.0.2.1 is blacklisted at http://www.backscatterer.org/",
    },
    KnownReply {
        from: LIST,
        codes: None,
        marks: &[
            "blocked using|listed at|listed by|is listed in|is listed on|is blacklisted|is blocklisted|dnsbl|a block list|our block list|a blocklist|our blocklist|in blocklist|by blocklist|a blacklist|our blacklist|in blacklist|by blacklist|spamcop.net|abusix|uceprotect",
        ],
        hint: Hint {
            token: "listed",
            actor: We,
            advice: "Our address or domain is on the block list that the reply names: we must find out why and end that, and then have \
                     it removed there.",
        },
        example: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net; Blocked - see https://www.spamcop.net/bl.shtml?192.0.2.1",
    },
    // RFC 7489 §10.3.
    KnownReply {
        from: ANY,
        codes: None,
        marks: &[
            " dmarc |dmarc policy|dmarc check|dmarc fail|dmarc verif|dmarc valid|dmarc eval|dmarc reject|by dmarc|failed dmarc|pass dmarc",
        ],
        hint: Hint {
            token: "dmarc",
            actor: We,
            advice: "The owner of the domain in From asks for rejection by DMARC: SPF or DKIM must pass for that domain, so let our \
                     address into its SPF record or sign with its DKIM key.",
        },
        example: "550 5.7.1 Email rejected per DMARC policy for contoso.example",
    },
    // RFC 7208 §8.4, and codes 23 and 24 of RFC 7372.
    KnownReply {
        from: ANY,
        codes: None,
        marks: &[
            "spf check|spf fail|spf record|spf policy|spf unauthorized|sender policy framework|not permitted by spf|spf validation",
        ],
        hint: Hint {
            token: "spf",
            actor: We,
            advice: "We must let our address into the SPF record of the reverse-path's domain; forwarded mail needs a reverse-path of ours.",
        },
        example: "550 5.7.23 The message was rejected because of Sender Policy Framework violation -> 550 5.7.1 SPF unauthorized mail is prohibited.",
    },
    KnownReply {
        from: ANY,
        codes: code(7, 23),
        marks: &[],
        hint: Hint {
            token: "spf-failed",
            actor: We,
            advice: "We must let our address into the SPF record of the reverse-path's domain; forwarded mail needs a reverse-path of ours.",
        },
        example: "550 5.7.23 policy violation",
    },
    KnownReply {
        from: ANY,
        codes: code(7, 24),
        marks: &[],
        hint: Hint {
            token: "spf-record",
            actor: We,
            advice: "The owner of the reverse-path's domain must repair its SPF record, which can't be evaluated.",
        },
        example: "451 4.7.24 the record can't be evaluated",
    },
    // RFC 7372 §3.1.
    KnownReply {
        from: ANY,
        codes: code(7, 20),
        marks: &[],
        hint: Hint {
            token: "dkim",
            actor: We,
            advice: "We must sign mail of the sender's domain with DKIM, and nothing on the way may change it afterwards.",
        },
        example: "550 5.7.20 no valid DKIM signature found",
    },
    // RFC 7372 §3.3; Exchange Online uses it for IPv6.
    KnownReply {
        from: ANY,
        codes: code(7, 25),
        marks: &[],
        hint: Hint {
            token: "reverse-dns",
            actor: We,
            advice: "We must give our sending address a PTR record, and the name in it an address record that leads back; or send over \
                     an address family that has them (address_family).",
        },
        example: "550 5.7.25 Access denied, the sending IPv6 address [2001:db8::1] must have a reverse DNS record",
    },
    KnownReply {
        from: ANY,
        codes: code(7, 26),
        marks: &[],
        hint: Hint {
            token: "authentication-failed",
            actor: We,
            advice: "We must let our address into the SPF record of the sender's domain, or sign its mail with DKIM; over IPv6 many \
                     hosts take none without.",
        },
        example: "450 4.7.26 Access denied, a message sent over IPv6 [2001:db8::1] must pass either SPF or DKIM validation, this message is not signed",
    },
    // RFC 7505 §4.2.
    KnownReply {
        from: ANY,
        codes: code(7, 27),
        marks: &[],
        hint: Hint {
            token: "sender-null-mx",
            actor: We,
            advice: "The domain of the reverse-path says that it takes no mail (null MX), so no report could be sent: its owner must \
                     change that, or we send with another reverse-path.",
        },
        example: "550 5.7.27 Sender address has null MX",
    },
    // IANA registry: "mail flood detected".
    KnownReply {
        from: ANY,
        codes: code(7, 28),
        marks: &[],
        hint: Hint {
            token: "mail-flood",
            actor: We,
            advice: "We should send to this host more slowly (messages_per_minute), and look for whoever sends so much.",
        },
        example: "450 4.7.28 mail flood detected",
    },
    // RFC 8689 §5.
    KnownReply {
        from: ANY,
        codes: code(7, 30),
        marks: &[],
        hint: Hint {
            token: "requiretls",
            actor: They,
            advice: "The message asks for TLS all the way, and a host behind this one does not support that: its administrators must \
                     enable REQUIRETLS there.",
        },
        example: "550 5.7.30 REQUIRETLS support required",
    },
    // RFC 5248 §2.4; a relay like this one.
    KnownReply {
        from: ANY,
        codes: code(7, 10),
        marks: &[],
        hint: Hint {
            token: "encryption-needed",
            actor: We,
            advice: "We must send mail of this sender over TLS: tls must not be \"off\" on the connector, and no firewall may remove STARTTLS.",
        },
        example: "550 5.7.10 contoso.example must be sent over TLS",
    },
    // RFC 3207 §4: also when the server has no usable certificate.
    KnownReply {
        from: ANY,
        codes: class(4, 7, 0, 0),
        marks: &[
            "454 ",
            "tls not available|tls is not available|tls unavailable|tls is unavailable|tls currently|tls temporarily|tls is temporarily|tls is currently",
        ],
        hint: Hint {
            token: "tls-unavailable",
            actor: They,
            advice: "Their server offers STARTTLS and can't use it at the moment, usually for lack of a readable certificate: its \
                     administrators must repair that.",
        },
        example: "454 4.7.0 TLS not available due to local problem",
    },
    // RFC 4954 §6.
    KnownReply {
        from: ANY,
        codes: class(5, 7, 8, 8),
        marks: &["535 "],
        hint: Hint {
            token: "login-refused",
            actor: We,
            advice: "We must correct auth_user or auth_secret; or their administrators must enable SMTP logins for that account.",
        },
        example: "535 5.7.8 Username and Password not accepted",
    },
    KnownReply {
        from: ANY,
        codes: None,
        marks: &["authentication required|must be authenticated|530 5.7.0 authentication"],
        hint: Hint {
            token: "login-demanded",
            actor: We,
            advice: "We must log in at this host (auth_user, auth_secret), or send to the domain's MX hosts instead.",
        },
        example: "530 5.7.0 Authentication required",
    },
    KnownReply {
        from: ANY,
        codes: code(4, 6),
        marks: &[],
        hint: Hint {
            token: "loop",
            actor: Either,
            advice: "The message goes round between two systems: we, or their administrators, must correct the forwarding, connector or \
                     MX record that sends it back.",
        },
        example: "554 5.4.6 Hop count exceeded - possible mail loop",
    },
    KnownReply {
        from: ANY,
        codes: None,
        marks: &["too many hops|mail loop|routing loop|hop count exceeded"],
        hint: Hint {
            token: "loop-without-code",
            actor: Either,
            advice: "The message goes round between two systems: we, or their administrators, must correct the forwarding, connector or \
                     MX record that sends it back.",
        },
        example: "554 5.0.0 Too many hops, possible mail loop",
    },
    // RFC 3463 §3.4.
    KnownReply {
        from: ANY,
        codes: class(5, 3, 4, 4),
        marks: &[],
        hint: Hint {
            token: "too-large",
            actor: Sender,
            advice: "The sender must make the message smaller, since it exceeds what the host takes.",
        },
        example: "552 5.3.4 Message size exceeds fixed limit",
    },
    // RFC 3463 §3.3.
    KnownReply {
        from: ANY,
        codes: code(2, 2),
        marks: &[],
        hint: Hint {
            token: "mailbox-full",
            actor: Recipient,
            advice: "The recipient must make room in the mailbox.",
        },
        example: "552 5.2.2 Mailbox full",
    },
    // RFC 3463 §3.6.
    KnownReply {
        from: ANY,
        codes: code(5, 3),
        marks: &[],
        hint: Hint {
            token: "too-many-recipients",
            actor: Nobody,
            advice: "Nobody needs to act: those that the host did not take go in the next transaction (max_recipients makes them smaller).",
        },
        example: "452 4.5.3 Too many recipients",
    },
];
