//! The door of the console: who is let in, and what a form must have.

use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::body::to_bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    ALLOW, CONTENT_TYPE, COOKIE, HOST, ORIGIN, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::fields::{typed, value};
use super::kept::{KeptForm, is_typed};
use super::notice::ActionNotice;
use super::page::{bare, escaped, failed, refused};
use super::sessions::{Presence, Visitor};
use super::site::Console;
use crate::admin::{AdminPlace, Asker, BearerToken, REFUSAL_DELAY, Refusal, Role, retry_after};
use crate::trace::clean;

/// Where to go after the login, and whether a form was lost on the way to it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LoginQuery {
    next: Option<String>,
    #[serde(default)]
    lost: bool,
}

/// What every other form has.
#[derive(Deserialize)]
pub(super) struct SealForm {
    seal: String,
    /// The page that is shown then.
    back: Option<String>,
}

/// Lets a request pass that has a session. What no page answers is a page all the same.
pub(super) async fn admit(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let Some(visitor) = visitor(&console, request.headers()) else {
        return turned_away(&console, request).await;
    };
    // A session asks no more than its token may.
    let _place = match console.enter(&visitor.token) {
        Ok(place) => place,
        Err(after) => {
            let refused = failed(&visitor, StatusCode::TOO_MANY_REQUESTS, TOO_MUCH);
            return ([(RETRY_AFTER, after)], refused).into_response();
        }
    };
    let mut shown = visitor.clone();
    // What a page fetches by itself shows nobody anything.
    if request.method() == Method::GET && presence(request.headers()) == Presence::Person {
        shown.notice = console.sessions.take_notice(&visitor.key);
        shown.kept = console.sessions.take_kept(&visitor.key, request.uri().path());
    }
    request.extensions_mut().insert(shown);
    dressed(&visitor, next.run(request).await).await
}

/// What is nowhere: a page for whoever has a session.
pub(super) async fn nowhere(State(console): State<Console>, headers: HeaderMap) -> Response {
    let status = StatusCode::NOT_FOUND;
    match visitor(&console, &headers) {
        Some(visitor) => failed(&visitor, status, "There is no such page."),
        None => status.into_response(),
    }
}

fn visitor(console: &Console, headers: &HeaderMap) -> Option<Visitor> {
    let tokens = console.tokens.load();
    let presence = presence(headers);
    cookies(headers, &console.sessions.cookie_name)
        .find_map(|cookie| console.sessions.visit(cookie, presence, |token| tokens.has(token)))
}

fn presence(headers: &HeaderMap) -> Presence {
    if headers.contains_key(REFRESH) { Presence::Refresh } else { Presence::Person }
}

impl SealForm {
    /// The page of ours that the form names, or else this one.
    pub(super) fn page<'f>(&'f self, otherwise: &'f str) -> &'f str {
        self.back.as_deref().filter(|back| is_ours(back)).unwrap_or(otherwise)
    }
}

impl Console {
    /// A place for a request of this bearer, or the number of seconds after which he may ask again.
    fn enter(&self, token: &BearerToken) -> Result<AdminPlace, u64> {
        self.pace.enter(&token.name, Instant::now()).map_err(|pause| {
            self.outlook.limited();
            retry_after(pause)
        })
    }

    /// Leads to a page that says what was done.
    pub(super) fn done(&self, visitor: &Visitor, page: &str, notice: ActionNotice) -> Response {
        self.sessions.leave(&visitor.key, notice);
        Redirect::to(page).into_response()
    }
}

/// Leads whoever has no session to the door. What he typed into a form goes with him.
async fn turned_away(console: &Console, request: Request) -> Response {
    let way = way_in(request.method(), request.uri());
    let path = request.uri().path();
    if request.method() != Method::POST || !is_typed(path) || is_of_another_site(request.headers()) {
        return Redirect::to(&way).into_response();
    }
    let next = page_of_form(path).to_owned();
    let Some(_place) = console.pace.stranger() else {
        let why = "Too many forms without a session are being read. Try again in a moment.";
        return too_many(console, DoorPage { next: Some(&next), kept: None }, why);
    };
    let Some(kept) = typed(request).await.and_then(KeptForm::of_form) else {
        return Redirect::to(&way).into_response();
    };
    let why = format!("{LOST} Log in as {}, and the form has it again.", clean(&kept.bearer));
    (StatusCode::UNAUTHORIZED, DoorPage { next: Some(&next), kept: Some(&kept) }.saying(Some(&why)))
        .into_response()
}

/// Says to whoever has shown no token that all places for such are taken.
fn too_many(console: &Console, page: DoorPage<'_>, why: &str) -> Response {
    console.outlook.limited();
    let after = [(RETRY_AFTER, retry_after(REFUSAL_DELAY))];
    (StatusCode::TOO_MANY_REQUESTS, after, page.saying(Some(why))).into_response()
}

/// Where whoever has no session goes. What a form sent is not sent again after the login: he gets the form's page again.
fn way_in(method: &Method, asked: &Uri) -> String {
    if method.is_safe() {
        let asked = asked.path_and_query().map_or("/", |asked| asked.as_str());
        return format!("/login?next={}", escaped(asked));
    }
    match asked.path() {
        "/logout" => "/login".to_owned(),
        path => format!("/login?lost=true&next={}", escaped(page_of_form(path))),
    }
}

/// The page whose form is sent to a path.
fn page_of_form(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((page, _)) if page == "/queue" || page.starts_with("/queue/") => page,
        Some((page, "validate")) if page.starts_with("/connectors/") => page,
        _ if path.starts_with("/connectors/") => "/partners",
        _ if path == "/explain" => path,
        _ => "/",
    }
}

/// A refusal that came as plain text, from whatever reads requests, as a page with what the text says.
async fn dressed(visitor: &Visitor, answer: Response) -> Response {
    let kind = answer.headers().get(CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let status = answer.status();
    if is_page || !status.is_client_error() {
        return answer;
    }
    let (head, body) = answer.into_parts();
    let said = to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let why = match status {
        StatusCode::METHOD_NOT_ALLOWED => "This address only takes a form of its page.".to_owned(),
        _ => format!("The request is not understood. {}", String::from_utf8_lossy(&said)),
    };
    // What can't be read is one thing to people, however the library tells it apart.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    let mut page = failed(visitor, status, why.trim_end());
    if let Some(allow) = head.headers.get(ALLOW) {
        page.headers_mut().insert(ALLOW, allow.clone());
    }
    page
}

/// The page that asks for a token.
pub(super) async fn show(query: Result<Query<LoginQuery>, QueryRejection>) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    DoorPage { next: query.next.as_deref(), kept: None }.saying(query.lost.then_some(LOST))
}

/// The page that asks for a token, and what it hands on.
#[derive(Clone, Copy)]
struct DoorPage<'a> {
    next: Option<&'a str>,
    kept: Option<&'a KeptForm>,
}

impl DoorPage<'_> {
    fn saying(self, why: Option<&str>) -> Response {
        let body = html! {
            main.door {
                h1 { "Sealpost" }
                @if let Some(why) = why {
                    p.bad role="alert" { (why) }
                }
                form method="post" action="/login" {
                    label for="token" { "Token" }
                    input #token name="token" type="password" autocomplete="current-password" required autofocus;
                    @if let Some(next) = self.next.filter(|next| is_ours(next)) {
                        input type="hidden" name="next" value=(next);
                    }
                    @if let Some(kept) = self.kept { (kept.hidden()) }
                    button { "Log in" }
                }
                p.hint {
                    "One of the lines of " code { "token_file" } " in " code { "[admin]" } ": "
                    code { "reader NAME TOKEN" } " sees all but the content of messages, " code { "operator NAME TOKEN" } " acts as well."
                }
            }
        };
        naming_its_origin(bare("Log in", &body))
    }
}

/// A page of whose form it matters which site it is of. By "no-referrer" a browser would say that it is of the origin "null".
pub(super) fn naming_its_origin(mut page: Response) -> Response {
    page.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    page
}

/// Begins a session, in place of the one that the browser had. Whoever has no token waits, so that guessing takes long.
pub(super) async fn log_in(State(console): State<Console>, headers: HeaderMap, request: Request) -> Response {
    let sent = typed(request).await.and_then(|fields| {
        let token = fields.iter().find(|(name, _)| name == "token")?.1.clone();
        Some((token, value(&fields, "next").to_owned(), KeptForm::of_door(&fields)))
    });
    let Some((token, next, kept)) = sent else {
        let page =
            DoorPage { next: None, kept: None }.saying(Some("The form is not understood; send it again."));
        return (StatusCode::BAD_REQUEST, page).into_response();
    };
    let next = Some(&*next).filter(|next| is_ours(next));
    if is_of_another_site(&headers) {
        let page = DoorPage { next, kept: None }.saying(Some("The form was sent by another site."));
        return (StatusCode::FORBIDDEN, page).into_response();
    }
    let page = DoorPage { next, kept: kept.as_ref() };
    let token = console.tokens.load().holder(token.trim());
    let Some(token) = token else {
        console.outlook.refused();
        let Some(_place) = console.pace.stranger() else {
            return too_many(&console, page, "Too many wrong tokens are being tried. Try again in a moment.");
        };
        tokio::time::sleep(REFUSAL_DELAY).await;
        let why = "This is not one of the tokens of token_file.";
        return (StatusCode::UNAUTHORIZED, page.saying(Some(why))).into_response();
    };
    let _place = match console.enter(&token) {
        Ok(place) => place,
        Err(after) => {
            let refused = page.saying(Some(TOO_MUCH));
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, after)], refused).into_response();
        }
    };
    end_all(&console, &headers);
    let tokens = console.tokens.load();
    let Some(cookie) = console.sessions.begin(token, |token| tokens.has(token)) else {
        let why = "No session could be created; try again.";
        return (StatusCode::SERVICE_UNAVAILABLE, page.saying(Some(why))).into_response();
    };
    if let Some((next, kept)) = next.zip(kept) {
        console.sessions.go_on(&cookie, next, kept);
    }
    let name = &console.sessions.cookie_name;
    let set = format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Strict");
    ([(SET_COOKIE, set)], Redirect::to(next.unwrap_or("/"))).into_response()
}

/// Ends the session.
pub(super) async fn log_out(
    State(console): State<Console>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<SealForm>,
) -> Response {
    if let Err(fault) = visitor.sealed(&form) {
        return refused(&visitor, &fault);
    }
    end_all(&console, &headers);
    let name = &console.sessions.cookie_name;
    let gone = format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

/// Ends the sessions that a browser has.
fn end_all(console: &Console, headers: &HeaderMap) {
    cookies(headers, &console.sessions.cookie_name).for_each(|cookie| console.sessions.end(cookie));
}

impl Visitor {
    /// Checks that a form is of this session.
    pub(super) fn sealed(&self, form: &SealForm) -> Result<(), Refusal> {
        self.has_seal(&form.seal)
    }

    /// The same for a form of more fields.
    pub(super) fn has_seal(&self, seal: &str) -> Result<(), Refusal> {
        if seal == self.seal {
            return Ok(());
        }
        let why = "This form is of an earlier session, or of another site. Go back, load the page, and send it from there.";
        Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()))
    }

    /// Whether a form that has not the seal of this session is of an earlier one of his: what he typed is shown again, and nothing
    /// is done.
    pub(super) fn has_typed(&self, bearer: &str, headers: &HeaderMap) -> bool {
        bearer == &*self.token.name && !is_of_another_site(headers)
    }

    /// Who asks, if he may change something and the form is his.
    pub(super) fn operator(&self, form: &SealForm) -> Result<Asker, Refusal> {
        self.may_act(&form.seal)
    }

    /// The same for a form of more fields.
    pub(super) fn may_act(&self, seal: &str) -> Result<Asker, Refusal> {
        self.has_seal(seal)?;
        if self.token.role < Role::Operator {
            let why = format!("{} may only read: this needs a token of an operator.", self.token.name);
            return Err(Refusal(StatusCode::FORBIDDEN, why));
        }
        Ok(Asker::Bearer(Arc::clone(&self.token.name)))
    }

    /// Whether he is shown what an operator may do.
    pub(super) fn is_operator(&self) -> bool {
        self.token.role >= Role::Operator
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Visitor {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Redirect> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Redirect::to("/login"))
    }
}

/// The cookies of a name. What else is in the header, in whatever octets, is of other servers on this host.
fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|all| all.as_bytes().split(|octet| *octet == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Whether a browser says that the page was of another site. It says so itself where the connection is secure; elsewhere it says
/// where the page was from. Others than browsers say nothing.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    !origin.zip(host).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
}

/// A place below ours, not another host. Browsers leave out tabs and the like, and take `\` for `/`.
pub(super) fn is_ours(next: &str) -> bool {
    next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\')
}

/// What is said to whoever sent a form without a session.
const LOST: &str = "Your session had ended; what you sent was not done.";
/// What is said to a bearer who asks more than he may.
const TOO_MUCH: &str = "Too much is asked with this token. Try again in a moment.";
/// What the script of the overview sends when it keeps the page current.
const REFRESH: &str = "x-sealpost-refresh";
/// Octets of a refusal that are shown.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_ours_are_gone_to() {
        for (next, ours) in [
            ("/queue?x=1", true),
            ("/trace?q=%09&since=2026-01-01", true),
            ("//evil.test/", false),
            ("https://evil.test", false),
            ("/\\evil.test", false),
            ("/\t/evil.test/", false),
            ("/\n/evil.test/", false),
            ("/\r/evil.test/", false),
            ("/\0/evil.test/", false),
            ("/\x01", false),
            ("/\x7f/evil.test/", false),
            ("/ /evil.test/", false),
            ("/\u{a0}/evil.test/", false),
            ("\t//evil.test/", false),
            ("", false),
        ] {
            assert_eq!(is_ours(next), ours, "{next:?}");
        }
        assert_eq!(escaped("/trace?q=a b&c"), "/trace%3Fq%3Da%20b%26c");
    }

    #[test]
    fn a_lost_form_leads_to_its_page() {
        for (method, asked, way) in [
            (Method::GET, "/queue/A/hold?x=1", "/login?next=/queue/A/hold%3Fx%3D1"),
            (Method::HEAD, "/trace", "/login?next=/trace"),
            (Method::POST, "/queue/A/hold", "/login?lost=true&next=/queue/A"),
            (Method::POST, "/queue/hold", "/login?lost=true&next=/queue"),
            (Method::POST, "/connectors/bank/pause", "/login?lost=true&next=/partners"),
            (Method::POST, "/logout", "/login"),
            (Method::POST, "/explain", "/login?lost=true&next=/explain"),
            (Method::POST, "/reports", "/login?lost=true&next=/"),
        ] {
            assert_eq!(way_in(&method, &Uri::from_static(asked)), way, "{method} {asked}");
        }
    }

    fn headers(lines: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn every_cookie_of_the_name_is_tried_and_no_other_is_in_the_way() {
        let found = |lines: &[(&'static str, &'static [u8])]| {
            let headers = headers(lines);
            let found = cookies(&headers, "us").map(|value| String::from_utf8_lossy(value).into_owned());
            found.collect::<Vec<_>>().join(",")
        };
        for (all, expected) in [
            (&[("cookie", b"us=1".as_slice())][..], "1"),
            (&[("cookie", b"us=bad; us=good")], "bad,good"),
            (&[("cookie", b"other=\xff\xe4; us=good;lone;=")], "good"),
            (&[("cookie", b"xus=1; us2=2; us; us =3;us=a=b")], "a=b"),
            (&[("cookie", b"us=1"), ("cookie", b" us=2")], "1,2"),
            (&[], ""),
        ] {
            assert_eq!(found(all), expected, "{all:?}");
        }
    }

    #[test]
    fn a_browser_says_whose_form_it_is() {
        let host = ("host", b"gw1.localhost:9925".as_slice());
        for (lines, foreign) in [
            (&[host][..], false),
            (&[host, ("origin", b"http://gw1.localhost:9925")], false),
            (&[host, ("origin", b"http://GW1.localhost:9925")], false),
            (&[host, ("origin", b"http://gw1.localhost:8080")], true),
            (&[host, ("origin", b"http://evil.test")], true),
            (&[host, ("origin", b"null")], true),
            (&[host, ("origin", b"\xff")], true),
            (&[("origin", b"http://gw1.localhost:9925")], true),
            (&[host, ("sec-fetch-site", b"cross-site"), ("origin", b"http://gw1.localhost:9925")], true),
            (&[host, ("sec-fetch-site", b"same-site")], true),
            // Behind a proxy with another Host, the browser's own word counts.
            (&[host, ("sec-fetch-site", b"same-origin"), ("origin", b"https://console.example")], false),
            (&[host, ("sec-fetch-site", b"none")], false),
        ] {
            assert_eq!(is_of_another_site(&headers(lines)), foreign, "{lines:?}");
        }
    }
}
