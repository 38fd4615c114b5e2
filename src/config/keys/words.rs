//! The keys that allow only certain words, and the value of each word.

use super::kinds::Words;
use crate::config::LogFormat;
use crate::connector::{
    AddressFamily, BareLf, BrakeMode, ClientKind, EightBit, HeaderHandling, KeyExchange, Mechanism, Mode,
    MxAddresses, OnHandshakeFailure, Onward, OverrideLevel, Profile, ProtocolLogging, Purpose, Reveal,
    Revocation, TlsVersion,
};
use crate::listen::settings::ListenerTls;

/// `tls` of an inbound connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsIn {
    Off,
    Opportunistic,
    Forced,
}

/// `tls` of an outbound connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutboundTlsKey {
    Off,
    Opportunistic,
    Forced,
    Implicit,
}

/// `require`: what forced TLS asks of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Level {
    #[default]
    Identity,
    Chain,
    Encryption,
}

/// `to` of a `[[raise]]` rule: it never asks for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RaiseTo {
    #[default]
    Sealed,
    Identity,
}

macro_rules! words {
    ($($type:ty: $($word:literal = $value:expr),+;)*) => {
        $( impl Words for $type { const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),+]; } )*
    };
}

words! {
    TlsIn: "off" = Self::Off, "opportunistic" = Self::Opportunistic, "forced" = Self::Forced;
    OutboundTlsKey: "off" = Self::Off, "opportunistic" = Self::Opportunistic, "forced" = Self::Forced,
        "implicit" = Self::Implicit;
    Level: "identity" = Self::Identity, "chain" = Self::Chain, "encryption" = Self::Encryption;
    ListenerTls: "off" = Self::Off, "starttls" = Self::StartTls, "required" = Self::Required,
        "implicit" = Self::Implicit;
    TlsVersion: "1.2" = Self::V12, "1.3" = Self::V13;
    KeyExchange: "any" = Self::Any, "post-quantum" = Self::PostQuantum, "classic" = Self::Classic;
    Profile: "nl-2025" = Self::Nl2025, "bsi-tr-02102-2-2025" = Self::BsiTr021022Of2025,
        "nist-sp-800-52r2" = Self::NistSp80052r2, "cnsa-1.0" = Self::Cnsa1;
    Revocation: "off" = Self::Off, "soft" = Self::Soft, "hard" = Self::Hard;
    Purpose: "either" = Self::Either, "client" = Self::Client;
    ClientKind: "partner" = Self::Partner, "own" = Self::Own;
    OverrideLevel: "chain" = Self::Chain, "encryption" = Self::Encryption, "opportunistic" = Self::Opportunistic;
    Mode: "enforce" = Self::Enforce, "audit" = Self::Audit, "off" = Self::Off;
    Onward: "any" = Self::Any, "sealed" = Self::Sealed, "identity" = Self::Identity;
    RaiseTo: "sealed" = Self::Sealed, "identity" = Self::Identity;
    HeaderHandling: "preserve" = Self::Preserve, "firewall" = Self::Firewall, "promote" = Self::Promote;
    Reveal: "full" = Self::Full, "partner" = Self::Partner, "code" = Self::Code;
    BrakeMode: "off" = Self::Off, "alarm" = Self::Alarm, "on" = Self::On;
    ProtocolLogging: "off" = Self::Off, "errors" = Self::Errors, "full" = Self::Full;
    BareLf: "refuse" = Self::Refuse, "normalize" = Self::Normalize;
    EightBit: "convert" = Self::Convert, "report" = Self::Report;
    OnHandshakeFailure: "clear" = Self::Clear, "clear_later" = Self::ClearLater, "defer" = Self::Defer;
    AddressFamily: "prefer-ipv6" = Self::PreferIpv6, "prefer-ipv4" = Self::PreferIpv4, "ipv6" = Self::Ipv6,
        "ipv4" = Self::Ipv4;
    MxAddresses: "public" = Self::Public, "private" = Self::Private, "any" = Self::Any;
    Mechanism: "plain" = Self::Plain, "login" = Self::Login, "xoauth2" = Self::XOAuth2;
    LogFormat: "text" = Self::Text, "json" = Self::Json;
}
