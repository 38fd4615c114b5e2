//! What Exchange writes into a header section when it hands a message on: its cross-premises headers,
//! or the mark that it has removed them. Pure.

use super::cases::SenderMarks;
use super::fields::{RawField, SplitMessage};
use super::hosts::{CLOUD_EDGE, LabHost, OTHER_TENANT, OWN_DOMAIN};

/// The message as an Exchange system hands it to the gateway by a connector for the other side
/// (`CloudServicesMailEnabled`).
#[must_use]
pub fn cross_premises(mut message: SplitMessage, host: LabHost, marks: SenderMarks) -> SplitMessage {
    let (author, originator) = match marks {
        SenderMarks::None => return message,
        SenderMarks::Leaking => return authored(message, &[ORGANIZATION]),
        SenderMarks::Forged => {
            message.fields.insert(0, RawField::new("X-OriginatorOrg", OWN_DOMAIN));
            return authored(message, &[ORGANIZATION, CROSS_PREMISES]);
        }
        SenderMarks::Internal => ("Internal", OWN_DOMAIN),
        SenderMarks::Anonymous => ("Anonymous", OWN_DOMAIN),
        SenderMarks::OtherTenant => ("Internal", OTHER_TENANT),
    };
    message.fields.retain(|field| !is_internal(field) && !field.is_of(CROSS_PREMISES));
    let source = if host == LabHost::Cloud { CLOUD_EDGE } else { host.name() };
    let scl = if author == "Internal" { "-1" } else { "1" };
    let mechanism = if author == "Internal" { "04" } else { "10" };
    let mut fields = vec![
        RawField::new("X-OriginatorOrg", originator),
        RawField::new("X-OrganizationHeadersPreserved", source),
    ];
    let values = [
        ("AuthAs", author),
        ("AuthMechanism", mechanism),
        ("AuthSource", source),
        ("SCL", scl),
        ("messagesource", "StoreDriver"),
    ];
    for (name, value) in values {
        fields.push(RawField::new(&format!("{CROSS_PREMISES}{name}"), value));
    }
    if host == LabHost::Cloud {
        let tenant = format!("{}Id", CROSS_TENANT);
        fields.push(RawField::new(&tenant, "2f1d3c5e-0000-4000-8000-000000000001"));
        fields.push(RawField::new(&format!("{CROSS_TENANT}AuthAs"), author));
        fields.push(RawField::new(&format!("{CROSS_TENANT}FromEntityHeader"), "Hosted"));
    }
    fields.append(&mut message.fields);
    message.fields = fields;
    message
}

/// The message with an internal author, by fields of these families.
fn authored(mut message: SplitMessage, families: &[&str]) -> SplitMessage {
    let fields = families.iter().map(|family| RawField::new(&format!("{family}AuthAs"), "Internal"));
    message.fields = fields.chain(message.fields).collect();
    message
}

/// The message as an Exchange system hands it on by a connector for everybody else: what is only meant
/// for its own organisation is removed, and a mark says so.
#[must_use]
pub fn filtered(mut message: SplitMessage, host: LabHost) -> SplitMessage {
    let before = message.fields.len();
    message.fields.retain(|field| !is_internal(field) && !field.is_of(CROSS_PREMISES));
    if message.fields.len() < before {
        message.fields.insert(0, RawField::new(FILTERED, host.name()));
    }
    message
}

/// The message behind a device that removes what it does not know.
#[must_use]
pub fn stripped(mut message: SplitMessage) -> SplitMessage {
    message.fields.retain(|field| !field.is_of("X-MS-Exchange-"));
    message
}

/// Whether a message has fields that are only meant for its own organisation.
#[must_use]
pub fn has_internal(message: &SplitMessage) -> bool {
    message.fields.iter().any(is_internal) || message.has(CROSS_PREMISES)
}

/// Exchange's own: never to leave the organisation, and never to be believed from outside.
fn is_internal(field: &RawField) -> bool {
    field.is_of(ORGANIZATION) || field.is_of("X-MS-Exchange-Forest-")
}

/// Headers of one organisation.
pub const ORGANIZATION: &str = "X-MS-Exchange-Organization-";
/// The same on their way to the other side.
pub const CROSS_PREMISES: &str = "X-MS-Exchange-CrossPremises-";
const CROSS_TENANT: &str = "X-MS-Exchange-CrossTenant-";
/// What a send connector leaves where it has removed cross-premises headers.
pub const FILTERED: &str = "X-CrossPremisesHeadersFilteredBySendConnector";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(message: &SplitMessage) -> String {
        message.fields.iter().map(RawField::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn headers_leave_as_cross_premises_ones_or_not_at_all() {
        let plain = SplitMessage::parse(b"X-MS-Exchange-Organization-SCL: 9\r\nSubject: x\r\n\r\nbody\r\n");
        let sent = cross_premises(plain.clone(), LabHost::Onprem, SenderMarks::Internal);
        assert_eq!(sent.only("X-MS-Exchange-CrossPremises-AuthAs").as_deref(), Some("Internal"));
        assert_eq!(sent.only("X-OriginatorOrg").as_deref(), Some("contoso.lab.test"));
        assert!(!sent.has(ORGANIZATION));
        assert_eq!(
            names(&filtered(sent.clone(), LabHost::Onprem)),
            format!("{FILTERED} X-OriginatorOrg X-OrganizationHeadersPreserved Subject")
        );
        assert_eq!(names(&filtered(plain.clone(), LabHost::Onprem)), format!("{FILTERED} Subject"));
        assert_eq!(
            names(&cross_premises(plain, LabHost::Onprem, SenderMarks::None)),
            "X-MS-Exchange-Organization-SCL Subject"
        );
        assert_eq!(names(&stripped(sent)), "X-OriginatorOrg X-OrganizationHeadersPreserved Subject");
    }
}
