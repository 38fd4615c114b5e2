//! `[certificate.ID]` and `[trust.ID]`: our certificates, and the trust anchors we accept. Declarations only;
//! no file is read here.

use super::entry::Entry as _;
use super::forms::Moment;
use super::key::Section;
use super::kinds::{File, Flag, ListPlaces, Optional, RequiredKey};
use super::section::section;

section! {
    pub(in crate::config) CertificateEntry, CertificateValues;

    chain: RequiredKey<File> = "tls/gw.crt" => {
        meaning: "The certificate chain, PEM: our own certificate first, then its issuers, without the root.",
        explanation: "Errors: the file can't be read, has no certificate, or does not belong to the key.",
    }
    key: RequiredKey<File> = "tls/gw.key" => {
        meaning: "The private key, PEM, without a passphrase. No other user should be able to read it.",
        explanation: "Errors: the file can't be read or has no private key.",
    }
    next_chain: Optional<File> = "tls/gw-2027.crt" => {
        meaning: "The chain of its successor, checked like `chain` from now on.",
        explanation: "A certificate can be replaced without a reload at the right hour: write the three `next_` \
            keys days ahead, and a running daemon changes over by itself at `next_from`. Afterwards move the files \
            to `chain` and `key`. Error: one of the three `next_` keys without the others.",
    }
    next_key: Optional<File> = "tls/gw-2027.key" => {
        meaning: "The successor's private key.",
    }
    next_from: Optional<Moment> = "2027-01-31" => {
        meaning: "From when the successor is used: a date (midnight UTC), or a date and time.",
        explanation: "Written `\"2027-01-31\"` or `\"2027-01-31T12:00:00Z\"`. Warnings: the certificate expires \
            before that; the successor is not valid yet then, or is not valid for longer; it has taken over, and \
            belongs in `chain` and `key`.",
    }
}

section! {
    pub(in crate::config) TrustEntry, TrustValues;

    anchors: Optional<File> = "tls/fabrikam-root.pem" => {
        absent: "an error; only `[trust.system]` has none",
        meaning: "The trust anchors, PEM: one certificate or more.",
        explanation: "A partner's own certificate can be one of them: it is then trusted as it stands, even if it is \
            self-signed and marked as an authority. Errors: missing; the file can't be read or has no certificate; \
            written in `[trust.system]`, whose anchors are the operating system's.",
    }
    crl: Optional<ListPlaces> = ["tls/fabrikam.crl", "http://pki.fabrikam.example/root.crl"] => {
        meaning: "Certificate revocation lists of these authorities: files (PEM or DER), or http URLs to fetch them \
            from; see `revocation`.",
        explanation: "Files are read again at a reload, and when they change. Lists at URLs are fetched in the \
            background and kept in `data_dir`; [`[crl]`](#crl-1) has the limits. All lists of an issuer count, in any \
            order. Warnings: a list has ended, or will within three days (and no newer one is there); no anchor \
            of the set signed it. Errors: a file can't be read or is not a list; a delta list, an indirect list, or one \
            for some reasons only; a URL that is not http.",
    }
    crl_fetch: Flag = false => {
        meaning: "Also fetch the lists that the certificates of verified chains name (CRL distribution points).",
        explanation: "Only a chain that ends in this set causes a fetch, and the mail never waits for it: with \
            `revocation = \"soft\"` the first mail to a partner goes before its lists are there, and with `\"hard\"` it \
            is deferred with that reason. At most 1024 URLs are kept for a set, each until no chain has named it for \
            30 days. `[trust.system]`, with this key and without `anchors`, fetches the lists of public authorities. \
            Lists that can't be fetched are alarms once they are missing or about to end; `sealpost doctor` tries \
            each.",
    }
    crl_private_addresses: Flag = false => {
        meaning: "Lists may also be fetched from addresses outside the public internet.",
        explanation: "For an authority inside your own network. Otherwise an address that is private, loopback, \
            link-local or reserved is not dialled, whatever DNS says, because whoever writes a certificate could make the \
            relay send requests to hosts that only it can reach. Error: nothing is fetched for this set.",
    }
}

pub(super) const CERTIFICATE: Section = Section {
    name: "certificate",
    header: "[certificate.ID]",
    sample_header: "#[certificate.gw]",
    sample: &[],
    comment: "A certificate of ours, named by its ID (\"gw\"). There may be any number, or none.",
    intro: "A certificate of ours. Listeners and outbound connectors name it by the ID. Warnings: nothing uses it; \
        it has expired, will within 30 days, or is not valid yet; a certificate of the chain is not the issuer of \
        the one before it; the issuer is missing and would have to be fetched; others than its owner may read the \
        key. Where it is used: it does not present our name; it is not for servers, or (shown to partners) neither \
        for servers nor for clients.",
    reload: true,
    keys: CertificateEntry::KEYS,
};

pub(super) const TRUST: Section = Section {
    name: "trust",
    header: "[trust.ID]",
    sample_header: "#[trust.fabrikam]",
    sample: &[],
    comment: "A set of trust anchors, named by its ID. \"system\", the operating system's, is built in.",
    intro: "A set of trust anchors. The set `system`, the operating system's, is built in; `[trust.system]` may only \
        say where its revocation lists are. Warning: nothing uses it.",
    reload: true,
    keys: TrustEntry::KEYS,
};
