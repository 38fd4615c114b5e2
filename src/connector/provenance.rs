//! The field that tells the next hop how a message came (RFC 8601). It writes none into a message.

use super::decision::{Decision, Ruling};
use super::facts::TlsFacts;
use super::name::first_match;
use super::requirement::Require;
use super::table::Inbound;
use crate::mail::Domain;

/// The `Authentication-Results` field for a message that an inbound connector took, with CRLF at the end of each line.
/// `user` is who logged in.
#[must_use]
pub fn arrival_field(
    own: &Domain,
    connector: &Inbound,
    decision: &Decision,
    (tls, user): (Option<&TlsFacts>, Option<&str>),
) -> String {
    // RFC 8601 §2.7.7: results that no document defines begin with x-, and properties of ours are in `policy`.
    let connector_name = value(&connector.name);
    let mut field = format!("Authentication-Results: {own};\r\n\t");
    match tls {
        None => field.push_str(&format!("x-tls=none policy.connector={connector_name}")),
        Some(facts) => {
            let version = value(&facts.version.to_string());
            field.push_str(&format!("x-tls=pass policy.connector={connector_name} policy.tls={version}"));
        }
    }
    field.push_str(&format!(" policy.by={}", value(&decision.token())));
    if let Some(name) = verified_name(connector, decision, tls) {
        field.push_str(&format!("\r\n\t policy.name={}", value(&name)));
    }
    if let Some(user) = user {
        field.push_str(&format!(";\r\n\tauth=pass smtp.auth={}", value(user)));
    }
    field.push_str("\r\n");
    field
}

/// The name in the client's certificate for which the connector admitted it.
fn verified_name(connector: &Inbound, decision: &Decision, tls: Option<&TlsFacts>) -> Option<String> {
    let forced = connector.forced()?;
    let Require::Identity { names, .. } = &forced.require else { return None };
    // Audit mode may have waived it.
    if !matches!(decision.ruling, Ruling::Attributed(_)) {
        return None;
    }
    let presented = tls?.certificate()?.names_or_common_name(forced.allow_cn);
    first_match(names, &presented).map(ToString::to_string)
}

/// A value of a property: a token, or a quoted string (RFC 8601 §2.2, RFC 2045 §5.1).
fn value(text: &str) -> String {
    let is_token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b);
    if !text.is_empty() && text.bytes().all(is_token) {
        return text.to_owned();
    }
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\".contains(c) || c == ' ' { c } else { '?' };
    format!("\"{}\"", text.chars().take(VALUE_CHARS_MAX).map(plain).collect::<String>())
}

/// Characters of a value that is quoted.
const VALUE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connector::samples::{facts, identity, inbound, shown};
    use crate::connector::{Admission, ChainVerdict, Channel, Generation, InboundTls, Table, User, admit};
    use crate::mail::ReversePath;

    fn own() -> Domain {
        Domain::parse("gw1.contoso.test").expect("a domain")
    }

    #[track_caller]
    fn check(connector: &str, tls: bool, user: Option<&str>, expected: &str) {
        let forced = || InboundTls::Forced(identity(&["mail.p.test"]));
        let connectors = vec![
            inbound("open one", &["open.test"], InboundTls::Opportunistic),
            inbound("forced", &["forced.test"], forced()),
        ];
        let table = Table::new(Generation(1), connectors, Vec::new());
        let facts = tls.then(|| facts(shown(&["mail.p.test", "p.test"], ChainVerdict::Trusted))).flatten();
        let channel = Channel { tls: facts.clone(), ..Channel::new([192, 0, 2, 1].into()) };
        let path = ReversePath::parse(&format!("a@{connector}.test")).expect("a path");
        let Admission::Admitted(admitted) = admit(&table, &channel, &path) else { panic!("it is admitted") };
        let user = user.map(|name| Arc::new(User::supposed(name, &table)));
        let user = user.as_ref().map(|user| &*user.name);
        let field = arrival_field(&own(), &admitted.connector, &admitted.decision, (facts.as_deref(), user));
        assert_eq!(field.replace("\r\n", "|"), expected);
    }

    #[test]
    fn the_field_says_how_mail_came() {
        let start = "Authentication-Results: gw1.contoso.test;|\t";
        check(
            "forced",
            true,
            None,
            &format!(
                "{start}x-tls=pass policy.connector=forced policy.tls=TLSv1.3 policy.by=by-certificate|\t policy.name=mail.p.test|"
            ),
        );
        check(
            "open",
            true,
            None,
            &format!(
                "{start}x-tls=pass policy.connector=\"open one\" policy.tls=TLSv1.3 policy.by=by-domain|"
            ),
        );
        check(
            "open",
            false,
            Some("a\r\nX: \"ü"),
            &format!(
                "{start}x-tls=none policy.connector=\"open one\" policy.by=by-domain;|\tauth=pass smtp.auth=\"a??X: ??\"|"
            ),
        );
    }
}
