//! Certificates, trust anchors and handshakes. It records what a handshake showed and judges
//! nothing: the connector's requirement decides from the facts whether a chain, name or version is
//! good enough. It knows no SMTP, opens no connection, reads no clock and reloads nothing by
//! itself.

mod assess;
mod cache;
mod certificate;
mod client;
mod crl;
mod describe;
mod fault;
mod form;
mod issuers;
mod limits;
mod ocsp;
mod partners;
mod pem;
mod proof;
mod referral;
mod server;
mod shelf;
mod strength;
mod trust;
mod words;

#[cfg(test)]
mod tests;

pub use assess::{Usage, assess};
pub use cache::{CachedList, ListCache, PresentedUrl};
pub use client::{ClientSettings, ClientSetup, KeyShares};
pub use crl::{ListEnd, ListFault, RevocationList};
pub use describe::{CertificateLine, describe};
pub use fault::{TlsFault, handshake_fault, late_fault, outdated_hello};
pub use form::{ForeignFile, ForeignForm, MaterialKind, in_shell};
pub use partners::{Partners, SeenCertificate};
pub use pem::{Identity, IdentityWarning, parse_chain, read_chain};
pub use referral::{Referral, ReferralKind, referrals};
pub use server::{ClientChain, ServerSettings, ServerSetup};
pub use shelf::{ListShelf, ListSources};
pub use trust::{FetchedListFault, TrustSet};

use std::sync::Arc;

/// A certificate in DER form, as sent in a handshake.
pub type Certificate = rustls::pki_types::CertificateDer<'static>;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CommonState, ProtocolVersion};

use crate::connector::{HandshakeFault, PeerCertificate, TlsFacts, TlsVersion};
use crate::mail::UnixMillis;

/// The only cryptography provider. It is passed to every builder: nothing depends on a process-wide
/// default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The facts that both directions have once a handshake is complete.
fn channel_facts(
    state: &CommonState,
    peer: PeerCertificate,
    sni: Option<String>,
    at: UnixMillis,
) -> Result<TlsFacts, HandshakeFault> {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V13,
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::V12,
        other => {
            let name = other.as_ref().and_then(ProtocolVersion::as_str).unwrap_or("none");
            return Err(HandshakeFault::new(format!("an unexpected protocol version was agreed on: {name}")));
        }
    };
    let suite = state.negotiated_cipher_suite().map_or_else(String::new, |suite| suite_name(suite.suite()));
    let group =
        state.negotiated_key_exchange_group().map_or_else(String::new, |group| format!("{:?}", group.name()));
    Ok(TlsFacts { at, version, suite, group, peer, sni, client_certificate: None, own_sha256: None })
}

/// The name registered with IANA, in which TLS 1.3 suites have no version.
fn suite_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned);
    name.strip_prefix("TLS13_").map_or_else(|| name.clone(), |rest| format!("TLS_{rest}"))
}
