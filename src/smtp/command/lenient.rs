//! Command lines as old printers and scanners send them, rewritten to what they mean. Whether a client may send such
//! lines, its connector says.

use std::net::IpAddr;

use crate::mail::{Domain, MailboxDomain, is_postmaster};

/// The line that a client must have meant by one that is no command: HELO or EHLO without a name, a path without
/// brackets, an address without a domain, a blank before the colon. An address gets the domain `ours`, a client the
/// name of its address. `None`: it is not one of these.
pub fn meant(line: &[u8], ours: &Domain, client: IpAddr) -> Option<Vec<u8>> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let is = |word: &str| verb.eq_ignore_ascii_case(word);
    let meant = match (is("HELO") || is("EHLO"), is("MAIL"), is("RCPT")) {
        (true, _, _) if argument.trim().is_empty() => format!("{verb} {}", MailboxDomain::Literal(client)),
        (_, true, _) => format!("MAIL FROM:{}", path(argument, "FROM", ours)?),
        (_, _, true) => format!("RCPT TO:{}", path(argument, "TO", ours)?),
        _ => return None,
    };
    Some(meant.into_bytes())
}

/// `<path> parameters`, whatever was left out of it.
fn path(argument: &str, keyword: &str, ours: &Domain) -> Option<String> {
    let (head, rest) = argument.trim_start().split_at_checked(keyword.len())?;
    let rest = rest.trim_start().strip_prefix(':').filter(|_| head.eq_ignore_ascii_case(keyword))?.trim();
    let (path, parameters) = match rest.strip_prefix('<') {
        // Quotes are for what is sent as it should be.
        Some(inner) if !inner.contains('"') => inner.split_once('>')?,
        Some(_) => return None,
        None => rest.split_once(' ').unwrap_or((rest, "")),
    };
    let path = path.trim();
    if path.contains(['<', '>', '"', ' ']) || path.is_empty() && !rest.starts_with('<') {
        return None;
    }
    let has_domain = path.is_empty() || path.contains('@') || is_postmaster(path);
    let whole = if has_domain { path.to_owned() } else { format!("{path}@{ours}") };
    let parameters = parameters.trim_start();
    Some(format!("<{whole}> {parameters}").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::Command;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let ours = Domain::parse("gw1.contoso.example").expect("a domain");
        let meant = meant(line.as_bytes(), &ours, [192, 0, 2, 7].into());
        let text = meant.as_ref().map(|line| String::from_utf8_lossy(line).into_owned());
        assert_eq!(text.as_deref(), expected, "{line}");
        assert!(meant.is_none_or(|line| Command::parse(&line).is_ok()), "{line}");
    }

    #[test]
    fn what_devices_mean_is_a_command() {
        check("HELO", Some("HELO [192.0.2.7]"));
        check("ehlo  ", Some("ehlo [192.0.2.7]"));
        check("MAIL FROM:scan@b.example", Some("MAIL FROM:<scan@b.example>"));
        check("mail from: scan@b.example SIZE=7", Some("MAIL FROM:<scan@b.example> SIZE=7"));
        check("MAIL FROM : <scan@b.example>  SIZE=7", Some("MAIL FROM:<scan@b.example> SIZE=7"));
        check("MAIL FROM:< scan@b.example >", Some("MAIL FROM:<scan@b.example>"));
        check("MAIL FROM:<root>", Some("MAIL FROM:<root@gw1.contoso.example>"));
        check("MAIL FROM:root", Some("MAIL FROM:<root@gw1.contoso.example>"));
        check("MAIL FROM: < >", Some("MAIL FROM:<>"));
        check("RCPT TO:ann@b.example", Some("RCPT TO:<ann@b.example>"));
        check("RCPT TO: postmaster", Some("RCPT TO:<postmaster>"));
        check("RCPT TO:<ann> NOTIFY=NEVER", Some("RCPT TO:<ann@gw1.contoso.example> NOTIFY=NEVER"));
    }

    #[test]
    fn what_leaves_a_doubt_is_none() {
        for line in [
            "HELO x",
            "NOOP",
            "MAIL",
            "MAIL FROM:",
            "MAIL FROM:<a@b.example",
            "MAIL FROM:a b@c.example>",
            "MAIL FROM:\"a b\"@c.example",
            "MAIL FROM:a>@b.example",
            "RCPT FROM:a@b.example",
            "MAIL TO:a@b.example",
        ] {
            let ours = Domain::parse("gw1.contoso.example").expect("a domain");
            let meant = meant(line.as_bytes(), &ours, [192, 0, 2, 7].into());
            assert!(meant.is_none_or(|line| Command::parse(&line).is_err()), "{line}");
        }
    }
}
