//! The TLS report as a document of its own, for a mail, a file and paper. It takes nothing from elsewhere, and leads nowhere.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::DayOfMail;
use super::reports::{ReportPlace, whole};
use super::routes::CONSOLE_STYLE;
use crate::mail::{UnixMillis, rfc3339};
use crate::trace::{Sum, SumKey, TlsReport};

/// What is above a report.
#[derive(Debug, Clone, Copy)]
pub struct PaperTitle<'a> {
    /// The relay.
    pub site: &'a str,
    /// The partner that it is about; `None`: about all mail.
    pub partner: Option<&'a str>,
    /// When it was made.
    pub made: UnixMillis,
}

/// The report that the sums of these days make. One about all mail has a sheet for each partner as well.
#[must_use]
pub fn report_document(sums: &[(SumKey, Sum)], days: (i64, i64), title: &PaperTitle<'_>) -> String {
    let of_all = |_: &&str| title.partner.is_none();
    let partners: BTreeSet<&str> = sums.iter().map(|(key, _)| key.partner.as_str()).filter(of_all).collect();
    let partners: Vec<&str> = partners.into_iter().filter(|name| !name.is_empty()).collect();
    let heading = match title.partner {
        Some(partner) => format!("TLS report: {partner}"),
        None => "TLS report".to_owned(),
    };
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light";
                title { (heading) " – " (title.site) }
                style { (PreEscaped(CONSOLE_STYLE)) (PreEscaped(PAPER)) }
            }
            body { main {
                h1 { (heading) }
                p.hint { "Relay " (title.site) ", made on " (rfc3339(title.made)) "." }
                (sheet(sums, days, ReportPlace::Paper { prefix: String::new(), of_one: title.partner.is_some() }))
                @for (number, partner) in partners.iter().enumerate().take(SHEETS_MAX) {
                    @let theirs: Vec<_> = sums.iter().filter(|(key, _)| key.partner == *partner).cloned().collect();
                    div.sheet {
                        h1 { (partner) }
                        (sheet(&theirs, days, ReportPlace::Paper { prefix: format!("p{number}-"), of_one: true }))
                    }
                }
                @if partners.len() > SHEETS_MAX {
                    p.hint { "Of " (partners.len() - SHEETS_MAX) " more partners there is no sheet here; write report_to for them." }
                }
            } }
        }
    };
    document.into_string()
}

fn sheet(sums: &[(SumKey, Sum)], days: (i64, i64), place: ReportPlace) -> Markup {
    whole(&TlsReport::of(sums, days), &DayOfMail::all(sums, days), &place)
}

/// Partners that have a sheet in one document.
const SHEETS_MAX: usize = 200;
/// What paper needs beside the style of the pages.
const PAPER: &str = "@page { size: A4; margin: 16mm 14mm; } main { padding-block: 1rem; } .sheet { break-before: page; margin-top: 3rem; } \
                     @media print { .sheet { margin-top: 0; } main { padding: 0; } h2 { break-after: avoid; } tr { break-inside: avoid; } }";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{EventKind, RequiredQuality, TlsQuality};

    #[test]
    fn each_partner_has_a_sheet_and_what_others_wrote_is_text() {
        let of = |partner: &str| {
            let key = SumKey {
                day: 20_000,
                inbound: false,
                connector: "out".to_owned(),
                partner: partner.to_owned(),
                domain: "<script>.test".to_owned(),
                kind: EventKind::Deferred,
                reason: "no-starttls".to_owned(),
                requirement: RequiredQuality::Forced,
                version: String::new(),
                quality: TlsQuality::NoSession,
            };
            (key, Sum { messages: 3, ..Sum::default() })
        };
        let sums = [of("bank"), of("clinic"), of("")];
        let title = PaperTitle { site: "gw.test", partner: None, made: UnixMillis(0) };
        let document = report_document(&sums, (20_000, 20_006), &title);
        assert_eq!(document.matches("class=\"sheet\"").count(), 2);
        assert!(!document.contains("<script") && !document.contains("href="), "{document}");
        let ids: Vec<&str> =
            document.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        let of_one = PaperTitle { partner: Some("bank"), ..title };
        assert!(!report_document(&sums[..1], (20_000, 20_006), &of_one).contains("class=\"sheet\""));
    }
}
