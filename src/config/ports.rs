//! Ports on which the other side expects TLS to begin elsewhere than configured.

use std::ops::Range;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::Text;
use super::schema;
use crate::connector::{Handshake, NextHop};
use crate::listen::settings::ListenerTls;

/// Warns of them, each where `tls` is written.
pub(super) fn warn(file: &schema::File, checked: &CheckedFile, report: &mut Report<'_>) {
    for (entry, listener) in file.listener.iter().zip(&checked.listen.listeners) {
        let implicit = listener.tls == ListenerTls::Implicit;
        let ports = listener.addresses.iter().map(|address| address.port());
        let Some((port, place)) = odd(implicit, ports, entry.get_ref().tls.as_ref()) else { continue };
        let words = if implicit {
            format!(
                "clients of port {port} wait for a greeting in plaintext, which tls = \"implicit\" never sends; write \
                 \"starttls\", or listen on port 465"
            )
        } else {
            "clients of port 465 begin with TLS (RFC 8314) and never see this greeting; write tls = \"implicit\", or \
             listen on another port"
                .to_owned()
        };
        report.warn(place, words);
    }
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let implicit = connector.handshake == Handshake::Implicit;
        let ports = match &connector.next_hop {
            NextHop::Mx { port } => vec![*port],
            NextHop::SmartHosts(hosts) => hosts.iter().map(|host| host.port).collect(),
        };
        let Some((port, place)) = odd(implicit, ports.into_iter(), entry.get_ref().tls.as_ref()) else {
            continue;
        };
        let words = if implicit {
            format!(
                "servers on port {port} greet in plaintext before TLS, and tls = \"implicit\" begins with TLS; write \
                 tls = \"forced\" for STARTTLS, or port 465"
            )
        } else {
            "servers on port 465 wait for TLS from the first octet (RFC 8314) and send no greeting before it; write \
             tls = \"implicit\", or another port"
                .to_owned()
        };
        report.warn(place, words);
    }
}

/// The first port that hardly goes with TLS from the first octet, or with its absence.
fn odd(
    implicit: bool,
    mut ports: impl Iterator<Item = u16>,
    tls: Option<&Text>,
) -> Option<(u16, Range<usize>)> {
    let port = ports.find(|port| if implicit { STARTTLS.contains(port) } else { *port == SUBMISSIONS })?;
    tls.map(|tls| (port, tls.span()))
}

/// RFC 5321 §4.5.4.2, RFC 6409 §3.1.
const STARTTLS: [u16; 2] = [25, 587];
/// RFC 8314 §7.3.
const SUBMISSIONS: u16 = 465;
