//! Certificates that Exchange names by issuer and subject, or by thumbprint, as certificates with an ID.

use std::collections::BTreeMap;

use super::super::settle::{certificate, slug};
use super::super::sketch::{CertificateSketch, Disk, Wishes};

/// The certificates that were named so far.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// By what Exchange calls it: the ID.
    ids: BTreeMap<String, String>,
    /// A certificate that Exchange does not name, for listeners.
    needs_usual: bool,
}

/// The ID where Exchange does not say which one it is.
const USUAL: &str = "gateway";

impl Certificates {
    /// The ID of a certificate: after its common name, so that the files have a name that means something.
    pub(super) fn named(&mut self, text: &str) -> String {
        if let Some(id) = self.ids.get(text) {
            return id.clone();
        }
        let subject = text.split_once("<S>").map(|(_, subject)| subject);
        let common = subject.and_then(|subject| {
            let parts = subject.split(',').map(str::trim);
            parts.filter_map(|part| part.strip_prefix("CN=").or_else(|| part.strip_prefix("cn="))).next()
        });
        let wanted = common.map(|name| slug(name.trim_start_matches("*."))).filter(|id| !id.is_empty());
        let plain = wanted.unwrap_or_else(|| {
            let start: String = text.chars().take(8).collect();
            format!("certificate-{}", slug(&start))
        });
        let taken: Vec<&String> = self.ids.values().collect();
        let mut id = plain.clone();
        let mut number = 2;
        while taken.contains(&&id) {
            id = format!("{plain}-{number}");
            number += 1;
        }
        self.ids.insert(text.to_owned(), id.clone());
        id
    }

    /// The one for a listener of which Exchange names none: the only one that is known, or one of its own.
    pub(super) fn usual(&mut self) -> String {
        let mut ids = self.ids.values();
        if let (Some(only), None) = (ids.next(), ids.next()) {
            return only.clone();
        }
        self.needs_usual = true;
        USUAL.to_owned()
    }

    /// The host name of the first certificate that has one.
    pub(super) fn host(&self) -> Option<String> {
        let names = self.ids.keys().filter_map(|text| text.split_once("<S>")?.1.split(',').next());
        names
            .filter_map(|name| name.trim().strip_prefix("CN="))
            .find(|name| !name.contains('*'))
            .map(str::to_owned)
    }

    /// All of them, and whether their files are there.
    pub(super) fn sketches(self, wishes: &Wishes, disk: &dyn Disk) -> BTreeMap<String, CertificateSketch> {
        let about = |text: &str| match text.split_once("<S>") {
            Some((issuer, subject)) => {
                let issuer = issuer.trim_start_matches("<I>");
                format!("Exchange names it by its subject {subject} and its issuer {issuer}.")
            }
            None => format!("Exchange names it by its thumbprint {text}."),
        };
        let named = self.ids.into_iter().map(|(text, id)| (id, about(&text)));
        let usual = self.needs_usual.then(|| {
            (
                USUAL.to_owned(),
                "The certificate that clients are shown; Exchange does not name one.".to_owned(),
            )
        });
        let all = named.chain(usual);
        all.map(|(id, about)| (id.clone(), certificate(&id, about, wishes, disk))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_common_name_and_unique() {
        let mut all = Certificates::default();
        assert_eq!(all.named("<I>CN=CA, C=US<S>CN=mail.a.example, O=A"), "mail-a-example");
        assert_eq!(all.named("<I>CN=Other<S>CN=*.mail.a.example"), "mail-a-example-2");
        assert_eq!(all.named("<I>CN=CA, C=US<S>CN=mail.a.example, O=A"), "mail-a-example");
        assert_eq!(all.named("0123456789ABCDEF0123456789ABCDEF01234567"), "certificate-01234567");
        assert_eq!(all.usual(), "gateway");
        assert_eq!(all.host().as_deref(), Some("mail.a.example"));
    }
}
