//! Known replies of Exchange Online and Exchange Server about connectors, certificates and their own servers, most
//! specific first. Data only.
//!
//! Sources, unless a row names another: Microsoft, "Email non-delivery reports and SMTP errors in Exchange Online"
//! (learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online).

use super::known::Actor::{Either, They, We};
use super::known::{Hint, KnownReply, code};

const EXO: &str = "Exchange Online";
const SERVER: &str = "Exchange Server";

pub(super) const EXCHANGE: &[KnownReply] = &[
    // learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/relay-access-denied-smtp, and KB3212877.
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["tenantattribution", "relay access denied"],
        hint: Hint {
            token: "exo-relay-denied",
            actor: We,
            advice: "We must let our tenant recognise this relay: an inbound connector there has to name our certificate or \
                     address, we have to present that certificate with all its intermediates (client_certificate), and its \
                     domain or the sender's has to be an accepted domain there.",
        },
        example: "550 5.7.64 TenantAttribution; Relay Access Denied [DB5EUR03FT012.eop-EUR03.prod.protection.outlook.com]",
    },
    // Exchange Team blog, "Introducing more control over Direct Send in Exchange Online".
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["tenantinboundattribution", "direct send"],
        hint: Hint {
            token: "exo-direct-send",
            actor: Either,
            advice: "The tenant takes no mail from its own domain without a connector (RejectDirectSend): its administrators \
                     must create an inbound connector that names this relay's certificate or address.",
        },
        example: "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
    },
    // learn.microsoft.com, "Set up connectors for secure mail flow with a partner organization".
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["tenantinboundattribution"],
        hint: Hint {
            token: "exo-partner-connector",
            actor: Either,
            advice: "A partner connector of the tenant takes this mail only with a certain certificate or from certain \
                     addresses: we must present that certificate (client_certificate), or its administrators must name ours.",
        },
        example: "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the message's recipient domain. The connector had either the RestrictDomainsToIPAddresses or RestrictDomainsToCertificate set",
    },
    // learn.microsoft.com/exchange/troubleshoot/connectors/wrong-office-365-region-exo.
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["wrong office 365 region|attr35"],
        hint: Hint {
            token: "exo-wrong-region",
            actor: We,
            advice: "We must send to the host that the tenant's MX record names: next_hop has an old name of the service or a \
                     fixed address.",
        },
        example: "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35.",
    },
    // Exchange Team blog, "Throttling and Blocking Email from Persistently Vulnerable Exchange Servers".
    KnownReply {
        from: EXO,
        codes: code(7, 230),
        marks: &[],
        hint: Hint {
            token: "exo-outdated-server",
            actor: We,
            advice: "We must update the Exchange Server on our premises that the message came from; the tenant's administrators \
                     can pause this enforcement for up to 90 days of a year.",
        },
        example: "450 4.7.230 Connecting Exchange server version is out-of-date; connection to Exchange Online throttled for 5 mins/hr.",
    },
    KnownReply {
        from: EXO,
        codes: code(4, 8),
        marks: &["mta-sts"],
        hint: Hint {
            token: "mta-sts-mx",
            actor: They,
            advice: "The administrators of the recipient's domain must list all their MX hosts in its MTA-STS policy.",
        },
        example: "450 4.4.8 MX hosts of fabrikam.example failed MTA-STS validation",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 5),
        marks: &["mta-sts"],
        hint: Hint {
            token: "mta-sts-certificate",
            actor: They,
            advice: "The administrators of the recipient's server must give it a public certificate for the name in its MX record.",
        },
        example: "450 4.7.5 Remote certificate failed MTA-STS validation. Reason: UntrustedRoot",
    },
    // Archived Microsoft blog "exchangechallengeaccepted", April 2017; xostmoen.wordpress.com, November 2017.
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["subjectmismatch"],
        hint: Hint {
            token: "exo-subject-mismatch",
            actor: Either,
            advice: "The server behind must present a certificate with the name that the outbound connector expects, on each of \
                     its hosts; or the administrators of that connector must name what it presents.",
        },
        example: "450 4.7.320 Certificate validation failed [Message=SubjectMismatch] [LastAttemptedServerName=mail.contoso.com]",
    },
    // learn.microsoft.com, "450 4.4.317 Cannot connect to remote server"; KB3212877.
    KnownReply {
        from: EXO,
        codes: None,
        marks: &["untrustedroot"],
        hint: Hint {
            token: "exo-untrusted-root",
            actor: Either,
            advice: "The server behind must send its whole chain, since Exchange fetches no intermediates, and the root must be \
                     one that Exchange trusts.",
        },
        example: "454 4.7.0 Failed to establish appropriate TLS channel: UntrustedRoot: Access Denied",
    },
    // KB3212877 has it with UntrustedRoot; without, the certificate was not accepted for the domain (mutual TLS).
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["failed to establish appropriate tls channel"],
        hint: Hint {
            token: "exchange-tls-channel",
            actor: Either,
            advice: "That Exchange Server does not accept how the session is secured: we must present the certificate that it expects, \
                     with its whole chain (client_certificate), or its administrators must correct the connector there.",
        },
        example: "454 4.7.0 Failed to establish appropriate TLS channel: Access Denied",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 320),
        marks: &[],
        hint: Hint {
            token: "exo-certificate-validation",
            actor: Either,
            advice: "The server behind must present a valid certificate with its whole chain and the expected name; or the \
                     administrators of the outbound connector must change what it expects.",
        },
        example: "450 4.7.320 Certificate validation failed",
    },
    // learn.microsoft.com, KB2989382; RFC 3207 §4 has 530 for it.
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["starttls is required to send mail|must issue a starttls command first|must issue starttls"],
        hint: Hint {
            token: "starttls-demanded",
            actor: We,
            advice: "We must use TLS with this host: tls = \"off\" on the connector, or a firewall that hides STARTTLS, is the \
                     usual reason.",
        },
        example: "451 5.7.3 STARTTLS is required to send mail",
    },
    KnownReply {
        from: EXO,
        codes: code(4, 317),
        marks: &[],
        hint: Hint {
            token: "exo-cannot-connect",
            actor: They,
            advice: "Exchange could not set up a session with the server behind it: its administrators should look at that server, \
                     its certificate and the text in brackets.",
        },
        example: "450 4.4.317 Cannot connect to remote server [Message=451 4.4.0 Socket error]",
    },
    KnownReply {
        from: EXO,
        codes: code(4, 316),
        marks: &[],
        hint: Hint {
            token: "exo-connection-refused",
            actor: They,
            advice: "The server behind Exchange refuses connections: its administrators should look at its port and firewall.",
        },
        example: "450 4.4.316 Connection refused [Message=Socket error code 10061]",
    },
    // learn.microsoft.com, "How SMTP DANE works".
    KnownReply {
        from: EXO,
        codes: code(7, 321),
        marks: &[],
        hint: Hint {
            token: "dane-no-starttls",
            actor: They,
            advice: "Their domain publishes TLSA records, so its mail server must offer STARTTLS and complete the handshake; its \
                     administrators must fix that.",
        },
        example: "450 4.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail.",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 322),
        marks: &[],
        hint: Hint {
            token: "dane-certificate-expired",
            actor: They,
            advice: "The administrators of the recipient's server must renew its certificate.",
        },
        example: "450 4.7.322 certificate-expired: Destination mail server's certificate is expired.",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 323),
        marks: &[],
        hint: Hint {
            token: "dane-tlsa-invalid",
            actor: They,
            advice: "The administrators of the recipient's domain must publish TLSA records that match the certificate their server \
                     shows now, usually after a renewal.",
        },
        example: "450 4.7.323 tlsa-invalid: The domain failed DANE validation.",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 324),
        marks: &[],
        hint: Hint {
            token: "dane-dnssec-invalid",
            actor: They,
            advice: "The administrators of the recipient's domain must repair its DNSSEC signatures or the DS record of its parent.",
        },
        example: "450 4.7.324 dnssec-invalid: Destination domain returned invalid DNSSEC records",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 325),
        marks: &[],
        hint: Hint {
            token: "dane-host-mismatch",
            actor: They,
            advice: "The administrators of the recipient's server must give it a certificate for the name in its MX record.",
        },
        example: "450 4.7.325 certificate-host-mismatch: Remote certificate MUST have a common name or subject alternative name matching the hostname (DANE)",
    },
    KnownReply {
        from: EXO,
        codes: code(7, 57),
        marks: &[],
        hint: Hint {
            token: "exo-not-logged-in",
            actor: We,
            advice: "We must log in at this host (auth_user, auth_secret), or send to the tenant's MX host instead, which takes mail \
                     for the tenant's own domains without a login.",
        },
        example: "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM [AM6PR0732BE0065.eurprd07.prod.outlook.com]",
    },
    // learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission.
    KnownReply {
        from: EXO,
        codes: code(7, 139),
        marks: &["authentication unsuccessful"],
        hint: Hint {
            token: "exo-login-disabled",
            actor: Either,
            advice: "The tenant takes no login with a password (SMTP AUTH is off for it or the mailbox, or a policy forbids it): its \
                     administrators must enable it, or we send with a certificate through a connector of the tenant instead.",
        },
        example: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
    },
    KnownReply {
        from: SERVER,
        codes: code(7, 3),
        marks: &["authentication unsuccessful"],
        hint: Hint {
            token: "exchange-login-refused",
            actor: Either,
            advice: "We must correct auth_user or auth_secret; if they are right, the administrators of that server must let the account \
                     log in there (in Exchange Online, enable SMTP AUTH for the mailbox).",
        },
        example: "535 5.7.3 Authentication unsuccessful",
    },
    // Microsoft, "412 4.3.2 Service not active" (learn.microsoft.com/exchange/troubleshoot); yusufustundag.com/tag/hubtransport.
    KnownReply {
        from: SERVER,
        codes: code(3, 2),
        marks: &["service not available|service not active|system not accepting network messages"],
        hint: Hint {
            token: "exchange-not-active",
            actor: They,
            advice: "That Exchange Server is in maintenance, or has no receive connector for our address: its administrators should look \
                     at Get-ServerComponentState (HubTransport, FrontendTransport) and at its receive connectors.",
        },
        example: "421 4.3.2 Service not active",
    },
    // c7solutions.com (PRX2: DNS of the server); pupuweb.com (PRX4: TLS between its services).
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["temporary server error. please try again later", "prx"],
        hint: Hint {
            token: "exchange-proxy",
            actor: They,
            advice: "The front end of that Exchange Server does not reach the transport service behind it: its administrators should \
                     look at its services, DNS servers and certificates.",
        },
        example: "451 4.7.0 Temporary server error. Please try again later. PRX5",
    },
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["proxy session setup failed"],
        hint: Hint {
            token: "exchange-proxy-session",
            actor: They,
            advice: "The front end of that Exchange Server got no session with the server that should take the message: its \
                     administrators should look at that one.",
        },
        example: "450 4.4.101 Proxy session setup failed on Frontend with '451 4.4.0 Primary target IP address responded with: 421 4.2.1 Unable to connect'",
    },
    // learn.microsoft.com/exchange/mail-flow/back-pressure.
    KnownReply {
        from: SERVER,
        codes: None,
        marks: &["insufficient system resources"],
        hint: Hint {
            token: "exchange-back-pressure",
            actor: They,
            advice: "That Exchange Server is short of disk space or memory and takes no mail for the time being: its administrators \
                     should make room.",
        },
        example: "452 4.3.1 Insufficient system resources (UsedDiskSpace[D:])",
    },
];
