//! The description of the API as OpenAPI: what the routes say of themselves, and what holds for all of them.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, Header, HeaderBuilder, Info, LicenseBuilder, Object, OpenApi, OpenApiBuilder,
    Ref, RefOr, ServerBuilder, Type, tag::TagBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::tokens::Role;
use super::view::ErrorAnswer;

/// What a token of the role may ask, with the refusals that each of these may be answered with.
pub(super) fn guarded(mut api: OpenApi, role: Role) -> OpenApi {
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        let mut refusals = vec!["401", "429"];
        refusals.extend((role > Role::Reader).then_some("403"));
        let takes_body = operation.request_body.is_some();
        if takes_body || operation.parameters.is_some() {
            refusals.push("400");
        }
        refusals.extend(["413", "415"].iter().filter(|_| takes_body));
        for status in refusals {
            operation.responses.responses.insert(status.to_owned(), RefOr::T(Response::default()));
        }
        for (status, answer) in &mut operation.responses.responses {
            complete(status, answer);
        }
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, [role.word()])]);
    }
    api
}

/// The whole of it.
pub(super) fn described(reading: OpenApi, operating: OpenApi) -> OpenApi {
    let mut info = Info::new("Sealpost", env!("CARGO_PKG_VERSION"));
    info.description = Some(WORDS.to_owned());
    info.license = Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build());
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.description =
        Some("A token of `token_file`. A reader sees, an operator also acts and sees content.".to_owned());
    let components = ComponentsBuilder::new()
        .schema(ErrorAnswer::name(), ErrorAnswer::schema())
        .security_scheme(SCHEME, SecurityScheme::Http(http));
    let tags =
        TAGS.iter().map(|(name, words)| TagBuilder::new().name(*name).description(Some(*words)).build());
    let base = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url(API).build()]))
        .tags(Some(tags))
        .components(Some(components.build()));
    base.build().merge_from(reading).merge_from(operating)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

/// What the status says is the same wherever it is answered, and a refusal has one form.
fn complete(status: &str, answer: &mut RefOr<Response>) {
    let RefOr::T(answer) = answer else { return };
    if answer.description.is_empty() {
        let words = STATUSES.iter().find(|(of, _)| *of == status).map(|(_, words)| *words);
        answer.description = words.unwrap_or("Done.").to_owned();
    }
    if status.starts_with('2') {
        return;
    }
    let form = Ref::from_schema_name(ErrorAnswer::name());
    answer.content.insert("application/json".to_owned(), RefOr::T(Content::new(Some(form))));
    let headers: &[(&str, Type, &str)] = match status {
        "401" => &[("WWW-Authenticate", Type::String, "The scheme of tokens.")],
        "429" => &[("Retry-After", Type::Integer, "Seconds after which to ask again.")],
        _ => &[],
    };
    for (name, kind, words) in headers {
        answer.headers.insert((*name).to_owned(), RefOr::T(header(kind.clone(), words)));
    }
}

fn header(kind: Type, words: &str) -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(words)).build()
}

/// Where the API is. What is below it is as over the control socket.
pub(super) const API: &str = "/api/v1";
const SCHEME: &str = "token";
const WORDS: &str = "What the verbs of `sealpost` ask of the running relay, for programs. Each refusal is a status from 400 on \
                     with one sentence. Times are milliseconds since 1970 in UTC, or in the format of RFC 3339 where a field \
                     is a string.";
const TAGS: &[(&str, &str)] = &[
    ("relay", "The relay as a whole."),
    ("queue", "Messages that are queued."),
    ("connectors", "Connectors, partners, and overrides of what they require."),
    ("alerts", "What is wrong, and who hears of it."),
    ("trace", "What happened to messages, also to those that have left."),
    ("watch", "Looks at partners' hosts."),
    ("reports", "Reports by mail."),
];
const STATUSES: &[(&str, &str)] = &[
    ("400", "A parameter or the body can't be read."),
    ("401", "There is no valid token. It is answered after a second."),
    ("403", "The token is a reader's, and this takes an operator's."),
    ("404", "There is no such message or connector."),
    ("409", "It can't be done in the present state; the sentence says why."),
    ("413", "The body is too large."),
    ("415", "The body is not declared as application/json."),
    ("422", "The files have errors, one line each; nothing has changed."),
    ("429", "The bearer asks too much, or too many have wrong tokens."),
    ("503", "The queue or the tracking store can't be used at the moment."),
];
