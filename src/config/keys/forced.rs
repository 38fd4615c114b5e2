//! The keys of the forced TLS requirement, with the conditions and text that both kinds of connector share.

use super::key::Condition;

/// Inbound: only with forced TLS.
pub(super) const IN: Condition = Condition { key: "tls", words: &["forced"], otherwise: &[] };
/// Outbound: only with forced TLS.
pub(super) const OUT: Condition = Condition { key: "tls", words: &["forced", "implicit"], otherwise: &[] };
/// Only if names are checked.
pub(super) const NAME: Condition = Condition {
    key: "require",
    words: &["identity"],
    otherwise: &[
        ("chain", "require is \"chain\"; remove one of the two"),
        ("encryption", "require is \"encryption\"; remove one of the two"),
    ],
};
/// Only if a chain is checked.
pub(super) const CHAIN: Condition = Condition {
    key: "require",
    words: &["identity", "chain"],
    otherwise: &[("encryption", "require is \"encryption\"; remove one of the two")],
};

pub(super) const TRUST: &str =
    "Where the chain must end: `system`, or the ID of a `[trust.ID]`. One is enough.";
pub(super) const TRUST_MORE: &str = "A partner with an authority of its own needs a `[trust.ID]`. \
     `trust = [\"fabrikam\"]` without `system` is also stricter, because any public authority can issue for any name. \
     Naming both, as `[\"system\", \"fabrikam\"]`, helps during a change from one to the other and should not stay. \
     Errors: an unknown ID; one is listed twice.";

pub(super) const MIN_VERSION: &str = "The oldest TLS version that is accepted.";
pub(super) const MIN_VERSION_ABSENT: &str = "`\"1.2\"`; `\"1.3\"` with `key_exchange = \"post-quantum\"`";

pub(super) const PROFILE: &str =
    "Session and certificate must conform to a published guideline in one edition.";
pub(super) const PROFILE_MORE: &str = "A profile is a dated table of suites, groups, signatures, key sizes and validity (docs/profiles.md); what it \
     does not allow is refused like any other unmet requirement, and the reason says what it was. Where a chain is required, the \
     peer's certificate and every issuer below the trust anchor must conform; with `require = \"encryption\"`, its key only. \
     `min_version = \"1.3\"` and, where the profile has hybrid groups, `key_exchange` can narrow it further. Errors: \
     `min_version = \"1.2\"`, which each profile says already; `key_exchange` with a profile that has no hybrid group. Warnings: a \
     listener that the connector names, or each one if it names none, lets clients agree on more, so that they are refused although \
     they could conform; or it takes TLS 1.2 with what can't be seen later (the extended master secret, how the handshake was signed). \
     `min_version = \"1.3\"` ends the latter. Otherwise the connector needs a `[[listener]]` of its own, named in `listeners`, with the \
     profile and mostly `tls = \"required\"`: nobody without TLS is served there, so mail from the Internet needs another.";

pub(super) const PROFILE_OUT_MORE: &str = "A profile is a dated table of suites, groups, signatures, key sizes and validity (docs/profiles.md). It limits what we \
     offer. With forced TLS, what was agreed on is judged too, and the certificate: where a chain is required, the peer's \
     and every issuer below the trust anchor must conform; with `require = \"encryption\"`, its key only. \
     With `opportunistic` no certificate is judged, and a host that has nothing in common with the profile gets mail in \
     plaintext (a warning), unless `on_handshake_failure` is `defer`. In audit mode the \
     handshake is made within the profile, and only if that fails another without its limits, which is recorded. `min_version = \"1.3\"` and, where the profile has hybrid groups, `key_exchange` can narrow it further. \
     Errors: `min_version = \"1.2\"`, which each profile says already; `key_exchange` with a profile that has no hybrid group; \
     the profile does not sign with the key of `client_certificate`. Warning: that certificate does not conform.";

pub(super) const PINS: &str = "One more condition: the certificate's key is one of these, as `sealpost cert show` \
     prints it; each with optional dates.";
pub(super) const PINS_MORE: &str = "A pin is `\"sha256/BASE64\"`, the SHA-256 of the SubjectPublicKeyInfo of the peer's own certificate, not of an \
     issuer. It holds even if an authority issues a certificate to somebody else, and with `require = \
     \"encryption\"` it is the way to accept one self-signed certificate and no other. The price is that mail stops \
     when the partner changes its key without notice. So agree on the next key in advance and write both, with \
     dates: `[\"sha256/OLD= until 2027-03-01\", \"sha256/NEW= from 2027-02-01\"]` (UTC). A date from which no pin is valid is \
     an alarm and a line of `doctor` a month before. Errors: one is listed twice; all of them have ended or none has begun, for \
     `check` and for a reload that brings it (the daemon starts all the same, so that a date does not stop other mail). \
     Warnings: one pin without a successor; a date from which none is valid; one that has ended.";

pub(super) const ORGANISATION: &str =
    "One of these must be an organisation (O) of the certificate's subject. Case does not matter.";
pub(super) const ORGANISATION_MORE: &str = "Authorities that check organisations write a verified one into the certificate; many certificates have none, so \
     look at the partner's first (`sealpost probe`). Anyone can write anything into a certificate of their own, so \
     this counts only on top of a chain or a pin. Errors: `require` is `encryption` without `pins`; an empty text.";
pub(super) const COMMON_NAME: &str = "The same for the subject's common name (CN).";
pub(super) const ISSUER: &str = "The same for the issuer's common name or organisation.";
pub(super) const ISSUER_MORE: &str = "It narrows `trust = [\"system\"]` down to the authority that the partner really uses, without keeping its root. \
     Mail stops when the partner changes its authority, or when the authority renames its issuing certificate, which \
     happens every few years.";

pub(super) const ALLOW_CN: &str =
    "A certificate without a usable subjectAltName is judged by its common name.";
pub(super) const ALLOW_CN_MORE: &str = "For partners whose certificate is older than the rule that names belong in subjectAltName (RFC 9525). Such a \
     name was often not checked by the authority in the same way, so have the certificate renewed and remove the key. \
     Warning: `true`. Error: `peer_names` has only addresses.";

pub(super) const REVOCATION: &str = "`off`; `soft`: a certificate that a list of its trust set names is refused; `hard`: only one that current lists \
     vouch for is accepted.";
pub(super) const REVOCATION_MORE: &str = "The lists are those in `crl` of the trust sets, and with `crl_fetch` those that certificates name; nothing is \
     fetched while mail waits, and OCSP is not used. \
     `soft` costs nothing where there are no lists, so it is the default. `hard` also refuses if a list is missing or \
     has ended: it stops mail when whatever fetches the lists stops, so use it with `trust` sets of your own whose \
     lists you fetch and watch. Warning: `hard` where no anchor of the sets has signed a current list, so that nobody can \
     meet it.";
