//! The frame of every page, and what pages are made of. Each value in a page is escaped by the library that writes it.

use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::kept::AUTHOR;
use super::sessions::Visitor;
use crate::admin::Refusal;
use crate::mail::{UnixMillis, rfc3339, span_in_words};
use crate::trace::clean;

/// The pages that the head of each page leads to.
const PLACES: &[(&str, &str)] = &[
    ("/", "Overview"),
    ("/partners", "Partners"),
    ("/queue", "Queue"),
    ("/trace", "Trace"),
    ("/certificates", "Certificates"),
    ("/reports", "Reports"),
    ("/explain", "Explain"),
    ("/settings", "Settings"),
];

/// A page of the console.
pub(super) fn page(visitor: &Visitor, place: &str, title: &str, body: &Markup) -> Response {
    served(whole(title, &framed(visitor, place, title, body)))
}

/// A page in two parts: up to the end of `body`, and the rest.
pub(super) fn frame(visitor: &Visitor, place: &str, title: &str, body: &Markup) -> (String, String) {
    let marked = html! { (body) (PreEscaped(MARK)) };
    let page = whole(title, &framed(visitor, place, title, &marked)).into_string();
    // What others wrote has no such octets: every value is escaped.
    let (before, after) = page.split_once(MARK).unwrap_or((&page, ""));
    (before.to_owned(), after.to_owned())
}

fn framed(visitor: &Visitor, place: &str, title: &str, body: &Markup) -> Markup {
    html! {
            a.skip href="#content" { "Skip to the content" }
            header {
                a.brand href="/" { "Sealpost" }
                nav aria-label="Pages" {
                    @for (href, name) in PLACES {
                        a href=(href) aria-current=[(*href == place).then_some("page")] { (name) }
                    }
                }
                form.who method="post" action="/logout" {
                    span { (visitor.token.name) " (" (visitor.token.role.word()) ")" }
                    (seal(visitor))
                    button.plain { "Log out" }
                }
            }
            main #content { (notice(visitor)) h1 { (title) } (body) }
    }
}

/// What the last action came to, if it was the last thing that the visitor did.
fn notice(visitor: &Visitor) -> Markup {
    let Some(notice) = &visitor.notice else { return html! {} };
    html! {
        div.notice {
            p role="status" { (notice.words) }
            @if let Some(follow) = notice.follow.as_ref().filter(|_| visitor.is_operator()) {
                form method="post" action=(follow.action) {
                    (seal(visitor))
                    input type="hidden" name="back" value=(follow.back);
                    @for (name, value) in &follow.fields { input type="hidden" name=(name) value=(value); }
                    button.plain { (follow.label) }
                }
            }
        }
    }
}

/// A page without the head.
pub(super) fn bare(title: &str, body: &Markup) -> Response {
    served(whole(title, body))
}

fn served(page: Markup) -> Response {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(page.into_string())).into_response()
}

fn whole(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Sealpost" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/console.css";
                script src="/assets/console.js" defer {}
            }
            body { (body) }
        }
    }
}

/// A page that says why something was not done.
pub(super) fn failed(visitor: &Visitor, status: StatusCode, why: &str) -> Response {
    let body = html! {
        p.bad role="alert" { (clean(why)) }
        p { a href="/" { "To the overview" } }
    };
    let title = if status == StatusCode::NOT_FOUND { "Not found" } else { "This was not done" };
    (status, page(visitor, "", title, &body)).into_response()
}

/// The same for what the daemon refused.
pub(super) fn refused(visitor: &Visitor, Refusal(status, why): &Refusal) -> Response {
    failed(visitor, *status, why)
}

/// What each form has.
pub(super) fn seal(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="seal" value=(visitor.seal); }
}

/// What a form has beside its seal if somebody types into it: that outlives the session, for him.
pub(super) fn author(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(AUTHOR) value=(visitor.token.name); }
}

/// A table that scrolls by itself where it is wider than the page. The head of a column of numbers begins with `#`.
#[must_use]
pub fn table(caption: &str, heads: &[&str], rows: &Markup) -> Markup {
    tabled(caption, false, heads, rows)
}

/// A table below a heading that says what its caption would.
pub(super) fn table_below(caption: &str, heads: &[&str], rows: &Markup) -> Markup {
    tabled(caption, true, heads, rows)
}

fn tabled(caption: &str, hidden: bool, heads: &[&str], rows: &Markup) -> Markup {
    let head = |head: &str| match head.strip_prefix('#') {
        Some(number) => html! { th.n scope="col" { (number) } },
        None => html! { th scope="col" { (head) } },
    };
    html! {
        div.wide tabindex="0" role="region" aria-label=(format!("{caption}: table")) {
            table {
                caption.hidden[hidden] { (caption) }
                thead { tr { @for one in heads { (head(one)) } } }
                tbody { (rows) }
            }
        }
    }
}

/// A date and how far it is from now.
pub(super) fn date(at: UnixMillis, now: UnixMillis) -> Markup {
    let text = rfc3339(at);
    html! { time datetime=(text) title=(text) { (distance(at, now)) } }
}

/// How far a time is from now, in words.
pub(super) fn distance(at: UnixMillis, now: UnixMillis) -> String {
    let (span, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let words = span_in_words(span);
    if ahead { format!("in {words}") } else { format!("{words} ago") }
}

/// A value for a query.
pub(super) fn escaped(value: &str) -> String {
    let one = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(octet).to_string()
        }
        other => format!("%{other:02X}"),
    };
    value.bytes().map(one).collect()
}

/// How many there are of something.
pub(super) fn counted(count: u64, what: &str) -> String {
    let number = number(count);
    if count == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A number with its thousands apart.
#[must_use]
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Nothing from anywhere else, and no script or style in the page itself.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where a page is cut.
const MARK: &str = "<!--rest-->";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_and_spans_are_read_at_a_glance() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
        let now = UnixMillis(1_000_000_000);
        assert_eq!(distance(now.plus(Duration::from_secs(90_000)), now), "in 25 hours");
        assert_eq!(distance(now.before(Duration::from_secs(1)), now), "1 second ago");
        assert_eq!(distance(now.plus(Duration::from_secs(10 * 86_400)), now), "in 10 days");
    }
}
