//! Known replies by which Exchange Online, Outlook.com and Exchange Server refuse a sender, a recipient or a message, most
//! specific first. Data only.
//!
//! Sources, unless a row names another: Microsoft, "Email non-delivery reports and SMTP errors in Exchange Online"
//! (learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online).

use super::known::Actor::{Either, Nobody, Recipient, Sender, They, We};
use super::known::{Hint, KnownReply, class, code, codes};

const EXO: &str = "Exchange Online";
const SERVER: &str = "Exchange Server";
const OUTLOOK: &str = "Outlook.com";

pub(super) const MICROSOFT: &[KnownReply] = &[
    // support.microsoft.com, "Fix NDR error 550 5.7.515 in Outlook.com".
    KnownReply {
        from: OUTLOOK,
        codes: code(7, 515),
        marks: &[],
        hint: Hint {
            token: "outlook-authentication-level",
            actor: We,
            advice: "We must publish SPF, DKIM and DMARC for the sender's domain, and SPF or DKIM must pass for that same domain.",
        },
        example: "550 5.7.515 Access denied, sending domain contoso.example does not meet the required authentication level.",
    },
    // wordtothewise.com/2017/10/troubleshooting-and-codes; knowledge.broadcom.com article 158195.
    KnownReply {
        from: OUTLOOK,
        codes: None,
        marks: &["part of their network is on our block list|(s3150)|(s3140)"],
        hint: Hint {
            token: "outlook-block-list",
            actor: We,
            advice: "We must find out why our address has a bad name, and then ask Outlook.com's sender support for its removal, \
                     with this whole reply.",
        },
        example: "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).",
    },
    KnownReply {
        from: OUTLOOK,
        codes: code(7, 1),
        marks: &["mailfrom domain is listed in spamhaus"],
        hint: Hint {
            token: "outlook-domain-listed",
            actor: We,
            advice: "We must have the domain of the reverse-path removed from Spamhaus' list, after the reason for it has ended.",
        },
        example: "550 5.7.1 Service unavailable, MailFrom domain is listed in Spamhaus. To request removal from this list see https://www.spamhaus.org/query/lookup/ (S8002)",
    },
    KnownReply {
        from: EXO,
        codes: class(4, 7, 500, 699),
        marks: &[],
        hint: Hint {
            token: "exo-throttled",
            actor: Nobody,
            advice: "Nobody needs to act if it passes within hours, since Exchange Online slows addresses whose traffic has changed; \
                     if it lasts, the tenant's administrators can create an inbound connector that names our address.",
        },
        example: "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712345)",
    },
    KnownReply {
        from: EXO,
        codes: class(4, 7, 850, 899),
        marks: &[],
        hint: Hint {
            token: "exo-suspicious-address",
            actor: Nobody,
            advice: "Nobody needs to act if our traffic is legitimate, since Exchange Online lifts this restriction soon; otherwise \
                     we must find out who sends so much through this relay.",
        },
        example: "451 4.7.850 Access denied, please try again later",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 504),
        marks: &[],
        hint: Hint {
            token: "exo-recipient-invalid",
            actor: Sender,
            advice: "The sender should check the recipient's address, which does not exist there.",
        },
        example: "550 5.7.504 [bob@fabrikam.example]: Recipient address rejected: Access denied",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 505),
        marks: &[],
        hint: Hint {
            token: "exo-banned-recipient",
            actor: They,
            advice: "The recipient is barred from receiving mail: the recipient's administrators have to ask Microsoft about it.",
        },
        example: "550 5.7.505 Access denied, banned recipient",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 506),
        marks: &[],
        hint: Hint {
            token: "exo-bad-helo",
            actor: We,
            advice: "We must greet with a name of our own: ehlo_name, or else the server's name, must not be a name of the host that we send to.",
        },
        example: "550 5.7.506 Access Denied, Bad HELO",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 507),
        marks: &[],
        hint: Hint {
            token: "exo-blocked-by-recipient",
            actor: They,
            advice: "The recipient's organisation blocks our address: its administrators must take it off their list.",
        },
        example: "550 5.7.507 Access denied, rejected by recipient",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 508),
        marks: &[],
        hint: Hint {
            token: "exo-ipv6-rate",
            actor: We,
            advice: "We should send less at once from this IPv6 network, or over IPv4 (address_family).",
        },
        example: "550 5.7.508 Access denied, 2001:db8::1 has exceeded permitted limits within 2001:db8::/64 range",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 509),
        marks: &[],
        hint: Hint {
            token: "exo-dmarc",
            actor: We,
            advice: "The owner of the domain in From asks for rejection by DMARC: SPF or DKIM must pass for that domain, so let \
                     our address into its SPF record or sign with its DKIM key.",
        },
        example: "550 5.7.509 Access denied, sending domain contoso.example does not pass DMARC verification and has a DMARC policy of reject.",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 510),
        marks: &[],
        hint: Hint {
            token: "exo-no-ipv6",
            actor: We,
            advice: "We must send to this domain over IPv4 (address_family = \"ipv4\").",
        },
        example: "550 5.7.510 Access denied, fabrikam.example does not accept email over IPv6",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 511),
        marks: &[],
        hint: Hint {
            token: "exo-banned-address",
            actor: We,
            advice: "We must end what our address was banned for, and then ask delist@microsoft.com for its removal, with this whole \
                     reply.",
        },
        example: "550 5.7.511 Access denied, banned sender[192.0.2.1]. To request removal from this list please forward this message to delist@microsoft.com.",
    },
    KnownReply {
        from: EXO,
        codes: codes(7, 501, 503),
        marks: &[],
        hint: Hint {
            token: "exo-banned-sender",
            actor: We,
            advice: "We must find out who sends spam as this sender, secure that account, and then ask Microsoft's support to lift \
                     the ban.",
        },
        example: "550 5.7.501 Access denied, spam abuse detected",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 512),
        marks: &[],
        hint: Hint {
            token: "exo-from-header",
            actor: Sender,
            advice: "Whoever made the message must give it one From field with a valid address in angle brackets.",
        },
        example: "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 513),
        marks: &[],
        hint: Hint {
            token: "exo-custom-block-list",
            actor: They,
            advice: "The recipient's organisation has our address on a block list of its own: its administrators must remove it.",
        },
        example: "550 5.7.513 Service unavailable, Client host [192.0.2.1] blocked by fabrikam.example using Customer Block list (AS16012607)",
    },
    KnownReply {
        from: EXO,
        codes: codes(7, 606, 649),
        marks: &[],
        hint: Hint {
            token: "exo-banned-ip",
            actor: We,
            advice: "We must end what our address was banned for, and then have it removed in Microsoft's delist portal \
                     (sender.office.com).",
        },
        example: "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 703),
        marks: &[],
        hint: Hint {
            token: "exo-tenant-block-list",
            actor: They,
            advice: "The tenant's administrators must take the recipient off their Tenant Allow/Block List.",
        },
        example: "550 5.7.703 Your message can't be delivered because messages to bob@fabrikam.example are blocked by your organization using Tenant Allow Block List.",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 705),
        marks: &[],
        hint: Hint {
            token: "exo-tenant-threshold",
            actor: We,
            advice: "Our tenant is barred for spam: we must secure the account or server that sent it, and then ask Microsoft's \
                     support to lift the ban.",
        },
        example: "550 5.7.705 Access denied, tenant has exceeded threshold",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 708),
        marks: &[],
        hint: Hint {
            token: "exo-tenant-address",
            actor: We,
            advice: "Exchange Online takes no mail from this address for the tenant, usually a new or suspicious one: its \
                     administrators must ask Microsoft's support.",
        },
        example: "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP. For more information please go to http://go.microsoft.com/fwlink/?LinkId=526653",
    },
    // learn.microsoft.com, "Remove blocked connectors from the Restricted entities page".
    KnownReply {
        from: EXO,
        codes: code(7, 711),
        marks: &[],
        hint: Hint {
            token: "exo-connector-abuse",
            actor: We,
            advice: "Mail that this connector of our tenant took looks like abuse: we must secure the server or account behind it, \
                     and then release the connector on the tenant's page of restricted entities.",
        },
        example: "550 5.7.711 Access denied, bad inbound connector. AS(2204)",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 750),
        marks: &[],
        hint: Hint {
            token: "exo-unregistered-domain",
            actor: We,
            advice: "We must add and verify every domain that we send from in our tenant.",
        },
        example: "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
    },
    KnownReply {
        from: EXO,
        codes: class(5, 7, 800, 899),
        marks: &[],
        hint: Hint {
            token: "exo-banned-domain",
            actor: We,
            advice: "The sender's domain or our EHLO name is barred for spam: we must end that, and then ask Microsoft's support to \
                     lift the ban.",
        },
        example: "550 5.7.800 Access denied, banned sender",
    },
    KnownReply {
        from: EXO,
        codes: code(1, 8),
        marks: &["bad outbound sender"],
        hint: Hint {
            token: "exo-bad-outbound-sender",
            actor: We,
            advice: "We must secure the sender's account, which was restricted for spam, and then release it on the tenant's page of \
                     restricted entities.",
        },
        example: "550 5.1.8 Access denied, bad outbound sender AS(42003)",
    },
    // learn.microsoft.com, "Use Directory-Based Edge Blocking".
    KnownReply {
        from: EXO,
        codes: code(4, 1),
        marks: &["recipient address rejected|recipient addresses rejected"],
        hint: Hint {
            token: "exo-unknown-recipient",
            actor: Either,
            advice: "The sender should check the address; if it exists, the tenant's administrators must create or synchronise it, or \
                     make the domain an internal relay.",
        },
        example: "550 5.4.1 [bob@fabrikam.example]: Recipient address rejected: Access denied. AS(201806281) [AM4EUR.prod.protection.outlook.com]",
    },
    KnownReply {
        from: EXO,
        codes: code(4, 1),
        marks: &["relay access denied"],
        hint: Hint {
            token: "exo-domain-not-accepted",
            actor: They,
            advice: "The domain is not an accepted domain of that tenant: its administrators must add it, or correct its MX record.",
        },
        example: "550 5.4.1 Relay Access Denied",
    },
    KnownReply {
        from: EXO,
        codes: code(1, 10),
        marks: &["recipientnotfound|recipient not found|not found by smtp address lookup"],
        hint: Hint {
            token: "exchange-recipient-not-found",
            actor: Sender,
            advice: "The sender should check the recipient's address, which does not exist there.",
        },
        example: "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@fabrikam.example not found by SMTP address lookup",
    },
    KnownReply {
        from: EXO,
        codes: code(4, 14),
        marks: &[],
        hint: Hint {
            token: "exo-loop",
            actor: Either,
            advice: "The message goes round between Exchange Online and another system: we, or the tenant's administrators, must \
                     correct the connector or the kind of accepted domain that sends it back.",
        },
        example: "554 5.4.14 Hop count exceeded - possible mail loop ATTR34 [DB5EUR03FT012.eop-EUR03.prod.protection.outlook.com]",
    },
    KnownReply {
        from: EXO,
        codes: code(6, 11),
        marks: &[],
        hint: Hint {
            token: "bare-line-feeds",
            actor: Sender,
            advice: "The program that made the message writes line feeds without carriage returns: its owner must correct it, or we \
                     repair its mail with bare_lf = \"normalize\" on the inbound connector.",
        },
        example: "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA",
    },
    KnownReply {
        from: EXO,
        codes: codes(2, 121, 122),
        marks: &[],
        hint: Hint {
            token: "exo-recipient-rate",
            actor: Sender,
            advice: "The sender should send this recipient less mail in an hour.",
        },
        example: "554 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour.",
    },
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["storedrv.deliver", "thread limit exceeded"],
        hint: Hint {
            token: "exo-mailbox-busy",
            actor: Nobody,
            advice: "Nobody needs to act, since the mailbox gets too much mail at once; the message is tried again.",
        },
        example: "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded",
    },
    KnownReply {
        from: EXO,
        codes: code(3, 2),
        marks: &["concurrent connections|concurrent server connections"],
        hint: Hint {
            token: "exo-connections",
            actor: We,
            advice: "We should open fewer connections to this host at once (connections).",
        },
        example: "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit, closing transmission channel. PRX8",
    },
    // ATTR38: bentonow.com/smtp-errors/microsoft/452-4-5-3-attr38.
    KnownReply {
        from: EXO,
        codes: code(5, 3),
        marks: &["attr38"],
        hint: Hint {
            token: "exo-several-regions",
            actor: Nobody,
            advice: "Nobody needs to act: the recipients are in different regions of Exchange Online, and those that were deferred \
                     go in the next transaction.",
        },
        example: "452 4.5.3 Recipients belong to multiple regions ATTR38",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 124),
        marks: &[],
        hint: Hint {
            token: "exo-group-senders",
            actor: They,
            advice: "The owner of the group must add the sender to its allowed senders.",
        },
        example: "550 5.7.124 RESOLVER.RST.RestrictedToGroupPermission; sender not in allowed-senders list",
    },
    KnownReply {
        from: EXO,
        codes: codes(7, 133, 136),
        marks: &[],
        hint: Hint {
            token: "exo-internal-only",
            actor: They,
            advice: "The recipient takes mail of its own organisation only: its administrators can allow senders from outside; if we \
                     are that organisation, our mail must arrive by a connector that makes it internal.",
        },
        example: "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group",
    },
    KnownReply {
        from: EXO,
        codes: codes(7, 12, 13),
        marks: &["not authenticated"],
        hint: Hint {
            token: "exo-own-organisation-only",
            actor: They,
            advice: "The recipient takes mail of its own organisation only: its administrators can allow senders from outside.",
        },
        example: "550 5.7.12 Sender was not authenticated by organization",
    },
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["transport.rules.rejectmessage"],
        hint: Hint {
            token: "exchange-transport-rule",
            actor: They,
            advice: "A mail flow rule of the recipient's organisation refuses the message: its administrators can say why.",
        },
        example: "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy",
    },
    // learn.microsoft.com/exchange/mail-flow/connectors/receive-connectors: the anonymous permission group may not relay.
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["unable to relay"],
        hint: Hint {
            token: "exchange-unable-to-relay",
            actor: Either,
            advice: "That Exchange Server does not take mail for this domain from us: its administrators must add the domain, or a \
                     receive connector that lets our address relay; or we must correct next_hop.",
        },
        example: "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    },
    KnownReply {
        from: EXO,
        codes: code(2, 2),
        marks: &["submission quota exceeded"],
        hint: Hint {
            token: "exo-submission-quota",
            actor: Recipient,
            advice: "The account that forwards or sends has used up its quota for today: its owner must send less, or have the \
                     account checked for abuse.",
        },
        example: "550 5.2.2 Submission quota exceeded",
    },
];
