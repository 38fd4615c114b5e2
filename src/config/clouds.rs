//! Clouds that send for all their customers under one certificate, which proves only the cloud.

use crate::connector::{Forced, PeerName, Require};
use crate::mail::Domain;

/// The cloud whose customers all present a certificate that meets this requirement.
pub(super) fn shared_cloud(forced: &Forced) -> Option<&'static str> {
    let Require::Identity { names, .. } = &forced.require else { return None };
    names.iter().find_map(|name| match name {
        PeerName::Exact(name) | PeerName::OneBelow(name) => {
            let is_of = |cloud: &&&str| {
                Domain::parse(cloud).is_ok_and(|cloud| *name == cloud || name.is_below(&cloud))
            };
            SHARED_CLOUDS.iter().find(is_of).copied()
        }
        PeerName::Ip(_) => None,
    })
}

/// Their domains.
const SHARED_CLOUDS: &[&str] = &[
    "protection.outlook.com",
    "protection.office365.us",
    "protection.partner.outlook.cn",
    "google.com",
    "googlemail.com",
    "mimecast.com",
    "messagelabs.com",
    "pphosted.com",
    "ppe-hosted.com",
    "iphmx.com",
];
