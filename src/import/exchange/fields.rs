//! The fields of each object: which become keys of ours, which describe only the object, and which have no counterpart
//! unless they are at their default. A field that is in no table is remarked.

use super::super::remark::Leftover;
use super::record::ExportRecord;

/// Which cmdlet an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExportKind {
    Inbound,
    Outbound,
    Send,
    Receive,
    Hybrid,
    Accepted,
}

/// What happens to a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum ImportFate {
    /// It becomes keys of ours.
    Read,
    /// It describes the object, not its mail.
    Bookkeeping,
    /// No counterpart, and at these values none is needed; otherwise why, and what to do instead.
    Unless(&'static [&'static str], &'static str, &'static str),
}

use ImportFate::{Bookkeeping, Read, Unless};

type FieldTable = &'static [(&'static str, ImportFate)];

impl ExportKind {
    /// Recognises an object by the fields that only its kind has.
    pub(super) fn of(record: &ExportRecord) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|name| record.has(name));
        if has(&["SenderDomains", "TlsSenderCertificateName"]) {
            Some(Self::Inbound)
        } else if has(&["RecipientDomains", "TlsSettings"]) {
            Some(Self::Outbound)
        } else if has(&["AddressSpaces"]) {
            Some(Self::Send)
        } else if has(&["RemoteIPRanges", "Bindings"]) {
            Some(Self::Receive)
        } else if has(&["OnPremisesSmartHost", "ReceivingTransportServers"]) {
            Some(Self::Hybrid)
        } else if has(&["DomainName"]) && has(&["DomainType"]) {
            Some(Self::Accepted)
        } else {
            None
        }
    }

    /// The cmdlet's name.
    pub(super) fn cmdlet(self) -> &'static str {
        match self {
            Self::Inbound => "Get-InboundConnector",
            Self::Outbound => "Get-OutboundConnector",
            Self::Send => "Get-SendConnector",
            Self::Receive => "Get-ReceiveConnector",
            Self::Hybrid => "Get-HybridConfiguration",
            Self::Accepted => "Get-AcceptedDomain",
        }
    }

    pub(super) fn table(self) -> FieldTable {
        match self {
            Self::Inbound => INBOUND,
            Self::Outbound => OUTBOUND,
            Self::Send => SEND,
            Self::Receive => RECEIVE,
            Self::Hybrid => HYBRID,
            Self::Accepted => ACCEPTED,
        }
    }
}

/// The fields that nothing reads and that are not at their default, each with why and what to do instead.
pub(super) fn left_over(kind: ExportKind, record: &ExportRecord) -> Vec<Leftover> {
    let mut remarks = Vec::new();
    for name in record.names() {
        let Some(value) = record.field(name).map(|value| value.text()) else { continue };
        let of = |table: FieldTable| table.iter().find(|(known, _)| *known == name).map(|(_, fate)| *fate);
        let (why, instead) = match of(kind.table()).or_else(|| of(COMMON)) {
            Some(Read | Bookkeeping) => continue,
            Some(Unless(defaults, _, _)) if defaults.iter().any(|one| one.eq_ignore_ascii_case(&value)) => {
                continue;
            }
            Some(Unless(_, why, instead)) => (why, instead),
            None => ("this field is not known to the import", "decide whether it matters to your mail"),
        };
        remarks.push(Leftover::new(name, value, why, instead));
    }
    remarks
}

const OFF: &[&str] = &["False"];
const NEVER: &[&str] = &[];

/// What every object of Exchange has.
const COMMON: FieldTable = &[
    ("@odata.context", Bookkeeping),
    ("@odata.type", Bookkeeping),
    ("AdminDisplayName", Bookkeeping),
    ("Comment", Read),
    ("ConnectorSource", Bookkeeping),
    ("DistinguishedName", Bookkeeping),
    ("ExchangeObjectId", Bookkeeping),
    ("ExchangeVersion", Bookkeeping),
    ("Guid", Bookkeeping),
    ("Id", Bookkeeping),
    ("Identity", Bookkeeping),
    ("IsValid", Bookkeeping),
    ("Name", Read),
    ("ObjectCategory", Bookkeeping),
    ("ObjectClass", Bookkeeping),
    ("ObjectState", Bookkeeping),
    ("OrganizationId", Bookkeeping),
    ("OrganizationalUnitRoot", Bookkeeping),
    ("OriginatingServer", Bookkeeping),
    ("PSComputerName", Bookkeeping),
    ("PSShowComputerName", Bookkeeping),
    ("PSSourceJobInstanceId", Bookkeeping),
    ("ProtocolLoggingLevel", Bookkeeping),
    ("RunspaceId", Bookkeeping),
    ("WhenChanged", Bookkeeping),
    ("WhenChangedUTC", Bookkeeping),
    ("WhenCreated", Bookkeeping),
    ("WhenCreatedUTC", Bookkeeping),
];

const SKIP: &str = "the true source of mail behind a hop is found by Exchange's own filters";
const SKIP_DO: &str = "keep it in Exchange Online, with the address of this gateway";

const INBOUND: FieldTable = &[
    ("AssociatedAcceptedDomains", Read),
    ("CloudServicesMailEnabled", Read),
    ("ConnectorType", Read),
    ("Enabled", Read),
    ("RequireTls", Read),
    ("RestrictDomainsToCertificate", Read),
    ("RestrictDomainsToIPAddresses", Read),
    ("SenderDomains", Read),
    ("SenderIPAddresses", Read),
    ("TlsSenderCertificateName", Read),
    (
        "ClientHostNames",
        Unless(NEVER, "clients are not recognised by their host name", "write from_networks"),
    ),
    ("DetectSenderIPBySkippingLastIP", Unless(OFF, SKIP, SKIP_DO)),
    ("DetectSenderIPBySkippingTheseIPs", Unless(NEVER, SKIP, SKIP_DO)),
    ("DetectSenderIPRecipientList", Unless(NEVER, SKIP, SKIP_DO)),
    ("EFSkipIPs", Unless(NEVER, SKIP, SKIP_DO)),
    ("EFSkipLastIP", Unless(OFF, SKIP, SKIP_DO)),
    ("EFSkipMailGateway", Unless(NEVER, SKIP, SKIP_DO)),
    ("EFTestMode", Unless(OFF, SKIP, SKIP_DO)),
    ("EFUsers", Unless(NEVER, SKIP, SKIP_DO)),
    (
        "ScanAndDropRecipients",
        Unless(NEVER, "mail is not copied to be scanned", "keep it in Exchange Online"),
    ),
    (
        "TreatMessagesAsInternal",
        Unless(OFF, "mail is not marked as internal", "use cross-premises headers, or keep it in Exchange"),
    ),
    (
        "TrustedOrganizations",
        Unless(
            NEVER,
            "other tenants are not trusted by their name",
            "give each a connector with its certificate",
        ),
    ),
];

const OUTBOUND: FieldTable = &[
    ("AllAcceptedDomains", Read),
    ("CloudServicesMailEnabled", Read),
    ("ConnectorType", Bookkeeping),
    ("Enabled", Read),
    ("IsTransportRuleScoped", Read),
    ("RecipientDomains", Read),
    ("RouteAllMessagesViaOnPremises", Read),
    ("SmartHosts", Read),
    ("TlsDomain", Read),
    ("TlsSettings", Read),
    ("UseMXRecord", Read),
    ("MtaStsMode", Read),
    ("SmtpDaneMode", Read),
    (
        "TestMode",
        Unless(OFF, "a test mode would lower the requirement here", "write mode = \"audit\" to rehearse it"),
    ),
    (
        "SenderRewritingEnabled",
        Unless(OFF, "reverse-paths are never rewritten (SRS)", "keep the rewriting in Exchange Online"),
    ),
    ("IsValidated", Bookkeeping),
    ("LastValidationTimestamp", Bookkeeping),
    ("LinkForModifiedConnector", Bookkeeping),
    ("ValidationRecipients", Bookkeeping),
];

const SEND: FieldTable = &[
    ("AddressSpaces", Read),
    ("CloudServicesMailEnabled", Read),
    ("DNSRoutingEnabled", Read),
    ("DomainSecureEnabled", Read),
    ("Enabled", Read),
    ("Fqdn", Read),
    ("IgnoreSTARTTLS", Read),
    ("Port", Read),
    ("RequireTLS", Read),
    ("SmartHosts", Read),
    ("SmartHostAuthMechanism", Read),
    ("SmtpMaxMessagesPerConnection", Read),
    ("SourceIPAddress", Read),
    ("TlsAuthLevel", Read),
    ("TlsCertificateName", Read),
    ("TlsDomain", Read),
    ("AuthenticationCredential", Bookkeeping),
    ("ConnectedDomains", Unless(NEVER, "there are no routing groups", "write its domains")),
    (
        "ConnectionInactivityTimeOut",
        Unless(&["00:10:00"], "timeouts are not set by connector", "see [timeouts]"),
    ),
    ("ConnectorType", Bookkeeping),
    (
        "ErrorPolicies",
        Unless(
            &["Default"],
            "replies and DNS errors are not classified otherwise",
            "see docs/operation.md for what is retried",
        ),
    ),
    (
        "ForceHELO",
        Unless(OFF, "EHLO is always tried first, because TLS needs it", "nothing, if the host answers EHLO"),
    ),
    ("FrontendProxyEnabled", Bookkeeping),
    ("HomeMTA", Bookkeeping),
    ("HomeMtaServerId", Bookkeeping),
    (
        "IsScopedConnector",
        Unless(
            OFF,
            "every server of the site would use another connector",
            "write mode = \"off\" if this gateway is elsewhere",
        ),
    ),
    ("IsSmtpConnector", Unless(&["True"], "only SMTP is spoken", "leave it where it is")),
    (
        "MaxMessageSize",
        Unless(
            &[
                "Unlimited",
                "35 MB (36,700,160 bytes)",
                "25 MB (26,214,400 bytes)",
                "10 MB (10,485,760 bytes)",
            ],
            "outbound connectors have no size limit",
            "write message_size at the inbound connectors, or in [limits]",
        ),
    ),
    ("Region", Bookkeeping),
    (
        "RequireOorg",
        Unless(OFF, "XOORG is not required of the next hop", "nothing, unless the next hop asks for it"),
    ),
    ("SmartHostsString", Bookkeeping),
    ("SourceRoutingGroup", Bookkeeping),
    ("SourceTransportServers", Bookkeeping),
    (
        "UseExternalDNSServersEnabled",
        Unless(OFF, "name servers are the same for all connectors", "write them in servers of [dns]"),
    ),
];

const LIMITS: &str = "this limit is the same for all connectors";
const LIMITS_DO: &str = "see [limits] and [timeouts]";

const RECEIVE: FieldTable = &[
    ("AuthMechanism", Read),
    ("BinaryMimeEnabled", Bookkeeping),
    ("Bindings", Read),
    ("ChunkingEnabled", Read),
    ("DeliveryStatusNotificationEnabled", Read),
    ("EightBitMimeEnabled", Read),
    ("PipeliningEnabled", Read),
    ("SmtpUtf8Enabled", Read),
    ("DomainSecureEnabled", Read),
    ("Enabled", Read),
    ("Fqdn", Read),
    ("MaxInboundConnection", Read),
    ("MaxMessageSize", Read),
    ("MaxRecipientsPerMessage", Read),
    ("PermissionGroups", Read),
    ("RemoteIPRanges", Read),
    ("RequireTLS", Read),
    ("Server", Read),
    ("TlsCertificateName", Read),
    ("TlsDomainCapabilities", Read),
    ("TransportRole", Read),
    ("AcceptConsumerMail", Unless(OFF, "there is no mail of consumers", "leave it in Exchange")),
    (
        "AdvertiseClientSettings",
        Unless(OFF, "clients don't find their settings here", "leave it in Exchange"),
    ),
    ("AuthTarpitInterval", Unless(&["00:00:05", "5 seconds"], LIMITS, LIMITS_DO)),
    ("Banner", Unless(NEVER, "the greeting is always our name", "write name in [server]")),
    ("BareLinefeedRejectionEnabled", Bookkeeping),
    ("ConnectionInactivityTimeout", Unless(&["00:05:00", "00:01:00", "00:10:00"], LIMITS, LIMITS_DO)),
    ("ConnectionTimeout", Unless(&["00:10:00", "00:05:00"], LIMITS, LIMITS_DO)),
    (
        "DefaultDomain",
        Unless(
            NEVER,
            "addresses without a domain are refused",
            "write lenient = true, which adds the server's name",
        ),
    ),
    ("EnableAuthGSSAPI", Unless(OFF, "there is no Kerberos login", "write from_networks or users_file")),
    ("EnhancedStatusCodesEnabled", Unless(&["True"], "enhanced status codes are always sent", "nothing")),
    ("ExtendedProtectionPolicy", Unless(&["None"], "it belongs to Kerberos and NTLM logins", "nothing")),
    ("LiveCredentialEnabled", Unless(OFF, "there are no such logins", "write users_file")),
    ("LongAddressesEnabled", Unless(OFF, "X.400 addresses are not taken", "leave it in Exchange")),
    ("MaxAcknowledgementDelay", Bookkeeping),
    (
        "MaxHeaderSize",
        Unless(
            &["256 KB (262,144 bytes)", "128 KB (131,072 bytes)", "64 KB (65,536 bytes)"],
            LIMITS,
            LIMITS_DO,
        ),
    ),
    ("MaxHopCount", Unless(&["60", "30"], LIMITS, LIMITS_DO)),
    ("MaxInboundConnectionPerSource", Unless(&["20", "Unlimited"], LIMITS, LIMITS_DO)),
    ("MaxInboundConnectionPercentagePerSource", Unless(&["2", "100"], LIMITS, LIMITS_DO)),
    ("MaxLocalHopCount", Unless(&["5", "8", "12"], LIMITS, LIMITS_DO)),
    ("MaxLogonFailures", Unless(&["3"], LIMITS, LIMITS_DO)),
    ("MaxProtocolErrors", Unless(&["5", "Unlimited"], LIMITS, LIMITS_DO)),
    (
        "MessageRateLimit",
        Unless(
            &["Unlimited"],
            "Exchange counts each source, messages_per_minute counts all clients of a connector",
            "write messages_per_minute with a number for all of them",
        ),
    ),
    ("MessageRateSource", Bookkeeping),
    ("OrarEnabled", Unless(OFF, "ORAR is not spoken", "leave it in Exchange")),
    ("ProxyEnabled", Unless(OFF, "sessions are not proxied", "leave it in Exchange")),
    (
        "RejectReservedSecondLevelRecipientDomains",
        Unless(OFF, "to_domains decides which are taken", "nothing"),
    ),
    ("RejectReservedTopLevelRecipientDomains", Unless(OFF, "to_domains decides which are taken", "nothing")),
    ("RejectSingleLabelRecipientDomains", Unless(OFF, "to_domains decides which are taken", "nothing")),
    ("RequireEHLODomain", Unless(OFF, "a name in EHLO is always required", "nothing")),
    ("ServiceDiscoveryFqdn", Unless(NEVER, "clients don't find their settings here", "leave it in Exchange")),
    ("SizeEnabled", Unless(&["Enabled", "EnabledWithoutValue"], "SIZE is always offered", "nothing")),
    ("SuppressXAnonymousTls", Bookkeeping),
    ("TarpitInterval", Unless(&["00:00:05", "00:00:00", "5 seconds"], LIMITS, LIMITS_DO)),
];

const HYBRID_DO: &str = "write it where your gateway needs it";

const HYBRID: FieldTable = &[
    ("Domains", Read),
    ("Features", Read),
    ("TlsCertificateName", Read),
    ("ClientAccessServers", Bookkeeping),
    ("EdgeTransportServers", Unless(NEVER, "this gateway takes their place", "end their subscription later")),
    ("ExternalIPAddresses", Unless(NEVER, "they are addresses of your servers", HYBRID_DO)),
    (
        "OnPremisesSmartHost",
        Unless(NEVER, "it is the host that the cloud sends to", "point its name to this gateway"),
    ),
    ("ReceivingTransportServers", Unless(NEVER, "they are servers behind this gateway", HYBRID_DO)),
    ("SendingTransportServers", Unless(NEVER, "they are servers behind this gateway", HYBRID_DO)),
    ("ServiceInstance", Bookkeeping),
];

const ACCEPTED: FieldTable = &[
    ("Default", Read),
    ("DomainName", Read),
    ("DomainType", Read),
    ("MatchSubDomains", Read),
    ("AddressBookEnabled", Bookkeeping),
    ("AuthenticationType", Bookkeeping),
    ("CanHaveCloudCache", Bookkeeping),
    (
        "CatchAllRecipientID",
        Unless(
            NEVER,
            "recipients are not changed",
            "leave the catch-all in Exchange, which takes every recipient then",
        ),
    ),
    ("DualProvisioningEnabled", Bookkeeping),
    ("EmailOnly", Bookkeeping),
    ("EnableNego2Authentication", Bookkeeping),
    ("ExternallyManaged", Bookkeeping),
    ("FederatedOrganizationLink", Bookkeeping),
    ("InitialDomain", Bookkeeping),
    ("IsCoexistenceDomain", Bookkeeping),
    ("IsDefaultFederatedDomain", Bookkeeping),
    ("LiveIdInstanceType", Bookkeeping),
    ("MailFlowPartner", Bookkeeping),
    ("OutboundOnly", Unless(OFF, "a domain is taken both ways", "remove it from to_domains")),
    ("PendingCompletion", Bookkeeping),
    ("PendingFederatedAccountNamespace", Bookkeeping),
    ("PendingFederatedDomain", Bookkeeping),
    (
        "PendingRemoval",
        Unless(OFF, "the domain is being removed", "remove it from to_domains when it is gone"),
    ),
    ("PerimeterDuplicateDetected", Bookkeeping),
    ("SendingFromDomainDisabled", Unless(OFF, "mail in its name is admitted", "write except_domains")),
    ("SendingToDomainDisabled", Unless(OFF, "mail to it is accepted", "remove it from to_domains")),
];
