//! Who an `Authentication-Results` field says has written it (RFC 8601 §2.5). It reads no results.

use super::{Domain, decoded};

/// Whether the value of an `Authentication-Results` field names this server as the one that wrote it, in any spelling:
/// encoded words have no place there, but some readers decode them.
#[must_use]
pub fn claims_to_be(value: &[u8], own: &Domain) -> bool {
    let text = decoded(value);
    let Some(start) = after_comments(&text) else { return false };
    let id = match start.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default().replace('\\', ""),
        None => start.split([';', ' ', '\t', '(']).next().unwrap_or_default().to_owned(),
    };
    let id = id.trim().trim_end_matches('.');
    id.eq_ignore_ascii_case(own.as_str())
        || id.len() <= ID_BYTES_MAX && Domain::parse(id).is_ok_and(|name| name == *own)
}

/// Octets of a name in U-labels: each character of an A-label stands for at most one, of up to four octets.
const ID_BYTES_MAX: usize = 4 * 253;

/// What follows the blanks and comments at the start (RFC 5322 §3.2.2); `None` if a comment does not end.
fn after_comments(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if depth > 0 => escaped = true,
            '(' => depth = depth.saturating_add(1),
            ')' if depth > 0 => depth = depth.saturating_sub(1),
            c if depth > 0 || c.is_whitespace() => {}
            _ => return text.get(at..),
        }
    }
    (depth == 0).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Domain {
        Domain::parse("gw1.contoso.test").expect("a domain")
    }

    #[test]
    fn labels_are_compared_as_domains_are() {
        let own = Domain::parse("gw.m\u{fc}nchen.test").expect("a domain");
        for claim in [
            " gw.xn--mnchen-3ya.test; none",
            " GW.M\u{dc}NCHEN.test; none",
            "=?iso-8859-1?Q?gw.m=FCnchen.test?=;",
        ] {
            assert!(claims_to_be(claim.as_bytes(), &own), "{claim:?}");
        }
        let long = format!("{}; none", "\u{fc}".repeat(100_000));
        assert!(!claims_to_be(long.as_bytes(), &own));
    }

    #[test]
    fn a_claim_to_be_us_is_recognised_however_it_is_written() {
        for claim in [
            " gw1.contoso.test; none",
            " GW1.Contoso.TEST 1; none",
            "\r\n\tgw1.contoso.test;",
            " (a (b) \\) c) gw1.contoso.test;",
            " \"gw1.contoso.test\"; none",
            "gw1.contoso.test",
            " gw1.contoso.test.;",
            " gw1.contoso.test(x);",
            " =?utf-8?Q?gw1.contoso.test?=; x-tls=pass",
            " =?utf-8?B?Z3cxLmNvbg==?=\r\n =?us-ascii?Q?toso=2Etest?= 1; x-tls=pass",
            " \u{ff47}w1.contoso\u{3002}test; none",
        ] {
            assert!(claims_to_be(claim.as_bytes(), &own()), "{claim:?}");
        }
        for other in [
            "",
            " other.test; gw1.contoso.test",
            " x.gw1.contoso.test;",
            " (gw1.contoso.test",
            " gw1.contoso.test.evil.test;",
        ] {
            assert!(!claims_to_be(other.as_bytes(), &own()), "{other:?}");
        }
    }
}
