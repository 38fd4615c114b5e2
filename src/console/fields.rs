//! What a form sends: names, which may occur often, and values.

/// The fields of a form.
pub(super) type FormFields = Vec<(String, String)>;

/// What a form says in a field; empty if it has none.
pub(super) fn value<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}
