//! The session that a question describes, and what a connector decides about it.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::fault::ExplainFault;
use crate::admin::{ExplainQuestion, StartTlsTrouble, SupposedSession};
use crate::config::Config;
use crate::connector::{
    ClientCertificate, Decision, Generation, Handshake, HandshakeCause, HandshakeFault, NextHop, Observed,
    OnHandshakeFailure, Outbound, OutboundTls, PeerCertificate, SecuringFault, SessionId, SmartHostName,
    TlsFacts, TlsVersion, TrustId, Verdict, judge,
};
use crate::mail::{Clock, Domain, Enhanced, Reply};
use crate::tls::{self, TrustSet};

/// What the connector would decide about each of its hosts if they presented what the
/// question says, and whether mail would be sent; empty if it describes no session. The daemon's
/// own judge decides, so the results agree.
pub(super) fn supposed(
    question: &ExplainQuestion,
    config: &Config,
    connector: &Outbound,
    domain: Option<&Domain>,
) -> Result<Vec<(bool, Decision)>, ExplainFault> {
    let Some(observed) = observed(question, config, connector)? else { return Ok(Vec::new()) };
    let hosts: Vec<Option<&SmartHostName>> = match &connector.next_hop {
        NextHop::Mx { .. } => vec![None],
        NextHop::SmartHosts(hosts) => hosts.iter().map(|host| Some(&host.name)).collect(),
    };
    let decide = |host: Option<&SmartHostName>| {
        let requirement = connector.requirement(domain, host);
        let name = host.map_or_else(|| "a mail exchanger".to_owned(), ToString::to_string);
        match judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1)) {
            Verdict::Proceed(permit) => (true, Decision::proceeded(connector, &name, &requirement, &permit)),
            Verdict::Withhold(shortfall) => {
                (false, Decision::withheld(connector, &name, &requirement, &observed, &shortfall))
            }
        }
    };
    Ok(hosts.into_iter().map(decide).collect())
}

/// What the described session presents under this connector.
fn observed(
    question: &ExplainQuestion,
    config: &Config,
    connector: &Outbound,
) -> Result<Option<Observed>, ExplainFault> {
    let facts = facts(question, config, tls::Usage::Server)?;
    let starttls = match question.session {
        SupposedSession::Unsecured(trouble) => Some(trouble),
        SupposedSession::Unsaid
        | SupposedSession::WithoutCertificate
        | SupposedSession::Presenting { .. }
        | SupposedSession::Facts { .. } => None,
    };
    if facts.is_none() && starttls.is_none() {
        return Ok(None);
    }
    if connector.tls == OutboundTls::Off {
        return Ok(Some(Observed::NotTried));
    }
    let broken = |fault| match (connector.is_enforced(), connector.on_handshake_failure) {
        (false, OnHandshakeFailure::Clear | OnHandshakeFailure::ClearLater) => {
            Observed::ClearAfterBroken(fault)
        }
        (true, _) | (false, OnHandshakeFailure::Defer) => Observed::Broken(fault),
    };
    let handshake = |words: &str| SecuringFault::Handshake(HandshakeFault::new(words));
    Ok(Some(match (facts, starttls, connector.handshake) {
        (Some(facts), _, _) => Observed::Established(facts),
        (None, Some(StartTlsTrouble::NotOffered), Handshake::StartTls) => Observed::NotOffered,
        (None, Some(StartTlsTrouble::Refused), Handshake::StartTls) => {
            let reply = Reply::new(454, Enhanced(4, 7, 0), "TLS not available");
            Observed::Refused(reply)
        }
        (None, Some(StartTlsTrouble::Broken), _) => broken(handshake("as supposed")),
        (None, Some(StartTlsTrouble::Lost), _) => {
            broken(SecuringFault::SessionLost("as supposed".to_owned()))
        }
        // Never in plaintext because of a certificate, whatever the connector requires.
        (None, Some(StartTlsTrouble::OursRefused), _) => {
            Observed::Broken(SecuringFault::Handshake(HandshakeFault {
                words: "the host refuses our certificate, or the lack of it".to_owned(),
                over_certificate: true,
                cause: HandshakeCause::OursRefused,
            }))
        }
        (None, Some(StartTlsTrouble::NotOffered | StartTlsTrouble::Refused), Handshake::Implicit) => {
            broken(handshake("the host does not begin with TLS"))
        }
        (None, None, _) => return Ok(None),
    }))
}

/// The facts of the described handshake; `None` if the question describes none.
pub(super) fn facts(
    question: &ExplainQuestion,
    config: &Config,
    usage: tls::Usage,
) -> Result<Option<Arc<TlsFacts>>, ExplainFault> {
    let peer = match &question.session {
        SupposedSession::Unsaid | SupposedSession::Unsecured(_) => return Ok(None),
        SupposedSession::Facts { name, text } => {
            return saved(name, text).map(|facts| Some(Arc::new(facts)));
        }
        SupposedSession::WithoutCertificate => PeerCertificate::NotShown,
        SupposedSession::Presenting { name, chain } => {
            let chain = tls::parse_chain(Path::new(name), chain);
            let chain = chain.map_err(|fault| ExplainFault(fault.to_string()))?;
            let set_aside = |(id, set): (&TrustId, &Arc<TrustSet>)| (id.clone(), Arc::new(set.set_aside()));
            let sets: Vec<_> = config.trust.iter().map(set_aside).collect();
            tls::assess(&chain, true, &sets, usage, Clock::wall())
        }
    };
    let suite = match question.version {
        TlsVersion::V12 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        TlsVersion::V13 => "TLS_AES_256_GCM_SHA384",
    };
    let of_server = match usage {
        tls::Usage::Server => Some(ClientCertificate::NotAskedFor),
        tls::Usage::ClientOrServer => None,
    };
    Ok(Some(Arc::new(TlsFacts {
        at: Clock::wall(),
        version: question.version,
        suite: question.suite.clone().unwrap_or_else(|| suite.to_owned()),
        group: question.group.clone(),
        peer,
        sni: None,
        client_certificate: of_server,
        own_sha256: None,
    })))
}

/// Facts as they were logged: bare, or as the `tls` of a decision, whatever contains it.
fn saved(name: &str, text: &str) -> Result<TlsFacts, ExplainFault> {
    let broken = |fault: serde_json::Error| {
        ExplainFault(format!("{name}: these are no facts of a handshake: {fault}"))
    };
    let holder: Holder = serde_json::from_str(text).map_err(broken)?;
    let inner = holder.decision.and_then(|decision| decision.tls);
    holder.tls.or(inner).map_or_else(|| serde_json::from_str(text).map_err(broken), Ok)
}

/// Where facts are found: a decision, or an object that contains one. Bare facts have neither key.
#[derive(Deserialize)]
struct Holder {
    tls: Option<TlsFacts>,
    decision: Option<InnerDecision>,
}

#[derive(Deserialize)]
struct InnerDecision {
    tls: Option<TlsFacts>,
}
