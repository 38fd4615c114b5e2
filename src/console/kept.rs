//! What somebody typed into a form whose session had ended: it goes through the login, and the form has it again if he comes
//! back with a token of the same name. It does nothing by itself, and is shown to no token of another name.

use maud::{Markup, html};

use super::fields::{FormFields, value};

/// The text of a form, and who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptForm {
    /// The name of his token.
    pub(super) bearer: String,
    fields: FormFields,
}

/// Whether a path takes a form with text that somebody types.
pub(super) fn is_typed(path: &str) -> bool {
    path == "/explain" || (path.starts_with("/connectors/") && path.ends_with("/validate"))
}

impl KeptForm {
    /// What a form sent, without the seal of the session that has ended. `None`: it does not say whose it is, or it is too large.
    pub(super) fn of_form(mut fields: FormFields) -> Option<Self> {
        let bearer = value(&fields, AUTHOR).to_owned();
        fields.retain(|(name, text)| !["seal", AUTHOR].contains(&&**name) && !text.is_empty());
        let octets = |size: fn(&str) -> usize| -> usize {
            fields.iter().map(|(name, text)| size(name).saturating_add(size(text))).sum()
        };
        let fits = fields.len() <= FIELDS_MAX
            && octets(str::len) <= TEXT_BYTES_MAX
            && octets(shown_octets) <= SHOWN_BYTES_MAX;
        (fits && !bearer.is_empty()).then_some(Self { bearer, fields })
    }

    /// What the form of the door hands on.
    pub(super) fn of_door(fields: &[(String, String)]) -> Option<Self> {
        let handed = fields.iter().filter_map(|(name, text)| Some((name.strip_prefix(MARK)?, text)));
        Self::of_form(handed.map(|(name, text)| (name.to_owned(), text.clone())).collect())
    }

    /// The fields for the form of the door.
    pub(super) fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name={ (MARK) (AUTHOR) } value=(self.bearer);
            @for (name, text) in &self.fields { input type="hidden" name={ (MARK) (name) } value=(text); }
        }
    }

    /// What was in a field; empty if it had none.
    pub(super) fn text(&self, name: &str) -> &str {
        value(&self.fields, name)
    }
}

/// How large a text is on a page, where some characters are written as names.
fn shown_octets(text: &str) -> usize {
    let octets = text.bytes().map(|octet| match octet {
        b'"' => "&quot;".len(),
        b'&' => "&amp;".len(),
        b'<' | b'>' => "&lt;".len(),
        _ => 1,
    });
    octets.sum()
}

/// The field of a form that says who types into it.
pub(super) const AUTHOR: &str = "bearer";
/// Before the names of these fields in the form of the door, which has its own.
const MARK: &str = "kept.";
const FIELDS_MAX: usize = 32;
/// As much as the page with the largest form takes.
const TEXT_BYTES_MAX: usize = 112 << 10;
/// As much as a page hands on of it.
const SHOWN_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> FormFields {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_was_typed_goes_through_the_door_without_its_seal() {
        let typed =
            [("seal", "x"), ("bearer", "ada"), ("to", "b@b.test"), ("user", ""), ("draft", "<[\"]>\r\n\r\n")];
        let kept = KeptForm::of_form(fields(&typed)).expect("kept");
        assert_eq!(
            (&*kept.bearer, kept.text("to"), kept.text("draft")),
            ("ada", "b@b.test", "<[\"]>\r\n\r\n")
        );
        assert_eq!((kept.text("seal"), kept.fields.len()), ("", 2));
        let hidden = kept.hidden().into_string();
        assert!(hidden.contains("name=\"kept.draft\" value=\"&lt;[&quot;]&gt;\r\n\r\n\""), "{hidden}");
        let handed = [
            ("token", "t"),
            ("next", "/explain"),
            ("kept.bearer", "ada"),
            ("kept.to", "b@b.test"),
            ("kept.draft", "<[\"]>\r\n\r\n"),
        ];
        assert_eq!(KeptForm::of_door(&fields(&handed)), Some(kept));
    }

    #[test]
    fn nothing_is_kept_of_a_form_that_is_nobodys_or_too_large() {
        let of = |pairs: &[(&str, &str)]| KeptForm::of_form(fields(pairs));
        assert_eq!(of(&[("draft", "x")]), None);
        assert_eq!(KeptForm::of_door(&fields(&[("token", "t"), ("bearer", "ada"), ("draft", "x")])), None);
        let large = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(of(&[("bearer", "ada"), ("draft", &large)]), None);
        // A large draft has room, and one that the page would write many times as large has none.
        let toml = "key = \"value\"\n".repeat(5_000);
        assert!(of(&[("bearer", "ada"), ("draft", &toml)]).is_some());
        let marks = "\"".repeat(64 << 10);
        assert_eq!(of(&[("bearer", "ada"), ("draft", &marks)]), None);
        let text = "<a href=\"x\">& \u{e4}</a>";
        assert_eq!(shown_octets(text), html! { (text) }.into_string().len());
        let many: Vec<_> = (0..=FIELDS_MAX).map(|_| ("x", "y")).chain([("bearer", "ada")]).collect();
        assert_eq!(of(&many), None);
        for (path, typed) in [
            ("/explain", true),
            ("/connectors/bank/validate", true),
            ("/connectors/bank/pause", false),
            ("/queue/act", false),
        ] {
            assert_eq!(is_typed(path), typed, "{path}");
        }
    }
}
