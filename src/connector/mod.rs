//! The connector table and every decision made from it: which connector serves a domain, whether a peer may
//! submit, whether a session meets the requirement. Pure: no socket, DNS, file or clock.

mod admit;
mod arrival;
mod brake;
mod bypass;
mod choose;
mod compare;
mod decision;
mod dialling;
mod dialogue;
mod echo;
mod expiry;
mod facts;
mod findings;
mod headers;
mod judge;
mod lacks;
mod live;
mod lowered;
mod name;
mod networks;
mod obstacle;
mod onward;
mod organisation;
mod ourselves;
mod partner;
mod pattern;
mod pin;
mod plain;
mod profile;
mod provenance;
mod raise;
mod recipients;
mod record;
mod remember;
mod render;
mod requirement;
mod reroute;
mod sending;
mod shortfall;
mod strength;
mod table;
mod transit;
mod trusted;
mod users;
mod weaker;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use admit::{
    Admission, AdmittedTransaction, Attribution, Channel, Pass, RefusedMail, UnchosenConnector,
    UnmetCondition, admit, unassessed,
};
pub use arrival::Arrival;
pub use brake::{Brake, BrakeMode, BrakeRules, MailCounts, ReleaseCause, Strain, Trip};
pub use bypass::Bypass;
pub use choose::{Choice, ConsideredConnector, choose, displaced};
pub use compare::{Weakening, weaker_inbound, weaker_outbound};
pub use decision::{Attainment, Claim, Decision, RequiredTls, Ruling};
pub use dialling::{AddressFamily, DialRules, MxAddresses};
pub use expiry::expiry_threshold;
pub use facts::{
    CertificateFacts, ChainFault, ChainVerdict, ClientCertificate, IssuerFacts, PeerCertificate,
    PresentedName, RevocationStatus, TlsFacts, TlsVersion, TrustId,
};
pub use findings::HeaderFindings;
pub use headers::{HeaderChange, HeaderHandling, HeaderTally};
pub use judge::{Attained, ClearCause, NotCovered, Observed, Permit, SessionId, Verdict, judge};
pub use lacks::PartnerLack;
pub use live::{DrainTally, LiveTable, OutdatedTransactions, SessionTable, TransactionGuard};
pub use lowered::{Override, OverrideFault};
pub use name::{NameFault, PeerName, first_match};
pub use networks::ClientNetworks;
pub use obstacle::Obstacle;
pub use onward::{Onward, OnwardDemand};
pub use organisation::{is_ours, may_disclose, may_name_contacts};
pub use ourselves::{EchoMailbox, Ourselves};
pub use partner::Partner;
pub use pattern::{DomainPattern, PatternFault, Specificity};
pub use pin::{Pin, PinFault, PinTerm, pin_text};
pub use profile::{CertificateRole, HandshakeOffer, Profile, ProfileGap, ProfileTable, USUAL_OFFER};
pub use provenance::arrival_field;
pub use raise::{MessageMarker, RaiseRule, matching};
pub use recipients::{RecipientCheck, Recipients};
pub use record::DecisionRecord;
pub use remember::TlsMemory;
pub use requirement::{
    Forced, KeyExchange, OverrideLevel, Purpose, Require, Requirement, Revocation, SubjectRules,
};
pub use reroute::{Rerouting, alert_target, choose_again, handed_to, reroute_target};
pub use sending::{Credentials, EightBit, Mechanism, ProtocolLogging, SendingSettings};
pub use shortfall::{HandshakeCause, HandshakeFault, SecuringFault, Shortfall};
pub use strength::{
    AnchorPath, CertificateStrength, HashFunction, IssuerStrength, PublicKeyKind, SignatureFamily,
    SignatureKind,
};
pub use table::{
    BareLf, ClientKind, Generation, Handshake, Inbound, InboundLimits, InboundTls, Mode, NextHop, OnFailure,
    OnHandshakeFailure, Outbound, OutboundTls, Retry, Reveal, Revision, SmartHost, SmartHostName, Sni, Table,
};
pub use transit::{OutboundTransit, StaleProof, Transit};
pub use trusted::{TrustContents, TrustSets};
pub use users::{Login, User, Users, VerifiedLogin};
pub use weaker::Loss;
