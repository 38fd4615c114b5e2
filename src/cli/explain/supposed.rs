//! The session that the arguments describe, and what a connector decides about it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::super::exit::{EXIT_NO, Failure};
use super::args::{ExplainArgs, StartTls, Version};
use crate::config::Config;
use crate::connector::{
    ClientCertificate, Decision, Generation, Handshake, HandshakeCause, HandshakeFault, NextHop, Observed,
    OnHandshakeFailure, Outbound, OutboundTls, PeerCertificate, SecuringFault, SessionId, SmartHostName,
    TlsFacts, TlsVersion, Verdict, judge,
};
use crate::mail::{Clock, Domain, Enhanced, Reply};
use crate::tls;

/// What the connector would decide about each of its hosts if they presented what the arguments
/// say, and whether mail would be sent; empty if the arguments describe no session. The daemon's
/// own judge decides, so the results agree.
pub(super) fn supposed(
    args: &ExplainArgs,
    config: &Config,
    connector: &Outbound,
    domain: Option<&Domain>,
) -> Result<Vec<(bool, Decision)>, Failure> {
    let Some(observed) = observed(args, config, connector)? else { return Ok(Vec::new()) };
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
fn observed(args: &ExplainArgs, config: &Config, connector: &Outbound) -> Result<Option<Observed>, Failure> {
    let facts = facts(args, config, tls::Usage::Server)?;
    if facts.is_none() && args.starttls.is_none() {
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
    Ok(Some(match (facts, args.starttls, connector.handshake) {
        (Some(facts), _, _) => Observed::Established(facts),
        (None, Some(StartTls::NotOffered), Handshake::StartTls) => Observed::NotOffered,
        (None, Some(StartTls::Refused), Handshake::StartTls) => {
            let reply = Reply::new(454, Enhanced(4, 7, 0), "TLS not available");
            Observed::Refused(reply)
        }
        (None, Some(StartTls::Broken), _) => broken(handshake("as supposed")),
        (None, Some(StartTls::Lost), _) => broken(SecuringFault::SessionLost("as supposed".to_owned())),
        // Never in plaintext because of a certificate, whatever the connector requires.
        (None, Some(StartTls::OursRefused), _) => {
            Observed::Broken(SecuringFault::Handshake(HandshakeFault {
                words: "the host refuses our certificate, or the lack of it".to_owned(),
                over_certificate: true,
                cause: HandshakeCause::OursRefused,
            }))
        }
        (None, Some(StartTls::NotOffered | StartTls::Refused), Handshake::Implicit) => {
            broken(handshake("the host does not begin with TLS"))
        }
        (None, None, _) => return Ok(None),
    }))
}

/// The facts of the described handshake; `None` if the arguments describe none.
pub(super) fn facts(
    args: &ExplainArgs,
    config: &Config,
    usage: tls::Usage,
) -> Result<Option<Arc<TlsFacts>>, Failure> {
    if let Some(file) = &args.facts {
        return saved(file).map(|facts| Some(Arc::new(facts)));
    }
    let peer = match &args.peer_cert {
        None if args.tls => PeerCertificate::NotShown,
        None => return Ok(None),
        Some(file) => assessed(file, config, usage)?,
    };
    let (version, suite) = match args.tls_version {
        Version::V12 => (TlsVersion::V12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        Version::V13 => (TlsVersion::V13, "TLS_AES_256_GCM_SHA384"),
    };
    let of_server = match usage {
        tls::Usage::Server => Some(ClientCertificate::NotAskedFor),
        tls::Usage::ClientOrServer => None,
    };
    Ok(Some(Arc::new(TlsFacts {
        at: Clock::wall(),
        version,
        suite: args.suite.clone().unwrap_or_else(|| suite.to_owned()),
        group: args.group.clone(),
        peer,
        sni: None,
        client_certificate: of_server,
        own_sha256: None,
    })))
}

fn assessed(file: &Path, config: &Config, usage: tls::Usage) -> Result<PeerCertificate, Failure> {
    let chain = tls::read_chain(file).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    let sets: Vec<_> = config.trust.iter().map(|(id, set)| (id.clone(), Arc::clone(set))).collect();
    Ok(tls::assess(&chain, true, &sets, usage, Clock::wall()))
}

/// Facts as they were logged: bare, or as the `tls` of a decision, whatever contains it.
fn saved(file: &Path) -> Result<TlsFacts, Failure> {
    let fail = |why: String| Failure::new(EXIT_NO, format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|fault| fail(fault.to_string()))?;
    let broken = |fault: serde_json::Error| fail(format!("these are no facts of a handshake: {fault}"));
    let holder: Holder = serde_json::from_str(&text).map_err(broken)?;
    let inner = holder.decision.and_then(|decision| decision.tls);
    holder.tls.or(inner).map_or_else(|| serde_json::from_str(&text).map_err(broken), Ok)
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
