//! Retrieves what our certificates, our partners' chains and the trust sets refer to, and verifies what comes back, as
//! `certutil -URL` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::{self, Config};
use crate::connector::{Outbound, TrustId};
use crate::mail::Clock;
use crate::retrieve::{HttpUrl, Payload, Retrieval, Retriever};
use crate::tls::{Certificate, Referral, ReferralKind, TrustSet, referrals};

/// Certificates name these addresses, so partners control their number.
const REFERRALS_MAX: usize = 64;
const AT_ONCE: usize = 8;

/// A URL with its kind, and what it came to.
type Finding = (String, Result<String, String>);

/// What is to be retrieved.
#[derive(Default)]
pub(super) struct ReferralRound {
    /// Each with whether addresses outside the public internet are allowed.
    chains: BTreeMap<Referral, bool>,
}

impl ReferralRound {
    /// Our own chains. We chose our authorities ourselves, so their hosts may be anywhere.
    pub(super) fn add_own(&mut self, config: &Config) {
        for identity in config.identities.values() {
            let sets = config.trust.values().map(|set| &**set);
            self.chains.extend(referrals(identity.chain(), sets).into_iter().map(|one| (one, true)));
        }
    }

    /// The chain of a partner.
    pub(super) fn add_partner(&mut self, config: &Config, connector: &Outbound, chain: &[Certificate]) {
        let named = connector.forced().map_or(&[][..], |forced| forced.trust());
        let sets = named.iter().filter_map(|id| config.trust.get(id)).map(|set| &**set);
        let private = sets.clone().any(|set| set.shelf().sources().private);
        for referral in referrals(chain, sets) {
            self.chains.entry(referral).or_insert(private);
        }
    }

    /// Retrieves all of it, and what the trust sets are fetched from.
    pub(super) async fn run(self, config: &Config, retriever: &Retriever) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut running = JoinSet::new();
        let count = self.chains.len();
        let mut waiting: Vec<ReferralErrand> = Vec::new();
        for (id, set) in &config.trust {
            let urls = set.shelf().urls().into_iter().take(REFERRALS_MAX);
            waiting.extend(urls.map(|url| ReferralErrand::Set(id.clone(), Arc::clone(set), url)));
        }
        waiting.extend(
            self.chains
                .into_iter()
                .take(REFERRALS_MAX)
                .map(|(one, private)| ReferralErrand::Chain(one, private)),
        );
        waiting.reverse();
        while !waiting.is_empty() || !running.is_empty() {
            while running.len() < AT_ONCE
                && let Some(errand) = waiting.pop()
            {
                running.spawn(errand.run(retriever.clone()));
            }
            if let Some(Ok(one)) = running.join_next().await {
                found.push(one);
            }
        }
        found.sort();
        if count > REFERRALS_MAX {
            let words = format!("{count} addresses are named, and {REFERRALS_MAX} of them were tried");
            found.push(("revocation".to_owned(), Ok(words)));
        }
        found
    }
}

/// One retrieval.
enum ReferralErrand {
    /// A list of a trust set.
    Set(TrustId, Arc<TrustSet>, Arc<str>),
    /// Something a certificate names.
    Chain(Referral, bool),
}

impl ReferralErrand {
    async fn run(self, retriever: Retriever) -> Finding {
        match self {
            Self::Set(id, set, url) => {
                let outcome = list_of_set(&retriever, &set, &url).await;
                (format!("trust {id}: list {url}"), outcome)
            }
            Self::Chain(referral, private) => {
                let what = match referral.kind {
                    ReferralKind::Issuer => "issuer",
                    ReferralKind::List => "revocation list",
                    ReferralKind::Ocsp => "OCSP",
                };
                let what = format!("{what} {}", referral.url);
                (what, referred(&retriever, &referral, private).await)
            }
        }
    }
}

async fn list_of_set(retriever: &Retriever, set: &TrustSet, url: &str) -> Result<String, String> {
    let private = set.shelf().sources().private;
    let what = Retrieval { url, private, payload: None };
    let octets = retriever.retrieve(what).await.map_err(|fault| fault.to_string())?;
    let taken = set.take_fetched(url, octets, Clock::wall).map_err(|fault| fault.to_string())?;
    let news =
        if taken.is_some() { "another list than the one that is there" } else { "the list that is there" };
    let list = set.shelf().list(url).ok_or("it was not taken")?;
    if !list.is_current(Clock::wall()) {
        return Err(format!("the list of {} is not current", list.issuer()));
    }
    Ok(format!("{news}, of {}, with {} certificates", list.issuer(), list.count()))
}

async fn referred(retriever: &Retriever, referral: &Referral, private: bool) -> Result<String, String> {
    HttpUrl::parse(&referral.url).map_err(|fault| fault.to_string())?;
    if let Some(why) = config::ended_ocsp(&referral.url).filter(|_| referral.kind == ReferralKind::Ocsp) {
        return Err(format!("{why}; whoever presents this certificate should renew it"));
    }
    let payload = referral.payload()?.map(|(media_type, octets)| Payload { media_type, octets });
    let what = Retrieval { url: &referral.url, private, payload: payload.as_ref() };
    let octets = retriever.retrieve(what).await.map_err(|fault| fault.to_string())?;
    referral.verify(octets, Clock::wall())
}
