//! The functions that `explain` decides by, asked about the handshakes of the matrix: they must come to
//! what the relay came to.

use std::sync::Arc;

use rustls::{NamedGroup, ProtocolVersion};
use sealpost::config::{self, Config};
use sealpost::connector::{
    Generation, Observed, SessionId, Table, TlsFacts, TlsVersion, Verdict, choose, judge,
};
use sealpost::mail::{Clock, Mailbox};
use sealpost::tls;
use serde_json::Value;

use crate::peer::site::Site;
use crate::tls_matrix::{Cell, is_shortfall};

/// The configuration, read as `explain` reads it.
pub(crate) struct Judge {
    config: Config,
    table: Table,
}

impl Judge {
    pub(crate) fn of(site: &Site) -> Self {
        let config = config::load(&site.home.config()).expect("a configuration");
        let table = Table::new(Generation(1), config.inbound.clone(), config.outbound.clone());
        Self { config, table }
    }

    /// Says where the judgement of a completed handshake and what the relay did part.
    pub(crate) fn disagrees(&self, cell: &Cell, told: &Value) -> Option<String> {
        let (version, group) = cell.sink.read(|log| log.agreed)?;
        let recipient = Mailbox::parse(&cell.recipient()).expect("a mailbox");
        let connector = choose(&self.table, recipient.domain_name()).expect("a connector").connector;
        let requirement = connector.requirement(recipient.domain_name(), None);
        let facts = Arc::new(self.facts(cell, version, group));
        let observed = Observed::Established(facts);
        let verdict = judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1));
        let did = told["token"].as_str().filter(|token| is_shortfall(token));
        let judged = match &verdict {
            Verdict::Proceed(_) => None,
            Verdict::Withhold(shortfall) => Some(shortfall.token()),
        };
        // The server may have completed a handshake whose signature we then refused, or refused us.
        let agree = judged == did || did == Some("handshake-broken");
        (!agree).then(|| format!("{}: judged {judged:?}, the relay did {did:?}", cell.recipient()))
    }

    fn facts(&self, cell: &Cell, version: ProtocolVersion, group: NamedGroup) -> TlsFacts {
        let sets: Vec<_> = self.config.trust.iter().map(|(id, set)| (id.clone(), Arc::clone(set))).collect();
        let version = if version == ProtocolVersion::TLSv1_3 { TlsVersion::V13 } else { TlsVersion::V12 };
        TlsFacts {
            at: Clock::wall(),
            version,
            suite: "any".to_owned(),
            group: format!("{group:?}"),
            peer: tls::assess(&cell.chain, true, &sets, tls::Usage::Server, Clock::wall()),
            sni: None,
            client_certificate: None,
        }
    }
}
