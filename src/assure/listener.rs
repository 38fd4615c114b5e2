//! What a listener offers to anybody: TLS, no login in plaintext, no old version, and the certificate of the file.

use super::evidence::{Evidence, EvidenceArea, EvidenceVerdict};
use super::visit::{VisitRecord, VisitedDoor};
use crate::config::Config;
use crate::lab::hybrid::tls11::{OldTlsAnswer, OldTlsVersion};
use crate::listen::settings::ListenerTls;

/// The tests of one address; `false`: there is no session, so nothing else can be tested there.
pub(super) async fn at_listener(door: &VisitedDoor, config: &Config) -> (bool, Vec<Evidence>) {
    let plain = door.visit_in_plaintext(&[], true).await;
    let is_silent = plain.hello.is_none() && door.tls != ListenerTls::Implicit;
    if is_silent {
        let ended = plain.ended.unwrap_or_default();
        let seen = (EvidenceVerdict::Untested, format!("there was no session: {ended}"));
        return (false, vec![stated(door, "it answers", "a session in plaintext", seen)]);
    }
    let mut found =
        vec![stated(door, "no login without TLS", "AUTH PLAIN in plaintext", verdict_on_auth(&plain))];
    if door.tls == ListenerTls::Off {
        let words = "tls = \"off\": it has no TLS, so whatever comes in here comes in plaintext";
        found.push(stated(
            door,
            "TLS is offered",
            "EHLO in plaintext",
            (EvidenceVerdict::Finding, words.to_owned()),
        ));
        return (true, found);
    }
    let sealed = door.visit_over_tls(None, &[]).await;
    found.push(stated(door, "TLS is offered", "a session over TLS", verdict_on_tls(door, (&plain, &sealed))));
    if sealed.certificate.is_some() {
        let (required, done) =
            ("it presents the certificate of the configuration", "compared what it presented");
        found.push(stated(door, required, done, verdict_on_certificate(door, config, &sealed)));
    }
    for version in [OldTlsVersion::V10, OldTlsVersion::V11] {
        let verdict = match door.ask_for(version).await {
            Ok(OldTlsAnswer::Alert(alert)) => {
                (EvidenceVerdict::Held, format!("the handshake ended with the alert {alert}"))
            }
            Ok(OldTlsAnswer::Spoken(version)) => {
                (EvidenceVerdict::Finding, format!("it went on with a handshake of {version}"))
            }
            Err(fault) => (EvidenceVerdict::Untested, format!("there was no answer: {fault}")),
        };
        found.push(stated(door, "TLS 1.2 or later", &format!("a handshake with {version} only"), verdict));
    }
    (true, found)
}

/// The name of a listener and the address.
pub(super) fn subject(door: &VisitedDoor) -> String {
    format!("{} {}", door.listener, door.address)
}

fn stated(
    door: &VisitedDoor,
    required: &str,
    done: &str,
    (verdict, seen): (EvidenceVerdict, String),
) -> Evidence {
    Evidence {
        area: EvidenceArea::Listener,
        subject: subject(door),
        required: required.to_owned(),
        done: done.to_owned(),
        seen,
        verdict,
    }
}

fn verdict_on_auth(plain: &VisitRecord) -> (EvidenceVerdict, String) {
    let Some(hello) = &plain.hello else {
        return (EvidenceVerdict::Held, "no SMTP without TLS".to_owned());
    };
    if hello.split(' ').any(|word| word == "AUTH") {
        return (EvidenceVerdict::Finding, "EHLO in plaintext offers AUTH".to_owned());
    }
    match &plain.auth {
        Some(answer) if answer.code < 400 => {
            (EvidenceVerdict::Finding, format!("AUTH in plaintext is taken: {} {}", answer.code, answer.text))
        }
        Some(answer) => (EvidenceVerdict::Held, format!("refused: {} {}", answer.code, answer.text)),
        None => {
            let ended = plain.ended.as_deref().unwrap_or_default();
            (EvidenceVerdict::Untested, format!("there was no answer: {ended}"))
        }
    }
}

fn verdict_on_tls(
    door: &VisitedDoor,
    (plain, sealed): (&VisitRecord, &VisitRecord),
) -> (EvidenceVerdict, String) {
    let offers = plain.hello.as_ref().is_some_and(|hello| hello.split(' ').any(|word| word == "STARTTLS"));
    match (&sealed.channel, door.tls == ListenerTls::Implicit || offers) {
        (Some(channel), true) => (EvidenceVerdict::Held, channel.clone()),
        (_, false) => (EvidenceVerdict::Finding, "STARTTLS is not offered".to_owned()),
        (None, true) => {
            let ended = sealed.ended.as_deref().unwrap_or_default();
            (EvidenceVerdict::Finding, format!("there was no session over TLS: {ended}"))
        }
    }
}

fn verdict_on_certificate(
    door: &VisitedDoor,
    config: &Config,
    sealed: &VisitRecord,
) -> (EvidenceVerdict, String) {
    let settings = config.listen.listeners.iter().find(|one| one.name == door.listener);
    let ids = settings.map_or(&[][..], |one| &one.certificates);
    let same = |id: &&String| {
        let identity = config.identities.get(*id);
        identity.and_then(|one| one.chain().first()) == sealed.certificate.as_ref()
    };
    match ids.iter().find(same) {
        Some(id) => (EvidenceVerdict::Held, format!("the certificate {id}")),
        None => (EvidenceVerdict::Finding, "another certificate than those of its configuration".to_owned()),
    }
}
