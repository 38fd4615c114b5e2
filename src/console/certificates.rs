//! Certificates: ours, as partners need to know them, and those that partners showed.

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::outlook::SiteCertificate;
use super::page::{date, page, table};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::Connectors;
use crate::mail::{Clock, rfc3339};
use crate::trace::clean;

/// Ours and theirs.
pub(super) async fn certificates(State(console): State<Console>, visitor: Visitor) -> Response {
    let now = Clock::wall();
    let ours = console.outlook.certificates();
    let Connectors { connectors, .. } = console.control.connectors().await;
    let mut theirs: Vec<_> =
        connectors.iter().flat_map(|one| one.seen.iter().map(move |seen| (one, seen))).collect();
    theirs.sort_by(|(_, a), (_, b)| a.not_after.cmp(&b.not_after));
    let body = html! {
        section aria-labelledby="ours" {
            h2 #ours { "Ours" }
            @if ours.is_empty() { p.empty { "No certificate is configured." } }
            @for one in &ours {
                article.card {
                    h3 { (one.id) }
                    dl.facts {
                        dt { "Names" } dd { (clean(&one.names.join(", "))) }
                        dt { "Issuer" } dd { (clean(&one.issuer)) }
                        dt { "Expires" } dd { (rfc3339(one.not_after)) ", " (date(one.not_after, now)) }
                        dt { "SHA-256" } dd.mono { (one.sha256) }
                        dt { "Pin (SHA-256 of the public key)" } dd.mono { "sha256/" (one.pin) }
                    }
                }
            }
            @if !ours.is_empty() {
                h3 { "To send to a partner" }
                pre #ours-text { (sheet(&ours)) }
                button type="button" data-copy="ours-text" hidden { "Copy" }
            }
        }
        section aria-labelledby="theirs" {
            h2 #theirs { "Theirs" }
            @if theirs.is_empty() { p.empty { "No partner has shown one yet that met a requirement." } } @else {
                (table("Certificates shown by partners, the one that ends first on top", &["Host", "Connector", "Issuer", "Ends", "Seen first", "SHA-256"], &html! {
                    @for (connector, one) in &theirs {
                        tr { th scope="row" { (clean(&one.host)) } td { (connector.name) } td { (clean(&one.issuer)) }
                            td { (one.not_after) } td { (one.since) } td.mono { (one.sha256) } }
                    }
                }))
            }
        }
    };
    page(&visitor, "/certificates", "Certificates", &body)
}

/// What a partner must know of our certificates, as text for a mail.
fn sheet(ours: &[SiteCertificate]) -> String {
    let one = |one: &SiteCertificate| {
        format!(
            "Names:       {}\nIssuer:      {}\nValid:       {} to {}\nSHA-256:     {}\nPublic key:  sha256/{}",
            clean(&one.names.join(", ")),
            clean(&one.issuer),
            rfc3339(one.not_before),
            rfc3339(one.not_after),
            one.sha256,
            one.pin
        )
    };
    ours.iter().map(one).collect::<Vec<_>>().join("\n\n")
}
