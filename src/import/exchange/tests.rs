//! Every field of every table has an effect or a remark; what cannot be understood ends the import.

use super::super::sketch::{Disk, Wishes};
use super::super::{NamedOctets, Translation};
use super::fields::{ExportKind, ImportFate};
use super::translate;

/// A disk without a file.
struct NoDisk;

impl Disk for NoDisk {
    fn is_file(&self, _: &str) -> bool {
        false
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("no {path}"))
    }
}

fn wishes() -> Wishes {
    Wishes { certificate_dir: "/tls".to_owned(), data_dir: "/data".to_owned(), ..Wishes::default() }
}

fn import(json: &str) -> Result<Translation, String> {
    let file = NamedOctets { name: "x.json".to_owned(), octets: json.as_bytes().to_vec() };
    translate(&[file], &wishes(), &NoDisk).map_err(|fault| fault.to_string())
}

const ACCEPTED: &str = r#"{"Name":"c","DomainName":"contoso.example","DomainType":"Authoritative"}"#;

fn base(kind: ExportKind) -> &'static str {
    match kind {
        ExportKind::Inbound => {
            r#""Name":"i","SenderDomains":["fabrikam.example"],"ConnectorType":"Partner","RequireTls":true,
               "TlsSenderCertificateName":"mail.fabrikam.example","SenderIPAddresses":["192.0.2.1"]"#
        }
        ExportKind::Outbound => {
            r#""Name":"o","RecipientDomains":["fabrikam.example"],"SmartHosts":["mail.fabrikam.example"],"UseMXRecord":false,
               "TlsSettings":"DomainValidation""#
        }
        ExportKind::Send => {
            r#""Name":"s","AddressSpaces":["SMTP:fabrikam.example;1"],"SmartHosts":["mail.fabrikam.example"],
               "DNSRoutingEnabled":false"#
        }
        ExportKind::Receive => {
            r#""Name":"r","Bindings":["0.0.0.0:25"],"RemoteIPRanges":["192.0.2.0/24"],"PermissionGroups":"AnonymousUsers",
               "AuthMechanism":"None","Server":"EX1","TransportRole":"FrontendTransport""#
        }
        ExportKind::Hybrid => r#""OnPremisesSmartHost":null"#,
        ExportKind::Accepted => r#""DomainName":"b.example","DomainType":"InternalRelay""#,
    }
}

/// A value that is neither the default nor what the base has.
fn unusual(field: &str) -> &'static str {
    match field {
        "ConnectorType" => r#""OnPremises""#,
        "TlsSettings" | "TlsAuthLevel" => r#""CertificateValidation""#,
        "DomainType" => r#""Unheard""#,
        "AddressSpaces" => r#"["SMTP:other.example;7"]"#,
        "AuthMechanism" => r#""Tls, ExternalAuthoritative""#,
        "PermissionGroups" => r#""ExchangeUsers""#,
        "TransportRole" => r#""HubTransport""#,
        "Server" => r#""EX2""#,
        "Bindings" => r#"["0.0.0.0:2525"]"#,
        "RemoteIPRanges" | "SenderIPAddresses" => r#"["198.51.100.1"]"#,
        "SourceIPAddress" => r#""198.51.100.1""#,
        "Features" => r#"["CentralizedTransport"]"#,
        "TlsDomainCapabilities" => r#""mail.cloud.example:AcceptCloudServicesMail""#,
        "MtaStsMode" | "SmtpDaneMode" => r#""Mandatory""#,
        "MaxMessageSize" => r#""9 MB (9,437,184 bytes)""#,
        "Port" | "SmtpMaxMessagesPerConnection" | "MaxInboundConnection" | "MaxRecipientsPerMessage" => "77",
        "SmartHostAuthMechanism" => r#""BasicAuth""#,
        "Enabled"
        | "RequireTls"
        | "PipeliningEnabled"
        | "EightBitMimeEnabled"
        | "ChunkingEnabled"
        | "SmtpUtf8Enabled"
        | "DeliveryStatusNotificationEnabled" => "false",
        "CloudServicesMailEnabled"
        | "RestrictDomainsToCertificate"
        | "RestrictDomainsToIPAddresses"
        | "AllAcceptedDomains"
        | "IsTransportRuleScoped"
        | "RouteAllMessagesViaOnPremises"
        | "UseMXRecord"
        | "DNSRoutingEnabled"
        | "DomainSecureEnabled"
        | "IgnoreSTARTTLS"
        | "RequireTLS"
        | "Default"
        | "MatchSubDomains" => "true",
        _ => r#""unusual.example""#,
    }
}

/// What the base must have besides, for a field to matter.
fn besides(kind: ExportKind, field: &str) -> &'static str {
    match (kind, field) {
        (ExportKind::Send, "DomainSecureEnabled") => r#","SmartHosts":null,"DNSRoutingEnabled":true"#,
        // A back end is left out only beside a front end of the same server.
        (ExportKind::Receive, "TransportRole" | "Server") => {
            r#"},{"Name":"f","Bindings":["0.0.0.0:25"],"RemoteIPRanges":["192.0.2.0/24"],"Server":"EX1",
               "PermissionGroups":"AnonymousUsers","AuthMechanism":"None","TransportRole":"FrontendTransport""#
        }
        _ => "",
    }
}

#[test]
fn every_field_has_an_effect_or_a_remark() {
    use ExportKind::{Accepted, Hybrid, Inbound, Outbound, Receive, Send};
    let mut silent = Vec::new();
    for kind in [Inbound, Outbound, Send, Receive, Hybrid, Accepted] {
        for (field, fate) in kind.table() {
            let said = |value: Option<&str>| {
                let value = value.map(|value| format!(r#","{field}":{value}"#)).unwrap_or_default();
                let made = import(&format!("[{ACCEPTED},{{{}{value}{}}}]", base(kind), besides(kind, field)));
                made.map_or_else(|fault| fault, |made| format!("{}{:?}", made.text, made.remarks))
            };
            let (plain, changed) = (said(None), said(Some(unusual(field))));
            match fate {
                ImportFate::Bookkeeping => assert_eq!(plain, changed, "{field}"),
                ImportFate::Unless(..) => assert!(changed.contains("NOT IMPORTED"), "{field}: {changed}"),
                ImportFate::Read if plain == changed => silent.push(format!("{kind:?} {field}")),
                ImportFate::Read => {}
            }
        }
    }
    // The first server of a kind is like any other one.
    silent.retain(|one| one != "Receive Server");
    assert!(silent.is_empty(), "without effect: {silent:?}");
}

#[test]
fn defaults_are_not_remarked_and_unknown_fields_are() {
    let with = |more: &str| {
        import(&format!("[{ACCEPTED},{{{}{more}}}]", base(ExportKind::Outbound))).expect("imported")
    };
    let plain = with("").remarks.len();
    assert_eq!(
        with(r#","TestMode":false,"IsValidated":true,"Guid":"x","SenderRewritingEnabled":"False""#)
            .remarks
            .len(),
        plain
    );
    let unknown = with(r#","NewInNextYear":{"a":1}"#);
    let remark = unknown.remarks.iter().find(|one| one.remark.setting == "NewInNextYear").expect("a remark");
    assert_eq!(
        remark.to_string(),
        "x.json: o (Get-OutboundConnector): NewInNextYear = @{a}: this field is not known to the import; decide whether it \
         matters to your mail"
    );
}

#[test]
fn what_is_not_understood_ends_the_import() {
    let check = |json: &str, expected: &str| assert_eq!(import(json).expect_err("a fault"), expected);
    check(
        r#"{"Name":"o","RecipientDomains":"a.example","TlsSettings":3}"#,
        "x.json: o: TlsSettings is \"3\", which is not a word; write numbers with their names: ConvertTo-Json -EnumsAsStrings, \
         or Export-Csv",
    );
    check(
        r#"{"Name":"i","SenderDomains":"System.String[]"}"#,
        "x.json: i: SenderDomains is \"System.String[]\": the export has lost its value; export again with ConvertTo-Json \
         -Depth 4, or join the list: Select-Object *,@{n='SenderDomains';e={$_.SenderDomains -join ','}} -ExcludeProperty \
         SenderDomains",
    );
    check(
        r#"{"Name":"i","SenderDomains":"a.example","RequireTls":"maybe"}"#,
        "x.json: i: RequireTls is \"maybe\", which is not True or False",
    );
    check(
        r#"{"Name":"i","SenderDomains":"a.*.example"}"#,
        "x.json: i (Get-InboundConnector): SenderDomains is \"a.*.example\", which is not a domain, *.domain or *",
    );
    check(
        r#"{"Name":"m","PrimarySmtpAddress":"a@a.example"}"#,
        "x.json: object 1: is not from Get-InboundConnector, Get-OutboundConnector, Get-SendConnector, Get-ReceiveConnector, \
         Get-HybridConfiguration or Get-AcceptedDomain; its fields are Name, PrimarySmtpAddress",
    );
}
