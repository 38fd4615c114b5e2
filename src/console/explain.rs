//! Which connectors decide about two addresses, by the configuration in effect or by a draft.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::door::naming_its_origin;
use super::kept::KeptForm;
use super::page::{author, page, refused, seal};
use super::sessions::Visitor;
use super::site::{BUSY_JUDGE, Console};
use crate::admin::{
    Direction, ExplainLine, ExplainPassage, ExplainQuestion, ExplainedAnswer, StartTlsTrouble,
    SupposedSession,
};
use crate::connector::TlsVersion;
use crate::trace::clean;

/// The form; an empty field says nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExplainForm {
    pub(super) seal: String,
    bearer: String,
    from: String,
    to: String,
    client: String,
    listener: String,
    user: String,
    arrives_by: String,
    headers: String,
    session: String,
    version: String,
    suite: String,
    group: String,
    shown: String,
    draft: String,
}

/// A refusal that is to be explained.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RefusalQuery {
    refusal: String,
}

/// The form, with an answer if the address has a question.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(form): Query<ExplainForm>,
    Query(RefusalQuery { refusal }): Query<RefusalQuery>,
) -> Response {
    if let Some(kept) = &visitor.kept {
        let why = Some(Err("Your session had ended before this was answered. Send it again.".to_owned()));
        return shown(&console, &visitor, &ExplainForm::of_kept(kept), (StatusCode::OK, why), ("", None));
    }
    // A draft is no part of an address.
    let form = ExplainForm { draft: String::new(), ..form };
    let hint = (!refusal.trim().is_empty()).then(|| console.outlook.explain_refusal(&shortened(&refusal)));
    answer(&console, &visitor, &form, (&refusal, hint)).await
}

/// The same for what is too long for an address, or for nobody's log.
pub(super) async fn ask(
    State(console): State<Console>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<ExplainForm>,
) -> Response {
    if let Err(fault) = visitor.has_seal(&form.seal) {
        if !visitor.has_typed(&form.bearer, &headers) {
            return refused(&visitor, &fault);
        }
        // He has logged in again meanwhile: what he typed is not lost.
        let why = Some(Err("This form was of an earlier session. Send it again.".to_owned()));
        return shown(&console, &visitor, &form, (StatusCode::FORBIDDEN, why), ("", None));
    }
    answer(&console, &visitor, &form, ("", None)).await
}

async fn answer(
    console: &Console,
    visitor: &Visitor,
    form: &ExplainForm,
    refusal: (&str, Option<String>),
) -> Response {
    let answered = match form.question() {
        Ok(None) => None,
        Ok(Some(question)) => Some(judged(console, question, form.draft.trim()).await),
        Err(why) => Some(Err(why)),
    };
    let status = match &answered {
        Some(Err(why)) if why == BUSY_JUDGE => StatusCode::SERVICE_UNAVAILABLE,
        Some(Err(_)) => StatusCode::BAD_REQUEST,
        None | Some(Ok(_)) => StatusCode::OK,
    };
    shown(console, visitor, form, (status, answered), refusal)
}

fn shown(
    console: &Console,
    visitor: &Visitor,
    form: &ExplainForm,
    (status, answered): (StatusCode, Option<Result<ExplainedAnswer, String>>),
    (refusal, hint): (&str, Option<String>),
) -> Response {
    let listeners: Vec<String> = console.control.listening.iter().map(|(name, _)| name.clone()).collect();
    let inbound = console.outlook.connector_names(Direction::Inbound);
    let body = html! {
        p { "Which connectors would decide about a message, and why: the answer of " code { "sealpost explain" } ", without any connection to anybody." }
        @match &answered {
            None => {},
            Some(Err(why)) => section.answer aria-label="Answer" { p.bad role="alert" { "There is no answer." } pre { (why) } },
            Some(Ok(answer)) => (result(answer, !form.draft.trim().is_empty())),
        }
        (question(visitor, form, &listeners, &inbound))
        (refusals(refusal, hint.as_deref()))
    };
    (status, naming_its_origin(page(visitor, "/explain", "Explain", &body))).into_response()
}

/// One at a time, on a thread of its own: a draft may take a while to check.
async fn judged(
    console: &Console,
    question: ExplainQuestion,
    draft: &str,
) -> Result<ExplainedAnswer, String> {
    let draft = (!draft.is_empty()).then(|| draft.to_owned());
    let outlook = Arc::clone(&console.outlook);
    console.judging(move || outlook.explain(&question, draft.as_deref())).await
}

impl ExplainForm {
    /// The form as it was when a session ended.
    fn of_kept(kept: &KeptForm) -> Self {
        let text = |name: &str| kept.text(name).to_owned();
        Self {
            from: text("from"),
            to: text("to"),
            client: text("client"),
            listener: text("listener"),
            user: text("user"),
            arrives_by: text("arrives_by"),
            headers: text("headers"),
            session: text("session"),
            version: text("version"),
            suite: text("suite"),
            group: text("group"),
            shown: text("shown"),
            draft: text("draft"),
            ..Self::default()
        }
    }

    /// What is asked, if anything is.
    fn question(&self) -> Result<Option<ExplainQuestion>, String> {
        let said = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        for (what, value, octets_max) in [
            ("The draft", &self.draft, DRAFT_BYTES_MAX),
            ("What the peer shows", &self.shown, SHOWN_BYTES_MAX),
            ("The header section", &self.headers, HEADERS_BYTES_MAX),
        ] {
            if value.len() > octets_max {
                return Err(format!("{what} has more than {} KiB.", octets_max >> 10));
            }
        }
        // An own null reverse-path is written as "<>".
        let (from, to) = (said(&self.from), said(&self.to));
        if from.is_none() && to.is_none() {
            let asks = said(&self.draft).or_else(|| said(&self.shown)).is_some();
            return if asks { Err("Name a recipient, a sender, or both.".to_owned()) } else { Ok(None) };
        }
        let client = self.client.trim();
        let peer = if client.is_empty() { Ok(CLIENT) } else { client.parse() };
        let peer = peer.map_err(|_| format!("\"{}\" is not an IP address.", clean(client)))?;
        let headers: Vec<String> = self.headers.lines().filter_map(said).collect();
        if let Some(odd) = headers.iter().find(|line| !line.contains(':')) {
            return Err(format!("\"{}\" is not a header field: write it as \"X-Seal: yes\".", clean(odd)));
        }
        Ok(Some(ExplainQuestion {
            // Where both are given, how the mail arrives follows.
            arrives_by: said(&self.arrives_by).filter(|_| from.is_none()),
            session: self.session(from.is_some())?,
            to,
            from,
            peer,
            listener: said(&self.listener),
            user: said(&self.user),
            headers,
            version: if self.version == "1.2" { TlsVersion::V12 } else { TlsVersion::V13 },
            suite: said(&self.suite),
            group: said(&self.group).unwrap_or_else(|| GROUP.to_owned()),
        }))
    }

    fn session(&self, is_inbound: bool) -> Result<SupposedSession, String> {
        let trouble = match self.session.as_str() {
            "" => return Ok(SupposedSession::Unsaid),
            "tls" => return Ok(SupposedSession::WithoutCertificate),
            "shown" => return Ok(self.shown()),
            "not-offered" => StartTlsTrouble::NotOffered,
            "refused" => StartTlsTrouble::Refused,
            "broken" => StartTlsTrouble::Broken,
            "lost" => StartTlsTrouble::Lost,
            "ours-refused" => StartTlsTrouble::OursRefused,
            other => return Err(format!("There is no session \"{}\".", clean(other))),
        };
        if is_inbound {
            return Err("What happens to STARTTLS is about a next hop: leave the sender out.".to_owned());
        }
        Ok(SupposedSession::Unsecured(trouble))
    }

    fn shown(&self) -> SupposedSession {
        let (name, text) = ("what the peer shows".to_owned(), self.shown.trim());
        if text.starts_with('{') {
            return SupposedSession::Facts { name, text: text.to_owned() };
        }
        SupposedSession::Presenting { name, chain: text.as_bytes().to_vec() }
    }
}

fn result(answer: &ExplainedAnswer, is_draft: bool) -> Markup {
    html! {
        section.answer aria-labelledby="answer" {
            h2 #answer { @if is_draft { "Answer of the draft" } @else { "Answer" } }
            @if !answer.overrides.is_empty() {
                article.card {
                    h3 { "Under an override" }
                    ul.lines { @for one in &answer.overrides { li { (clean(one)) } } }
                }
            }
            @if answer.yes { p.verdict.good role="status" { "Nothing is in the way of this mail." } }
            @else { p.verdict.bad role="status" { "This mail is refused, or waits." } }
            @for one in &answer.passages { (passage(one)) }
            @if !answer.warnings.is_empty() {
                h3 { "What is odd about the draft" }
                ul.lines { @for warning in &answer.warnings { li { (clean(warning)) } } }
            }
        }
    }
}

fn passage(passage: &ExplainPassage) -> Markup {
    let line = |line: &ExplainLine| match line {
        ExplainLine::Fact(name, value) => html! { li { span.key-word { (name) } span { (clean(value)) } } },
        ExplainLine::Below(name, value) => {
            html! { li.below { span.key-word { (name) } span { (clean(value)) } } }
        }
        ExplainLine::Words(words) => {
            html! { li class=[words.starts_with("not ").then_some("hint")] { (clean(words)) } }
        }
    };
    html! {
        article.card {
            h3 { (clean(&passage.title)) }
            @if !passage.lines.is_empty() { ul.explained { @for one in &passage.lines { (line(one)) } } }
        }
    }
}

fn question(visitor: &Visitor, form: &ExplainForm, listeners: &[String], inbound: &[String]) -> Markup {
    html! {
        form.question method="post" action="/explain" {
            (seal(visitor)) (author(visitor))
            fieldset {
                legend { "The message" }
                div.fields {
                    (field("to", "Recipient", &form.to, "bob@partner.example"))
                    (field("from", "Sender (<> for a report)", &form.from, "ada@our.example"))
                    (field("client", "Address of the client", &form.client, "203.0.113.1"))
                    (choice("listener", "Listener", &form.listener, listeners))
                    (field("user", "User who has logged in", &form.user, ""))
                    (choice("arrives_by", "Arrives by (without a sender)", &form.arrives_by, inbound))
                }
                details open[!form.headers.trim().is_empty()] {
                    summary { "Header fields, for rules that look at them" }
                    label { "One a line" textarea name="headers" rows="3" placeholder="X-Seal: yes" spellcheck="false" { (form.headers) } }
                }
            }
            fieldset {
                legend { "The session" }
                p.hint { "Of the client if there is a sender, or else of the next hop." }
                div.fields {
                    label { "TLS" select name="session" {
                        @for (value, words) in SESSIONS { option value=(value) selected[form.session == *value] { (words) } }
                    } }
                    label { "Version" select name="version" {
                        @for version in ["1.3", "1.2"] { option value=(version) selected[form.version == version] { (version) } }
                    } }
                    (field("suite", "Cipher suite", &form.suite, "TLS_AES_256_GCM_SHA384"))
                    (field("group", "Key exchange group", &form.group, GROUP))
                }
                details open[!form.shown.trim().is_empty()] {
                    summary { "What the peer shows" }
                    label { "Its certificate chain (PEM), or what a handshake showed as JSON (from " code { "queue show --json" } " or " code { "validate --json" } ")"
                        textarea.mono name="shown" rows="5" spellcheck="false" { (form.shown) } }
                }
            }
            fieldset {
                legend { "By which configuration" }
                details open[!form.draft.trim().is_empty()] {
                    summary { "A draft instead of the one in effect" }
                    p.hint { "It is only checked and asked: nothing of it takes effect, and no file that it names is read. Certificates, trust anchors and lists are those in effect under the same name." }
                    label { "The whole configuration file (TOML)"
                        textarea.mono name="draft" rows="14" spellcheck="false" { (form.draft) } }
                }
            }
            div.deeds { button { "Explain" } }
        }
    }
}

fn refusals(refusal: &str, hint: Option<&str>) -> Markup {
    html! {
        section aria-labelledby="refusal" {
            h2 #refusal { "A refusal" }
            form.filter method="get" action="/explain" {
                label.main { "As a log or a report has it" input name="refusal" value=(refusal) placeholder="550 5.7.64 TenantAttribution; Relay Access Denied"; }
                button { "Look it up" }
            }
            @if let Some(hint) = hint { pre role="status" { (hint) } }
        }
    }
}

fn field(name: &str, label: &str, value: &str, example: &str) -> Markup {
    html! { label { (label) input name=(name) value=(value) placeholder=(example) spellcheck="false" autocapitalize="none"; } }
}

fn choice(name: &str, label: &str, value: &str, known: &[String]) -> Markup {
    html! {
        label { (label) select name=(name) {
            option value="" { "any" }
            @for one in known { option value=(one) selected[one == value] { (one) } }
        } }
    }
}

fn shortened(refusal: &str) -> String {
    refusal.chars().take(REFUSAL_CHARS_MAX).collect()
}

const SESSIONS: &[(&str, &str)] = &[
    ("", "nothing supposed: without TLS"),
    ("tls", "TLS, no certificate shown"),
    ("shown", "TLS, as the peer shows below"),
    ("not-offered", "the next hop does not offer STARTTLS"),
    ("refused", "the next hop refuses STARTTLS"),
    ("broken", "the handshake fails"),
    ("lost", "the session is lost after the handshake"),
    ("ours-refused", "the next hop refuses our certificate"),
];
/// As `explain` supposes.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const GROUP: &str = "secp384r1";
const DRAFT_BYTES_MAX: usize = 64 << 10;
const SHOWN_BYTES_MAX: usize = 32 << 10;
const HEADERS_BYTES_MAX: usize = 8 << 10;
const REFUSAL_CHARS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_a_question_or_says_what_it_lacks() {
        let form = |edit: fn(&mut ExplainForm)| {
            let mut form = ExplainForm::default();
            edit(&mut form);
            match form.question() {
                Ok(None) => "nothing".to_owned(),
                Ok(Some(one)) => format!("{:?} {:?} {} {:?}", one.from, one.to, one.peer, one.session),
                Err(why) => why,
            }
        };
        assert_eq!(form(|_| ()), "nothing");
        assert_eq!(form(|form| form.to = " b@b.test ".into()), "None Some(\"b@b.test\") 203.0.113.1 Unsaid");
        assert_eq!(form(|form| form.draft = "x".into()), "Name a recipient, a sender, or both.");
        assert_eq!(
            form(|form| (form.to, form.client) = ("b".into(), "there".into())),
            "\"there\" is not an IP address."
        );
        assert_eq!(
            form(|form| (form.from, form.session) = ("<>".into(), "lost".into())),
            "What happens to STARTTLS is about a next hop: leave the sender out."
        );
        assert_eq!(
            form(|form| (form.to, form.draft) = ("b".into(), "x".repeat(DRAFT_BYTES_MAX + 1))),
            "The draft has more than 64 KiB."
        );
        assert_eq!(
            form(|form| (form.to, form.headers) = ("b".into(), "X-Seal yes".into())),
            "\"X-Seal yes\" is not a header field: write it as \"X-Seal: yes\"."
        );
        let shown = ExplainForm { shown: "{}".into(), ..ExplainForm::default() }.shown();
        assert!(matches!(shown, SupposedSession::Facts { .. }));
    }
}
