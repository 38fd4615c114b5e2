//! Takes out of a reply what it only repeats: addresses, and names between angle brackets. Somebody chose their words, and
//! they say nothing about why mail was refused.

/// The text with each address, and each name between angle brackets, as a mere `<>`. What is between `<` and `>` with a space
/// or a URL in it is no address, and stays.
pub(super) fn without_addresses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        let after = rest.as_str();
        match next {
            '<' => match path_end(after) {
                Some(end) => {
                    kept.push_str("<>");
                    rest = after.get(end..).unwrap_or_default().chars();
                }
                None => kept.push(next),
            },
            '@' => {
                kept.truncate(local_start(&kept));
                kept.push_str("<>");
                rest = after.get(domain_octets(after)..).unwrap_or_default().chars();
            }
            _ => kept.push(next),
        }
    }
    kept
}

/// The octets up to and with the `>` of a path (RFC 5321 §4.1.2) that begins here; `None` if it is something else. A quoted
/// local part may hold anything, `>` and spaces included.
fn path_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, next) in text.char_indices() {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let is_url = text.starts_with("http://") || text.starts_with("https://");
                return (!is_url).then_some(at.saturating_add(1));
            }
            '<' if !quoted => return None,
            _ if next.is_whitespace() && !quoted => return None,
            _ => {}
        }
    }
    None
}

/// Where the local part begins that a text ends with.
fn local_start(text: &str) -> usize {
    if let Some(inner) = text.strip_suffix('"') {
        let opens = |at: usize| {
            let before = inner.get(..at).unwrap_or_default();
            let escapes = before.len().saturating_sub(before.trim_end_matches('\\').len());
            escapes.is_multiple_of(2)
        };
        let opening = inner.rmatch_indices('"').map(|(at, _)| at).find(|at| opens(*at));
        return opening.unwrap_or(inner.len());
    }
    text.trim_end_matches(|one: char| !one.is_whitespace() && !"<>()[],;:\"".contains(one)).len()
}

/// The octets of the domain or address literal that a text begins with.
fn domain_octets(text: &str) -> usize {
    if text.starts_with('[') {
        return text.find(']').map_or(0, |at| at.saturating_add(1));
    }
    let is_of_name = |one: char| one.is_alphanumeric() || one == '.' || one == '-' || one == '_';
    text.len().saturating_sub(text.trim_start_matches(is_of_name).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(without_addresses(text), expected, "{text}");
    }

    #[test]
    fn addresses_go_and_reasons_stay() {
        check("<abuse@spamhaus.org>: user unknown", "<>: user unknown");
        check("[bob@x.example]: rejected", "[<>]: rejected");
        check("unknown; mimecast@rejected.example.", "unknown; <>");
        check("<gw1.dmarc.example>: helo rejected", "<>: helo rejected");
        check("<\"a>b dmarc\"@x.example> no", "<> no");
        check("\"a \\\" dmarc\"@[192.0.2.1] no", "<> no");
        check("(bob@x.example:blocked)", "(<>:blocked)");
        check("see <https://www.spamhaus.org/pbl> and a < b", "see <https://www.spamhaus.org/pbl> and a < b");
        check("violation -> 550 spf <half", "violation -> 550 spf <half");
        check("", "");
        check("@@@ \"@ <@", "<><><> <> <<>");
    }
}
