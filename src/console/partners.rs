//! Partners and connectors: what is required of them in both directions, and how it stands with it.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::deeds;
use super::page::{number, page, table};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ConnectorView, Connectors, PartnerView, refusals_in_words};
use crate::connector::Mode;
use crate::trace::clean;

/// Every partner, and every connector that belongs to none.
pub(super) async fn partners(State(console): State<Console>, visitor: Visitor) -> Response {
    let Connectors { connectors, partners, .. } = console.control.connectors().await;
    let body = html! {
        @if partners.is_empty() {
            p.empty { "No " code { "[[partner]]" } " is configured: connectors are shown one by one." }
        }
        @for partner in &partners { (partner_card(&visitor, partner, &connectors)) }
        @let others: Vec<&ConnectorView> = connectors.iter().filter(|one| one.partner.is_none()).collect();
        @if !others.is_empty() {
            section aria-labelledby="others" {
                h2 #others { "Connectors without a partner" }
                @for connector in others { (connector_card(&visitor, connector)) }
            }
        }
    };
    page(&visitor, "/partners", "Partners", &body)
}

fn partner_card(visitor: &Visitor, partner: &PartnerView, connectors: &[ConnectorView]) -> Markup {
    let own = connectors.iter().filter(|one| one.partner.as_ref() == Some(&partner.name));
    html! {
        section.card aria-label=(partner.name) {
            h2 { (partner.name) }
            p { (partner.domains.join(", ")) }
            @if let Some(contact) = &partner.contact { p { "Contact: " (clean(contact)) } }
            @if let Some(note) = &partner.note { p.hint { (clean(note)) } }
            @if let Some(review) = &partner.review { p.hint { "To be reviewed " (review) } }
            @if !partner.lacks.is_empty() { ul.alarms { @for lack in &partner.lacks { li { (lack) } } } }
            @for connector in own { (connector_card(visitor, connector)) }
        }
    }
}

fn connector_card(visitor: &Visitor, connector: &ConnectorView) -> Markup {
    let ConnectorView { name, direction, mode, .. } = connector;
    html! {
        article.connector {
            h3 { a href=(format!("/connectors/{name}")) { (name) } " " span.tag { (direction.word()) }
                @if *mode != Mode::Enforce { " " span.tag.warn { (mode.word()) } }
                @if connector.paused { " " span.tag.warn { "paused" } }
                @if connector.overridden.is_some() { " " span.tag.warn { "overridden" } }
                @if connector.braked.is_some() { " " span.tag.warn { "braked" } } }
            p { (connector.domains.join(", ")) }
            p.requirement { (connector.requirement) }
            @for one in deeds::unusual(connector) { p.warn { (one) } }
            @for alarm in &connector.alarms { p.bad { (clean(alarm)) } }
            @if let Some(last) = &connector.validated {
                p class=(if last.ok { "good" } else { "bad" }) { "Validated " (last.at) ": " (clean(&last.verdict)) }
            }
            @if let Some(waiting) = connector.waiting.filter(|waiting| *waiting > 0) {
                p { a href=(format!("/queue?connector={name}")) { @if waiting == 1 { "1 recipient waits" } @else { (number(waiting)) " recipients wait" } } }
            }
            @if !connector.refused.is_empty() { p { "Refused since the start: " (refusals_in_words(&connector.refused)) } }
            @if !connector.seen.is_empty() {
                (table("Certificates shown that met the requirement", &["Host", "Issuer", "Ends", "SHA-256"], &html! {
                    @for one in &connector.seen {
                        tr { th scope="row" { (clean(&one.host)) } td { (clean(&one.issuer)) } td { (one.not_after) } td.mono { (one.sha256) } }
                    }
                }))
            }
            p.more { a href=(format!("/trace?connector={name}")) { "Its messages" } }
            (deeds::forms(visitor, connector, "/partners"))
        }
    }
}
