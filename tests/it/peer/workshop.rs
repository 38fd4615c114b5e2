//! Where certificates out of the ordinary are made: by `mint`, and by openssl what no current
//! library makes any more.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, RsaKeySize, SignatureAlgorithm};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureScheme};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::mint::{Authority, Kind, Pair};
use super::site::{PARTNER, Site};
use super::tools;

/// The organisation of the good certificate.
pub(crate) const ORGANISATION: &str = "Partner Ltd";

/// Two authorities, one of which is trusted, and what is below the trusted one.
pub(crate) struct Workshop<'a> {
    pub(crate) partners: &'a Authority,
    pub(crate) renewed: &'a Authority,
    pub(crate) anchor: &'a Pair,
    pub(crate) stranger: Authority,
    good: Pair,
    folder: TempDir,
}

impl<'a> Workshop<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        let partners = &site.partners;
        let folder = tempfile::Builder::new().prefix("sealpost-workshop-").tempdir().unwrap();
        // Its subject has an organisation, for those who ask for one.
        let good = partners.made(&[PARTNER], &KeyPair::generate().unwrap(), |params| {
            params.distinguished_name.push(rcgen::DnType::OrganizationName, ORGANISATION);
        });
        Self {
            partners,
            renewed: &site.renewed,
            anchor: &site.anchor,
            stranger: Authority::new("stranger"),
            good,
            folder,
        }
    }

    /// In order; the same one each time.
    pub(crate) fn good(&self) -> Pair {
        self.good.clone()
    }

    /// The pin of its key, as openssl would print it: `sha256/` and base64.
    pub(crate) fn good_pin(&self) -> String {
        let shown = self.good.certified();
        let key = shown.key.public_key().unwrap();
        format!("sha256/{}", base64(&Sha256::digest(&key)))
    }

    /// In order but for its names.
    pub(crate) fn named(&self, names: &[&str]) -> Pair {
        self.partners.pair(names, Kind::Good)
    }

    /// In order but for one thing.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.partners.made(&[PARTNER], &KeyPair::generate().unwrap(), change)
    }

    /// In order, with a key of this algorithm.
    pub(crate) fn keyed(&self, algorithm: &'static SignatureAlgorithm) -> Pair {
        self.partners.made(&[PARTNER], &KeyPair::generate_for(algorithm).unwrap(), |_| ())
    }

    /// In order, with an RSA key of this size.
    pub(crate) fn rsa(&self, size: RsaKeySize) -> Pair {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
        self.partners.made(&[PARTNER], &key, |_| ())
    }

    /// Issued by an intermediate authority that has something changed about it, which is shown too.
    pub(crate) fn through(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let between = self.partners.below("between", change);
        between.pair(&[PARTNER], Kind::Good).followed_by(&[&between])
    }

    /// Issued by openssl: a new key by `genpkey`, and the options of the signature.
    pub(crate) fn by_openssl(&self, genpkey: &[&str], sign: &[&str], extensions: bool) -> Pair {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(file("ca.crt"), &self.partners.pem).unwrap();
        std::fs::write(file("ca.key"), &self.partners.key_pem).unwrap();
        let names = format!("subjectAltName=DNS:{PARTNER}\n");
        std::fs::write(file("extensions"), names).unwrap();
        let (key, request, certificate) = (file("leaf.key"), file("leaf.csr"), file("leaf.crt"));
        openssl(&[&["genpkey", "-out", &key], genpkey].concat());
        openssl(&["req", "-new", "-key", &key, "-subj", &format!("/CN={PARTNER}"), "-out", &request]);
        let (ca, ca_key, extension_file) = (file("ca.crt"), file("ca.key"), file("extensions"));
        let mut arguments = vec!["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key];
        arguments.extend(["-set_serial", "77", "-days", "3650", "-out", &certificate]);
        if extensions {
            arguments.extend(["-extfile", &extension_file]);
        }
        openssl(&[&arguments, sign].concat());
        let read = |name: String| std::fs::read_to_string(name).unwrap();
        Pair { chain: read(certificate), key: read(key) }
    }
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits =
            three.iter().fold(0, |bits, octet| bits << 8 | usize::from(*octet)) << (8 * (3 - three.len()));
        let digit = |at: usize| match at <= three.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * at) & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    octets.chunks(3).map(group).collect()
}

fn openssl(arguments: &[&str]) {
    let output = Command::new(tools::program("openssl").unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", tools::said(&output));
}

/// A key that our library finds too weak to sign with; openssl does.
#[derive(Debug, Clone)]
pub(crate) struct WeakKey {
    folder: Arc<TempDir>,
}

impl WeakKey {
    pub(crate) fn new(pem: &str) -> Self {
        let weak = Self { folder: Arc::new(tempfile::tempdir().unwrap()) };
        std::fs::write(weak.file(), pem).unwrap();
        weak
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("weak.key")
    }
}

impl SigningKey for WeakKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::RSA
    }
}

impl Signer for WeakKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut child = Command::new(tools::program("openssl").unwrap())
            .args(["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"])
            .arg("-sign")
            .arg(self.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), message).unwrap();
        Ok(child.wait_with_output().unwrap().stdout)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}
