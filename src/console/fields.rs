//! What a form sends: names, which may occur often, and values.

use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request};

/// The fields of a form.
pub(super) type FormFields = Vec<(String, String)>;

/// The fields of a form that anybody may send, so that it costs little: what has more fields than any form of ours that somebody
/// types into is not taken apart. `None`: it is no such form, or too large.
pub(super) async fn typed(request: Request) -> Option<FormFields> {
    let (parts, body) = request.into_parts();
    let octets = to_bytes(body, TYPED_BYTES_MAX).await.ok()?;
    if octets.iter().filter(|octet| **octet == b'&').count() > SENT_FIELDS_MAX {
        return None;
    }
    let mut request = Request::from_parts(parts, Body::from(octets));
    DefaultBodyLimit::max(TYPED_BYTES_MAX).apply(&mut request);
    Form::<FormFields>::from_request(request, &()).await.ok().map(|Form(fields)| fields)
}

/// What a form says in a field; empty if it has none.
pub(super) fn value<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Octets of a form with much text, also where it goes through the door: each of its own may take three.
pub(super) const TYPED_BYTES_MAX: usize = 392 << 10;
/// Fields of such a form as it is sent.
const SENT_FIELDS_MAX: usize = 40;
