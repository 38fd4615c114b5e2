//! Explains a refusal that was copied from a log or a report.

use std::fmt;

use serde::Serialize;

use crate::admin::HintView;
use crate::mail::{Enhanced, Reply};
use crate::outcome::{Hint, hint_on_reply};

/// What is known about a refusal.
pub struct ExplainedRefusal {
    text: String,
    /// The reply as it was read.
    reply: Option<Reply>,
    hint: Option<&'static Hint>,
}

/// What `explain --reply --json` prints.
#[derive(Serialize)]
struct RefusalAnswer {
    /// The reply as it was read.
    reply: String,
    hint: Option<HintView>,
}

impl ExplainedRefusal {
    /// What is known about the first refusal in a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let reply = read(text);
        let hint = reply.as_ref().and_then(hint_on_reply);
        Self { text: text.to_owned(), reply, hint }
    }

    /// Whether it is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.hint.is_some()
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> impl Serialize + use<> {
        let reply = self.reply.as_ref().map_or_else(|| self.text.clone(), ToString::to_string);
        RefusalAnswer { reply, hint: self.hint.map(HintView::from) }
    }
}

impl fmt::Display for ExplainedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reply, self.hint) {
            (_, Some(hint)) => write!(f, "{}\n  who can fix it: {}", hint, hint.actor.word()),
            (Some(_), None) => {
                f.write_str("this reply is not in the table; what it says is all that is known")
            }
            (None, None) => {
                f.write_str("there is no reply code of three digits in it, nor an enhanced status code")
            }
        }
    }
}

/// The first refusal in a text: from its reply code on, or else from its enhanced status code.
fn read(text: &str) -> Option<Reply> {
    let starts = text.char_indices().filter(|(at, c)| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        matches!(c, '4' | '5') && !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.')
    });
    let from = |(at, _)| text.get(at..);
    starts
        .clone()
        .filter_map(from)
        .find_map(with_code)
        .or_else(|| starts.filter_map(from).find_map(without_code))
}

fn with_code(text: &str) -> Option<Reply> {
    let (digits, rest) = text.split_at_checked(3)?;
    let code = digits.parse().ok()?;
    let rest = match rest.strip_prefix([' ', '-', '#']) {
        Some(rest) => rest.trim_start_matches(['#', ' ']),
        None if rest.is_empty() => rest,
        None => return None,
    };
    Some(match Enhanced::split(rest) {
        Some((enhanced, rest)) if u16::from(enhanced.0) == code / 100 => {
            Reply::new(code, enhanced, rest.to_owned())
        }
        Some(_) | None => Reply::bare(code, rest.to_owned()),
    })
}

fn without_code(text: &str) -> Option<Reply> {
    let (enhanced, rest) = Enhanced::split(text)?;
    Some(Reply::new(u16::from(enhanced.0).saturating_mul(100).saturating_add(50), enhanced, rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(read(text).map(|reply| reply.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_refusal_is_found_in_what_surrounds_it() {
        let said = Some("550 5.7.64 TenantAttribution; Relay Access Denied");
        check("550 5.7.64 TenantAttribution; Relay Access Denied", said);
        check("smtp; 550 5.7.64 TenantAttribution; Relay Access Denied", said);
        check("mx.a.example[192.0.2.45]:25 said: 550-5.7.64 TenantAttribution; Relay Access Denied", said);
        check("5.7.64 TenantAttribution; Relay Access Denied", said);
        check("Remote server returned '550 5.7.64 x'", Some("550 5.7.64 x'"));
        check(
            "{LED=450 4.7.320 Certificate validation failed",
            Some("450 4.7.320 Certificate validation failed"),
        );
        check("550", Some("550"));
        check("250 2.0.0 ok", None);
        check("5500 5.7 times", None);
        check("", None);
    }
}
