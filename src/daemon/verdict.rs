//! What the trial of a connector comes to: a sentence, who has to fix what is wrong, and what each address presented.

use crate::admin::Validation;
use crate::connector::{ChainFault, Outbound, Shortfall, pin_text};
use crate::deliver::HostReport;
use crate::mail::{Clock, rfc3339, unmoved};

/// What a trial found, as it is kept.
#[must_use]
pub fn verdict(
    connector: &Outbound,
    (seen, trouble): (&[HostReport], Option<&str>),
    to: Option<String>,
) -> Validation {
    let good = seen.iter().filter(|host| host.ok).count();
    let (ok, text) = if let Some(trouble) = trouble {
        (false, format!("no host to try: {trouble}"))
    } else if good == seen.len() {
        (true, format!("all {good} addresses meet what connector {} demands", connector.name))
    } else {
        let first = seen.iter().find(|host| !host.ok).map_or("", |host| host.reason.as_str());
        let rest = if good > 0 { "; mail goes by the others" } else { "; no mail would be sent" };
        (false, format!("{good} of {} addresses will do: {first}{rest}", seen.len()))
    };
    let advice = seen.iter().find(|host| !host.ok).map_or("", advice);
    let revision = connector.revision.to_string();
    let verdict = format!("{text}. {advice}").trim_end().to_owned();
    Validation { at: rfc3339(Clock::wall()), to, revision, verdict, ok }
}

/// Who has to fix it.
fn advice(host: &HostReport) -> &'static str {
    if let Some(hint) = host.hint {
        return hint.advice;
    }
    if host.recipient.is_some() {
        return "The partner can say why; or the recipient does not exist.";
    }
    let Some(decision) = &host.decision else {
        return "Look at the path first: DNS, routing, firewalls, the port.";
    };
    let Some(shortfall) = decision.shortfall() else { return NEITHER };
    match shortfall {
        Shortfall::NotOffered => {
            "The partner can fix it, or whoever runs a firewall on the path that removes STARTTLS."
        }
        Shortfall::Refused(_) | Shortfall::Handshake(_) | Shortfall::SessionLost(_) | Shortfall::Unproved => {
            "The partner can fix it; they need the time of this attempt to find it in their log."
        }
        Shortfall::Chain { fault: ChainFault::Expired | ChainFault::NotYetValid, .. }
        | Shortfall::Revoked => "The partner can fix it with a new certificate.",
        Shortfall::Name { .. } => {
            "We can fix it, if these are the names of the partner's hosts: write them as peer_names; else the partner."
        }
        Shortfall::Chain { fault: ChainFault::UnknownIssuer, .. } => {
            "The partner can fix it by sending the whole chain; or we can, if its authority was agreed on: add it to trust."
        }
        Shortfall::Pin { dated: false, .. } => {
            "We can fix it once the partner has confirmed its new key over another channel: add its pin."
        }
        Shortfall::NotTried
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Chain { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Profile(..)
        | Shortfall::Pin { dated: true, .. }
        | Shortfall::Subject { .. }
        | Shortfall::RevocationUnknown(_)
        | Shortfall::NotForClients
        | Shortfall::Onward => NEITHER,
    }
}

/// Everything that one address presented.
#[must_use]
pub fn host_details(seen: &HostReport) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |heading: &'static str, text: String| lines.push((heading, text));
    if let Some(banner) = &seen.banner {
        line("greeted with", unmoved(banner, ' ').collect());
    }
    if let Some(decision) = &seen.decision {
        line("required", decision.required.to_string());
        line("token", decision.token().into_owned());
        line("attained", decision.attained.to_string());
        if let Some(tls) = decision.tls() {
            line("SNI", tls.sni.clone().unwrap_or_else(|| "none sent".to_owned()));
            if let Some(certificate) = tls.certificate() {
                line("subject", certificate.subject.clone());
                line("presents", certificate.names_text());
                line("issuer", certificate.issuer.clone());
                line("pin", pin_text(&certificate.spki));
                for other in &certificate.beside {
                    let until = rfc3339(other.not_after);
                    line(
                        "beside it",
                        format!("{}, issued by {}, until {until}", other.subject, other.issuer),
                    );
                }
                line("root", certificate.root.clone().unwrap_or_else(|| "none known".to_owned()));
                for (set, status) in &certificate.revocation {
                    line("revocation", format!("by {set}: {}", status.in_words()));
                }
            }
        }
    }
    if let Some(reply) = &seen.recipient {
        line("recipient", reply.to_string());
    }
    if let Some(hint) = seen.hint {
        line("hint", hint.to_string());
    }
    line("so", format!("{}{}", if seen.ok { "" } else { "NO: " }, seen.reason));
    lines
}

const NEITHER: &str = "The partner can fix it, or we can, if the connector demands what was never agreed.";
