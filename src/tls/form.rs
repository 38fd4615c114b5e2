//! Forms other than PEM in which certificates and keys are handed over, and the command that converts each.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file of certificates or keys that is not PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// The file.
    pub file: PathBuf,
    /// Its form.
    pub form: ForeignForm,
    /// What was looked for in it.
    pub wanted: MaterialKind,
}

/// A form other than the PEM that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignForm {
    /// PKCS#12 (RFC 7292), as Windows exports a certificate with its key.
    Pfx,
    /// PKCS#7 without a signature (RFC 5652 §5), as authorities send chains.
    Pkcs7 {
        /// Base64 between BEGIN and END lines.
        armoured: bool,
    },
    /// One certificate in DER.
    Certificate,
    /// One private key in DER.
    Key,
}

/// What is looked for in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaterialKind {
    /// Certificates.
    Certificates,
    /// A private key.
    Key,
}

impl ForeignForm {
    /// The form of these octets, if it is one of those.
    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        let holds = |label: &str| memchr::memmem::find(octets, label.as_bytes()).is_some();
        if holds("-----BEGIN PKCS7-----") || holds("-----BEGIN CMS-----") {
            return Some(Self::Pkcs7 { armoured: true });
        }
        if holds("-----BEGIN ") {
            return None;
        }
        // Each is a SEQUENCE; what it begins with tells them apart.
        let inner = within_sequence(octets)?;
        if inner.starts_with(VERSION_3) {
            return Some(Self::Pfx);
        }
        if inner.starts_with(SIGNED_DATA) {
            return Some(Self::Pkcs7 { armoured: false });
        }
        if inner.starts_with(VERSION_0) || inner.starts_with(VERSION_1) {
            return Some(Self::Key);
        }
        within_sequence(inner).map(|_| Self::Certificate)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pfx => "PKCS#12 (PFX)",
            Self::Pkcs7 { .. } => "PKCS#7 (P7B)",
            Self::Certificate => "a certificate in DER",
            Self::Key => "a private key in DER",
        }
    }
}

impl fmt::Display for ForeignFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = in_shell(&self.file.display().to_string());
        write!(f, "{}: it is {}, ", self.file.display(), self.form.name())?;
        let (command, extension) = match (self.form, self.wanted) {
            (ForeignForm::Certificate | ForeignForm::Pkcs7 { .. }, MaterialKind::Key) => {
                return f.write_str("which has no private key; write the file with the key");
            }
            (ForeignForm::Key, MaterialKind::Certificates) => {
                return f.write_str("which has no certificate; write the file with the chain");
            }
            (ForeignForm::Pfx, MaterialKind::Certificates) => (format!("pkcs12 -in {from} -nokeys"), "crt"),
            (ForeignForm::Pfx, MaterialKind::Key) => (format!("pkcs12 -in {from} -nocerts -nodes"), "key"),
            (ForeignForm::Pkcs7 { armoured: true }, MaterialKind::Certificates) => {
                (format!("pkcs7 -print_certs -in {from}"), "crt")
            }
            (ForeignForm::Pkcs7 { armoured: false }, MaterialKind::Certificates) => {
                (format!("pkcs7 -inform DER -print_certs -in {from}"), "crt")
            }
            (ForeignForm::Certificate, MaterialKind::Certificates) => {
                (format!("x509 -inform DER -in {from}"), "crt")
            }
            (ForeignForm::Key, MaterialKind::Key) => (format!("pkey -inform DER -in {from}"), "key"),
        };
        let to = in_shell(&target(&self.file, extension).display().to_string());
        write!(f, "and must be PEM; convert it: openssl {command} -out {to}")?;
        if self.form == ForeignForm::Pfx {
            f.write_str(" (with -legacy, if it comes from an old Windows)")?;
        }
        Ok(())
    }
}

/// A name beside the file that is not its own.
fn target(file: &Path, extension: &str) -> PathBuf {
    let named = file.with_extension(extension);
    if named == file { file.with_extension("pem") } else { named }
}

/// A word as a shell takes it.
#[must_use]
pub fn in_shell(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The content of a DER SEQUENCE (X.690 §8.1).
fn within_sequence(octets: &[u8]) -> Option<&[u8]> {
    let rest = octets.strip_prefix(&[0x30])?;
    let (first, rest) = rest.split_first()?;
    // A length under 128 is one octet; else its low bits say how many octets follow, 0 for an end that is marked.
    let more = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    rest.get(more..)
}

/// INTEGER 3: a PFX. INTEGER 0: RSA and PKCS#8 keys. INTEGER 1: SEC 1 keys.
const VERSION_3: &[u8] = &[0x02, 0x01, 0x03];
const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];
/// OBJECT IDENTIFIER 1.2.840.113549.1.7.2.
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: Option<ForeignForm>) {
        assert_eq!(ForeignForm::of(octets), expected);
    }

    #[test]
    fn a_form_is_known_by_its_first_octets() {
        check(&[0x30, 0x82, 9, 9, 0x02, 0x01, 0x03, 0x30], Some(ForeignForm::Pfx));
        // Exports of Windows have no length in the outer SEQUENCE.
        check(&[0x30, 0x80, 0x02, 0x01, 0x03, 0x30], Some(ForeignForm::Pfx));
        check(&[0x30, 0x82, 9, 9, 0x30, 0x82, 9, 9, 0xa0], Some(ForeignForm::Certificate));
        check(&[0x30, 0x82, 9, 9, 0x02, 0x01, 0x00, 0x30], Some(ForeignForm::Key));
        check(&[0x30, 0x77, 0x02, 0x01, 0x01, 0x04], Some(ForeignForm::Key));
        let mut chain = vec![0x30, 0x82, 9, 9];
        chain.extend_from_slice(SIGNED_DATA);
        check(&chain, Some(ForeignForm::Pkcs7 { armoured: false }));
        check(b"-----BEGIN PKCS7-----\n", Some(ForeignForm::Pkcs7 { armoured: true }));
        check(b"-----BEGIN CERTIFICATE-----\n", None);
        check(b"no certificate at all", None);
        check(b"", None);
        check(&[0x30], None);
    }

    #[track_caller]
    fn check_words(file: &str, form: ForeignForm, wanted: MaterialKind, expected: &str) {
        assert_eq!(ForeignFile { file: file.into(), form, wanted }.to_string(), expected);
    }

    #[test]
    fn each_form_has_its_command() {
        check_words(
            "tls/gw.pfx",
            ForeignForm::Pfx,
            MaterialKind::Certificates,
            "tls/gw.pfx: it is PKCS#12 (PFX), and must be PEM; convert it: openssl pkcs12 -in tls/gw.pfx -nokeys -out \
             tls/gw.crt (with -legacy, if it comes from an old Windows)",
        );
        check_words(
            "our gw.pfx",
            ForeignForm::Pfx,
            MaterialKind::Key,
            "our gw.pfx: it is PKCS#12 (PFX), and must be PEM; convert it: openssl pkcs12 -in 'our gw.pfx' -nocerts \
             -nodes -out 'our gw.key' (with -legacy, if it comes from an old Windows)",
        );
        check_words(
            "gw.crt",
            ForeignForm::Certificate,
            MaterialKind::Certificates,
            "gw.crt: it is a certificate in DER, and must be PEM; convert it: openssl x509 -inform DER -in gw.crt -out \
             gw.pem",
        );
        check_words(
            "gw.der",
            ForeignForm::Key,
            MaterialKind::Key,
            "gw.der: it is a private key in DER, and must be PEM; convert it: openssl pkey -inform DER -in gw.der -out \
             gw.key",
        );
        check_words(
            "gw.crt",
            ForeignForm::Certificate,
            MaterialKind::Key,
            "gw.crt: it is a certificate in DER, which has no private key; write the file with the key",
        );
    }
}
