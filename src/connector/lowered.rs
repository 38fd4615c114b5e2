//! Break-glass overrides: a connector's requirement, lowered for a time and no further than its floor allows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::requirement::OverrideLevel;
use super::table::{Handshake, Inbound, InboundTls, Mode, Outbound, OutboundTls, Revision};
use crate::mail::UnixMillis;

/// A requirement that is lowered for a time, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Override {
    /// The connector.
    pub connector: Arc<str>,
    /// What is left of its requirement.
    pub level: OverrideLevel,
    /// When it began.
    pub since: UnixMillis,
    /// When it ends by itself.
    pub until: UnixMillis,
    /// The user who asked for it.
    pub by: String,
    /// Why, in the user's words.
    pub reason: String,
}

/// Why a connector can't be overridden so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverrideFault {
    /// It has no floor.
    #[error("it has no override_floor, so nothing lowers its requirement")]
    NoFloor,
    /// The floor is above that level.
    #[error("its override_floor is \"{}\"", .0.word())]
    BelowFloor(OverrideLevel),
    /// Its requirement is not forced, or not enforced.
    #[error("it enforces no forced TLS, so there is nothing to lower")]
    NotEnforced,
    /// Its requirement is no higher than that level.
    #[error("it requires no more than that, so there is nothing to lower")]
    NothingToLower,
    /// TLS with the first octet has no plaintext form.
    #[error("tls = \"implicit\" can't be opportunistic")]
    Implicit,
    /// It logs in, and the password would be shown to whoever answers.
    #[error("it logs in, and an override would show the password to whoever answers")]
    Login,
    /// An inbound connector binds its domains only while it is forced.
    #[error("an inbound connector stays forced, since it would not bind its domains otherwise")]
    Unbound,
    /// Anybody would be admitted.
    #[error("nothing else restricts its clients, so anyone could claim these domains")]
    Anyone,
}

impl Outbound {
    /// The connector under an override of this level.
    ///
    /// # Errors
    /// [`OverrideFault`].
    pub fn lowered(&self, level: OverrideLevel) -> Result<Self, OverrideFault> {
        let Some(forced) = self.forced().filter(|_| self.mode == Mode::Enforce) else {
            return Err(OverrideFault::NotEnforced);
        };
        within(self.override_floor, level)?;
        if self.sending.auth.is_some() {
            return Err(OverrideFault::Login);
        }
        let tls = match level {
            OverrideLevel::Opportunistic if self.handshake == Handshake::Implicit => {
                return Err(OverrideFault::Implicit);
            }
            OverrideLevel::Opportunistic => OutboundTls::Opportunistic(None),
            OverrideLevel::Encryption | OverrideLevel::Chain => {
                OutboundTls::Forced(level.lower(forced).ok_or(OverrideFault::NothingToLower)?)
            }
        };
        Ok(Self { tls, revision: under(self.revision, level), ..self.clone() })
    }
}

impl Inbound {
    /// The connector under an override of this level. It stays forced, so that it still binds its domains.
    ///
    /// # Errors
    /// [`OverrideFault`].
    pub fn lowered(&self, level: OverrideLevel) -> Result<Self, OverrideFault> {
        let Some(forced) = self.forced().filter(|_| self.mode == Mode::Enforce) else {
            return Err(OverrideFault::NotEnforced);
        };
        within(self.override_floor, level)?;
        if level == OverrideLevel::Opportunistic {
            return Err(OverrideFault::Unbound);
        }
        let lowered = level.lower(forced).ok_or(OverrideFault::NothingToLower)?;
        let revision = under(self.revision, level);
        let lowered = Self { tls: InboundTls::Forced(lowered), revision, ..self.clone() };
        if lowered.restricts_clients() { Ok(lowered) } else { Err(OverrideFault::Anyone) }
    }
}

fn within(floor: Option<OverrideLevel>, level: OverrideLevel) -> Result<(), OverrideFault> {
    match floor {
        None => Err(OverrideFault::NoFloor),
        Some(floor) if level < floor => Err(OverrideFault::BelowFloor(floor)),
        Some(_) => Ok(()),
    }
}

/// The revision of a connector under an override: sessions and permits of the one without it are not its.
fn under(Revision(own): Revision, level: OverrideLevel) -> Revision {
    let mut revision = Revision::default();
    let digest = Sha256::new().chain_update(own).chain_update(level.word()).finalize();
    revision.0.iter_mut().zip(digest).for_each(|(to, octet)| *to = octet);
    revision
}
