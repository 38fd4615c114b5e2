//! The page of a package, for people and for paper: one file, with its style in it and nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::scope::ExportScope;
use super::summary::{ExportSummary, PageRows, RunLine, TransferCount, WithheldCount};
use crate::console::{CONSOLE_STYLE, bars, number, table};
use crate::trace::{TracedEvent, clean, said};

/// The whole page.
pub(super) fn page(scope: &ExportScope, summary: &ExportSummary, rows: &PageRows) -> Markup {
    let site = summary.site.as_deref().unwrap_or("the relay");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Mail with " (scope.partner) ", " (summary.from) " to " (summary.to) }
                style { (PreEscaped(CONSOLE_STYLE)) }
            }
            body {
                main {
                    h1 { "How mail with " (scope.partner) " travelled" }
                    p { "From " (summary.from) " to " (summary.to) " (days of UTC), as " b { (site) } " has recorded it. Made at " (summary.made_at) "." }
                    (in_short(summary))
                    @if !rows.days.is_empty() { section aria-label="By day" { h2 { "By day" } (bars(&rows.days)) } }
                    (requirements(summary))
                    (withheld(summary))
                    (lowered(summary))
                    (runs(summary))
                    (messages(summary, &rows.events))
                    (left_out(summary))
                    (broken(summary))
                    (proof(summary))
                }
            }
        }
    }
}

fn in_short(summary: &ExportSummary) -> Markup {
    let figure = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    let share = |count: &TransferCount| {
        let all = count.over_tls.saturating_add(count.plaintext);
        count
            .over_tls
            .saturating_mul(100)
            .checked_div(all)
            .map_or_else(|| "–".to_owned(), |share| format!("{share} %"))
    };
    let all = |count: &TransferCount| number(count.over_tls.saturating_add(count.plaintext));
    html! {
        dl.figures {
            (figure("Messages in", all(&summary.inbound))) (figure("of these over TLS", share(&summary.inbound)))
            (figure("Deliveries out", all(&summary.outbound))) (figure("of these over TLS", share(&summary.outbound)))
            (figure("Refused or withheld", number(summary.withheld.iter().map(|one| one.count).sum())))
        }
    }
}

fn requirements(summary: &ExportSummary) -> Markup {
    html! {
        section {
            h2 { "What is required" }
            p.hint { "By the configuration at the time when this was made. What was required of each message is with the message." }
            (table("Connectors", &["Direction", "Connector", "Mode", "Requirement"], &html! {
                @for one in &summary.connectors {
                    tr { td { (one.direction) } th scope="row" { (one.name) } td { (one.mode) } td.why { (one.requirement) } }
                }
            }))
        }
    }
}

fn withheld(summary: &ExportSummary) -> Markup {
    html! {
        section {
            h2 { "What was refused or withheld" }
            @if summary.withheld.is_empty() { p.empty { "Nothing was: every session was as required." } }
            @else { (counts("Refused or withheld", &summary.withheld)) }
        }
    }
}

fn counts(caption: &str, counts: &[WithheldCount]) -> Markup {
    table(
        caption,
        &["Connector", "Reason", "#How often", "First", "Last"],
        &html! {
            @for one in counts {
                tr { th scope="row" { (one.connector) } td { (one.reason) } td.n { (number(one.count)) } td { (one.first) } td { (one.last) } }
            }
        },
    )
}

fn lowered(summary: &ExportSummary) -> Markup {
    html! {
        section {
            h2 { "Overrides and audit" }
            @if summary.overrides.is_empty() { p { "No requirement was overridden." } }
            @else {
                (table("Overrides", &["At", "Connector", "What"], &html! {
                    @for one in &summary.overrides {
                        tr { td { (one.at) @if one.began_before { " (began before)" } } th scope="row" { (one.connector) } td.why { (clean(&one.what)) } }
                    }
                }))
            }
            @if summary.waived.is_empty() { p { "No session passed because a connector was only in audit." } }
            @else {
                p { "These sessions did not meet the requirement, and passed because the connector was in audit." }
                (counts("Let pass in audit", &summary.waived))
            }
        }
    }
}

fn runs(summary: &ExportSummary) -> Markup {
    let what = |one: &RunLine| match (one.program.as_deref(), one.after_stop) {
        (None, _) => "stopped in order".to_owned(),
        (Some(program), Some(false)) => format!(
            "started: {}; the run before was not stopped in order, and what happened in its last second may be missing",
            clean(program)
        ),
        (Some(program), Some(true) | None) => format!("started: {}", clean(program)),
    };
    html! {
        section {
            h2 { "When the relay ran" }
            @if summary.runs.is_empty() { p { "It was neither started nor stopped in these days." } }
            @else {
                (table("Starts and stops", &["At", "What"], &html! {
                    @for one in &summary.runs { tr { td { (one.at) } td.why { (what(one)) } } }
                }))
            }
        }
    }
}

fn messages(summary: &ExportSummary, events: &[TracedEvent]) -> Markup {
    html! {
        section {
            h2 { "Event by event" }
            @if events.is_empty() { p.empty { "There was no mail with this partner in these days." } }
            @else {
                (table("Events", &["At", "Message", "What", "Required", "Attained"], &html! {
                    @for event in events {
                        tr { td { time { (event.at) } } td.mono { (event.id.as_deref().unwrap_or("–")) } td.why { (said(event)) }
                            td { (event.decision.as_ref().map(|one| clean(&one.required)).unwrap_or_default()) }
                            td.why { (event.decision.as_ref().map(|one| clean(&one.attained)).unwrap_or_default()) } }
                    }
                }))
                @if summary.events > u64::try_from(events.len()).unwrap_or(u64::MAX) {
                    p { "These are the first " (number(u64::try_from(events.len()).unwrap_or_default())) " of " (number(summary.events)) " events; " code { "events.csv" } " has all." }
                }
            }
        }
    }
}

fn left_out(summary: &ExportSummary) -> Markup {
    let out = &summary.left_out;
    html! {
        section {
            h2 { "What this does not show" }
            ul {
                @if out.arrivals > 0 { li { (number(out.arrivals)) " messages went to others as well. How they came in is left out, since that names the others." } }
                @if out.of_others > 0 { li { (number(out.of_others)) " events of this partner's messages are left out, since they name others: mail that was handed to another connector, and how mail from this partner went on." } }
                @if out.not_sealed > 0 { li { (number(out.not_sealed)) " events of the last day, of all partners together, are not sealed yet and are left out." } }
                @if out.removed > 0 { li { (number(out.removed)) " events of these days, of all partners together, were removed by the site's rules for keeping them, which is itself recorded." } }
                @if out.dropped > 0 { li { (number(out.dropped)) " events of these days, of all partners together, could not be recorded: the disk was full or failed. That is itself recorded." } }
                li { "A message to this partner is shown from the first attempt to deliver it on." }
                li { "Refusals of strangers in a flood are counted, and not all recorded one by one." }
                li { "The record says what the relay saw and did. Who holds the signing key at the time can write what he likes; what is written can't be changed later without being found." }
            }
        }
    }
}

fn broken(summary: &ExportSummary) -> Markup {
    html! {
        @if !summary.breaks.is_empty() {
            section {
                h2 { "Where the record is broken" }
                p { "The events of these days are as they were sealed. Elsewhere, the record of the site is not whole; verifying this package names the same places among the statements." }
                ul { @for one in &summary.breaks { li { (clean(one)) } } }
            }
        }
    }
}

fn proof(summary: &ExportSummary) -> Markup {
    html! {
        section {
            h2 { "How to verify it" }
            p { "Each event in " code { "events.jsonl" } " is a leaf of a Merkle tree (RFC 9162) with its path to the root. The root is in a signed statement in " code { "statements.jsonl" } "; each statement names the hash of the one before, and each key the one after it (Ed25519, RFC 8032). So nothing can be altered, and the first key is all that has to be trusted. " code { "manifest.json" } " has the hash of each file of this package, also of this page; the key of the day on which it was made signs that (" code { "manifest.sig" } ")." }
            p { "The statements are those of the whole record, so they also say how many events the site had in each hour, of whatever partner." }
            ol {
                li { "Compare the fingerprint of the first key with what the site gave you by another way: " @if let Some(key) = &summary.first_key { code { (key) } } }
                li { "Run " code { "python3 verify.py FINGERPRINT" } " in this folder. It needs Python and OpenSSL 3, and is short enough to be read. Or run " code { "sealpost evidence verify --package FOLDER --key FINGERPRINT" } "." }
                @if summary.stamped > 0 {
                    li { "Statements that close a day have time stamps of an authority (RFC 3161) in " code { "stamps" } ". With its certificates: " code { "openssl ts -verify -data stamps/N.json -in stamps/N.tsr -CAfile authority.pem" } "." }
                }
                @if let Some(last) = &summary.last {
                    li { "Keep the hash of the last statement, number " (last.number) " of " (last.at) ": " code { (last.hash) } ". A later package must contain it; " code { "--statement" } " compares it, as does " code { "python3 verify.py FINGERPRINT HASH" } "." }
                }
            }
        }
    }
}
