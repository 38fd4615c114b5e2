//! The values of the forced TLS keys, for both kinds of connector. The requirement is built elsewhere.

use super::key::Text;
use super::words::Level;
use crate::connector::{KeyExchange, PeerName, Pin, Profile, Purpose, Revocation, TlsVersion};

pub(in crate::config) struct Demands<'a> {
    pub(in crate::config) level: Level,
    pub(in crate::config) peer_names: Option<&'a [PeerName]>,
    pub(in crate::config) trust: &'a [Text],
    pub(in crate::config) min_version: &'a mut Option<TlsVersion>,
    pub(in crate::config) key_exchange: KeyExchange,
    pub(in crate::config) profile: Option<Profile>,
    pub(in crate::config) pins: Option<&'a [Pin]>,
    pub(in crate::config) organisation: Option<&'a [String]>,
    pub(in crate::config) common_name: Option<&'a [String]>,
    pub(in crate::config) issuer: Option<&'a [String]>,
    pub(in crate::config) allow_cn: bool,
    pub(in crate::config) revocation: Revocation,
    pub(in crate::config) accept_purpose: Purpose,
}
