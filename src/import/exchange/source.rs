//! Records to typed connectors of Exchange: what each field means there, without a thought of ours.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::fields::{ExportKind, left_over};
use super::record::{ExportRecord, FieldValue};

/// One object of an export.
#[derive(Debug, Clone)]
pub(super) struct ExportObject<T> {
    /// File and name, for messages.
    pub(super) place: String,
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) enabled: bool,
    pub(super) remarks: Vec<Leftover>,
    pub(super) what: T,
}

/// All that was exported.
#[derive(Debug, Default)]
pub(super) struct Organisation {
    pub(super) inbound: Vec<ExportObject<InboundExport>>,
    pub(super) outbound: Vec<ExportObject<OutboundExport>>,
    pub(super) send: Vec<ExportObject<SendExport>>,
    pub(super) receive: Vec<ExportObject<ReceiveExport>>,
    pub(super) hybrid: Vec<ExportObject<HybridExport>>,
    pub(super) accepted: Vec<ExportObject<AcceptedExport>>,
}

/// An inbound connector of Exchange Online.
#[derive(Debug, Clone)]
pub(super) struct InboundExport {
    pub(super) on_premises: bool,
    pub(super) domains: Vec<String>,
    pub(super) require_tls: bool,
    pub(super) by_certificate: bool,
    pub(super) by_address: bool,
    pub(super) certificate: Option<String>,
    pub(super) addresses: Vec<String>,
    pub(super) accepted: Vec<String>,
    pub(super) cloud_services: bool,
}

/// An outbound connector of Exchange Online.
#[derive(Debug, Clone)]
pub(super) struct OutboundExport {
    pub(super) domains: Vec<String>,
    pub(super) all_accepted: bool,
    pub(super) rule_scoped: bool,
    pub(super) via_on_premises: bool,
    pub(super) hosts: Vec<String>,
    pub(super) level: TlsLevel,
    pub(super) tls_domain: Option<String>,
    pub(super) mta_sts: Option<String>,
    pub(super) dane: Option<String>,
    pub(super) cloud_services: bool,
}

/// A send connector of Exchange Server.
#[derive(Debug, Clone)]
pub(super) struct SendExport {
    pub(super) spaces: Vec<AddressSpace>,
    pub(super) hosts: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) ignore_starttls: bool,
    pub(super) require_tls: bool,
    pub(super) domain_secure: bool,
    pub(super) level: TlsLevel,
    pub(super) tls_domain: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) fqdn: Option<String>,
    pub(super) source: Option<String>,
    pub(super) messages: Option<u64>,
    pub(super) login: Option<String>,
    pub(super) cloud_services: bool,
}

/// `SMTP:contoso.example;1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressSpace {
    pub(super) kind: String,
    pub(super) address: String,
    pub(super) cost: u64,
}

/// A receive connector of Exchange Server.
#[derive(Debug, Clone)]
pub(super) struct ReceiveExport {
    pub(super) server: Option<String>,
    pub(super) frontend: bool,
    pub(super) bindings: Vec<String>,
    pub(super) ranges: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) mechanisms: Vec<String>,
    pub(super) require_tls: bool,
    pub(super) domain_secure: bool,
    pub(super) certificate: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) fqdn: Option<String>,
    pub(super) withheld: Vec<&'static str>,
    pub(super) message_size: Option<String>,
    pub(super) recipients: Option<u64>,
    pub(super) connections: Option<u64>,
}

/// What the hybrid wizard remembers.
#[derive(Debug, Clone)]
pub(super) struct HybridExport {
    pub(super) domains: Vec<String>,
    pub(super) features: Vec<String>,
    pub(super) certificate: Option<String>,
}

/// An accepted domain.
#[derive(Debug, Clone)]
pub(super) struct AcceptedExport {
    pub(super) domain: String,
    pub(super) below_too: bool,
    pub(super) is_default: bool,
}

/// What is asked of the other side's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum TlsLevel {
    #[default]
    Unset,
    EncryptionOnly,
    CertificateValidation,
    DomainValidation,
}

impl Organisation {
    /// Sorts records by their kind.
    pub(super) fn read(records: &[ExportRecord]) -> Result<Self, ImportFault> {
        let mut all = Self::default();
        for record in records {
            let Some(kind) = ExportKind::of(record) else {
                let fields: Vec<&str> = record.names().take(6).collect();
                return Err(ImportFault::UnknownObject {
                    file: record.file.clone(),
                    number: record.number,
                    fields: fields.join(", "),
                });
            };
            let read = Reading { record };
            match kind {
                ExportKind::Inbound => all.inbound.push(read.exported(kind, read.inbound()?)?),
                ExportKind::Outbound => all.outbound.push(read.exported(kind, read.outbound()?)?),
                ExportKind::Send => all.send.push(read.exported(kind, read.send()?)?),
                ExportKind::Receive => all.receive.push(read.exported(kind, read.receive()?)?),
                ExportKind::Hybrid => all.hybrid.push(read.exported(kind, read.hybrid()?)?),
                ExportKind::Accepted => all.accepted.push(read.exported(kind, read.accepted()?)?),
            }
        }
        Ok(all)
    }
}

/// Reads the fields of one record.
struct Reading<'a> {
    record: &'a ExportRecord,
}

impl Reading<'_> {
    fn exported<T>(&self, kind: ExportKind, what: T) -> Result<ExportObject<T>, ImportFault> {
        let name = self.record.field("Name").or_else(|| self.record.field("DomainName"));
        Ok(ExportObject {
            place: format!("{} ({})", self.record.place(), kind.cmdlet()),
            name: name.map(FieldValue::text).unwrap_or_default(),
            comment: self.word("Comment")?,
            enabled: self.flag("Enabled", true)?,
            remarks: left_over(kind, self.record),
            what,
        })
    }

    fn inbound(&self) -> Result<InboundExport, ImportFault> {
        Ok(InboundExport {
            on_premises: self.choice("ConnectorType", &["Partner", "OnPremises"])? == Some(1),
            domains: self.list("SenderDomains")?,
            require_tls: self.flag("RequireTls", true)?,
            by_certificate: self.flag("RestrictDomainsToCertificate", false)?,
            by_address: self.flag("RestrictDomainsToIPAddresses", false)?,
            certificate: self.word("TlsSenderCertificateName")?,
            addresses: self.list("SenderIPAddresses")?,
            accepted: self.list("AssociatedAcceptedDomains")?,
            cloud_services: self.flag("CloudServicesMailEnabled", false)?,
        })
    }

    fn outbound(&self) -> Result<OutboundExport, ImportFault> {
        let hosts = self.list("SmartHosts")?;
        let by_mx = self.flag("UseMXRecord", hosts.is_empty())?;
        Ok(OutboundExport {
            domains: self.list("RecipientDomains")?,
            all_accepted: self.flag("AllAcceptedDomains", false)?,
            rule_scoped: self.flag("IsTransportRuleScoped", false)?,
            via_on_premises: self.flag("RouteAllMessagesViaOnPremises", false)?,
            hosts: if by_mx { Vec::new() } else { hosts },
            level: self.level("TlsSettings")?,
            tls_domain: self.word("TlsDomain")?,
            mta_sts: self.word("MtaStsMode")?,
            dane: self.word("SmtpDaneMode")?,
            cloud_services: self.flag("CloudServicesMailEnabled", false)?,
        })
    }

    fn send(&self) -> Result<SendExport, ImportFault> {
        let hosts = self.list("SmartHosts")?;
        let by_dns = self.flag("DNSRoutingEnabled", hosts.is_empty())?;
        Ok(SendExport {
            spaces: self.spaces("AddressSpaces")?,
            hosts: if by_dns { Vec::new() } else { hosts },
            port: self.number("Port")?.and_then(|port| u16::try_from(port).ok()),
            ignore_starttls: self.flag("IgnoreSTARTTLS", false)?,
            require_tls: self.flag("RequireTLS", false)?,
            domain_secure: self.flag("DomainSecureEnabled", false)?,
            level: self.level("TlsAuthLevel")?,
            tls_domain: self.word("TlsDomain")?,
            certificate: self.word("TlsCertificateName")?,
            fqdn: self.word("Fqdn")?,
            source: self
                .word("SourceIPAddress")?
                .filter(|address| !["0.0.0.0", "::"].contains(&address.as_str())),
            messages: self.number("SmtpMaxMessagesPerConnection")?.filter(|most| *most != MESSAGES_USUAL),
            login: self.word("SmartHostAuthMechanism")?.filter(|word| word != "None"),
            cloud_services: self.flag("CloudServicesMailEnabled", false)?,
        })
    }

    fn receive(&self) -> Result<ReceiveExport, ImportFault> {
        let mut withheld = Vec::new();
        for (field, keyword) in WITHHELD {
            if !self.flag(field, true)? {
                withheld.push(*keyword);
            }
        }
        Ok(ReceiveExport {
            server: self.word("Server")?,
            frontend: self.word("TransportRole")?.is_some_and(|role| role.contains("Frontend")),
            bindings: self.list("Bindings")?,
            ranges: self.list("RemoteIPRanges")?,
            groups: self.list("PermissionGroups")?,
            mechanisms: self.list("AuthMechanism")?,
            require_tls: self.flag("RequireTLS", false)?,
            domain_secure: self.flag("DomainSecureEnabled", false)?,
            certificate: self.word("TlsCertificateName")?,
            capabilities: self.list("TlsDomainCapabilities")?,
            fqdn: self.word("Fqdn")?,
            withheld,
            message_size: self.size("MaxMessageSize")?,
            recipients: self.number("MaxRecipientsPerMessage")?,
            connections: self.number("MaxInboundConnection")?.filter(|most| *most != CONNECTIONS_USUAL),
        })
    }

    fn hybrid(&self) -> Result<HybridExport, ImportFault> {
        Ok(HybridExport {
            domains: self.list("Domains")?,
            features: self.list("Features")?,
            certificate: self.word("TlsCertificateName")?,
        })
    }

    fn accepted(&self) -> Result<AcceptedExport, ImportFault> {
        let types = ["Authoritative", "InternalRelay", "ExternalRelay"];
        self.choice("DomainType", &types)?;
        Ok(AcceptedExport {
            domain: self.word("DomainName")?.unwrap_or_default(),
            below_too: self.flag("MatchSubDomains", false)?,
            is_default: self.flag("Default", false)?,
        })
    }

    /// The text of a field; `$null` is none.
    fn word(&self, field: &str) -> Result<Option<String>, ImportFault> {
        let Some(value) = self.record.field(field) else { return Ok(None) };
        if value.is_lost() {
            return Err(ImportFault::Lost {
                place: self.record.place(),
                field: field.to_owned(),
                value: value.text(),
            });
        }
        Ok(Some(value.text()).filter(|text| text != "$null"))
    }

    fn fault(&self, field: &str, value: String, expected: &'static str) -> ImportFault {
        ImportFault::Value { place: self.record.place(), field: field.to_owned(), value, expected }
    }

    fn flag(&self, field: &str, otherwise: bool) -> Result<bool, ImportFault> {
        let Some(word) = self.word(field)? else { return Ok(otherwise) };
        match word.to_ascii_lowercase().as_str() {
            "true" | "$true" | "1" => Ok(true),
            "false" | "$false" | "0" => Ok(false),
            _ => Err(self.fault(field, word, "True or False")),
        }
    }

    fn list(&self, field: &str) -> Result<Vec<String>, ImportFault> {
        let items = match self.record.field(field) {
            Some(FieldValue::Many(items)) if self.word(field)?.is_some() => items.clone(),
            _ => self.word(field)?.into_iter().collect(),
        };
        let apart = |c: char| matches!(c, ',' | ';' | '|') || c.is_whitespace();
        let parts = items.iter().flat_map(|item| item.split(apart)).map(str::trim);
        // `smtp:contoso.com;1` of Exchange Online: the cost is not used there.
        let parts = parts.filter(|part| !part.is_empty() && part.parse::<u32>().is_err());
        let plain = parts.map(|part| {
            let scheme = part.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("smtp:"));
            scheme.and_then(|_| part.get(5..)).unwrap_or(part).trim_matches(['{', '}']).to_owned()
        });
        Ok(plain.filter(|part| !part.is_empty()).collect())
    }

    fn number(&self, field: &str) -> Result<Option<u64>, ImportFault> {
        let Some(word) = self.word(field)? else { return Ok(None) };
        if word.eq_ignore_ascii_case("Unlimited") {
            return Ok(None);
        }
        word.parse().map(Some).map_err(|_| self.fault(field, word, "a number or Unlimited"))
    }

    /// `36 MB (37,748,736 bytes)`: the exact number in brackets.
    fn size(&self, field: &str) -> Result<Option<String>, ImportFault> {
        let Some(word) = self.word(field)? else { return Ok(None) };
        if word.eq_ignore_ascii_case("Unlimited") {
            return Ok(None);
        }
        let inside = word.split_once('(').map_or(word.as_str(), |(_, inside)| inside);
        let digits: String = inside.chars().filter(char::is_ascii_digit).collect();
        let octets: u64 = match digits.parse() {
            Ok(octets) if octets > 0 => octets,
            _ => return Err(self.fault(field, word, "a size such as 36 MB (37,748,736 bytes)")),
        };
        let exact = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = exact.iter().find(|(_, unit)| octets.is_multiple_of(*unit));
        Ok(Some(unit.map_or_else(|| format!("{octets}B"), |(name, unit)| format!("{}{name}", octets / unit))))
    }

    /// Which of these words a field has. JSON may have its number, which says nothing for certain.
    fn choice(&self, field: &str, words: &[&'static str]) -> Result<Option<usize>, ImportFault> {
        let Some(word) = self.word(field)? else { return Ok(None) };
        if word.parse::<i64>().is_ok() {
            return Err(self.fault(field, word, NOT_A_NAME));
        }
        match words.iter().position(|one| one.eq_ignore_ascii_case(&word)) {
            Some(at) => Ok(Some(at)),
            None => Err(self.fault(field, word, "one of the documented words")),
        }
    }

    fn level(&self, field: &str) -> Result<TlsLevel, ImportFault> {
        let words = ["EncryptionOnly", "CertificateValidation", "DomainValidation"];
        Ok(match self.choice(field, &words)? {
            None => TlsLevel::Unset,
            Some(0) => TlsLevel::EncryptionOnly,
            Some(1) => TlsLevel::CertificateValidation,
            Some(_) => TlsLevel::DomainValidation,
        })
    }

    /// Address spaces, whatever they are joined by: a number belongs to the space before it.
    fn spaces(&self, field: &str) -> Result<Vec<AddressSpace>, ImportFault> {
        let Some(word) = self.word(field)? else { return Ok(Vec::new()) };
        let mut spaces: Vec<AddressSpace> = Vec::new();
        let apart = |c: char| matches!(c, ',' | ';' | '|' | '{' | '}') || c.is_whitespace();
        for part in word.split(apart).filter(|part| !part.is_empty()) {
            match (part.parse(), spaces.last_mut()) {
                (Ok(cost), Some(space)) => space.cost = cost,
                _ => {
                    let (kind, address) = part.split_once(':').unwrap_or(("SMTP", part));
                    let kind = if kind.is_empty() { "SMTP" } else { kind }.to_ascii_uppercase();
                    spaces.push(AddressSpace { kind, address: address.to_owned(), cost: 1 });
                }
            }
        }
        Ok(spaces)
    }
}

const NOT_A_NAME: &str =
    "a word; write numbers with their names: ConvertTo-Json -EnumsAsStrings, or Export-Csv";

/// Receive connectors are made with this; `[limits]` has more.
const CONNECTIONS_USUAL: u64 = 5000;

/// Send connectors are made with this.
const MESSAGES_USUAL: u64 = 20;

const WITHHELD: &[(&str, &str)] = &[
    ("PipeliningEnabled", "PIPELINING"),
    ("EightBitMimeEnabled", "8BITMIME"),
    ("ChunkingEnabled", "CHUNKING"),
    ("SmtpUtf8Enabled", "SMTPUTF8"),
    ("DeliveryStatusNotificationEnabled", "DSN"),
];
