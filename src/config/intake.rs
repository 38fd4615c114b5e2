//! What one client may cost, and how long it is waited for: `[limits]` and `[timeouts]` of listeners.

use std::time::Duration;

use super::fault::Report;
use super::schema;
use crate::listen::settings::{Limits, Timeouts};
use crate::mail::NetworkBits;

pub(super) fn limits(limits: &schema::Limits, report: &mut Report<'_>) -> Limits {
    let connections_max = report.count(&limits.connections, "connections", 10_000);
    let checked = Limits {
        message_bytes_max: report.size(&limits.message_size, 150 << 20),
        header_bytes_max: report.size(&limits.header_size, 256 << 10),
        line_bytes_max: report.size(&limits.line_length, 32 << 10),
        recipients_max: report.count(&limits.recipients, "recipients", 1000),
        hops_max: report.count(&limits.hops, "hops", 100),
        errors_max: report.count(&limits.errors, "errors", 20),
        useless_max: report.count(&limits.useless_commands, "useless_commands", 100),
        failed_logins_max: report.count(&limits.failed_logins, "failed_logins", 20),
        connections_max,
        connections_per_address_max: report.count(
            &limits.connections_per_address,
            "connections_per_address",
            100,
        ),
        reserved_connections: reserved(limits, connections_max, report),
        handshakes_max: report.count(&limits.handshakes, "handshakes", 2_000),
        handshakes_per_address_max: report.count(
            &limits.handshakes_per_address,
            "handshakes_per_address",
            20,
        ),
        network_bits: NetworkBits {
            ipv4: prefix(&limits.ipv4_prefix, ("ipv4_prefix", 32, 32), report),
            ipv6: prefix(&limits.ipv6_prefix, ("ipv6_prefix", 64, 128), report),
        },
        content_rate_min: report.size(&limits.content_rate, 64),
        held_bytes_max: report.size(&limits.held, 64 << 10),
    };
    if let Some(line) = limits.line_length.as_ref().filter(|_| checked.line_bytes_max < LINE_BYTES_MIN) {
        report.fault(
            line.span(),
            format!(
                "line_length is under {LINE_BYTES_MIN} octets, the shortest limit that RFC 5321 section \
                 4.5.3.1.6 allows; write \"{LINE_BYTES_MIN}B\" or more"
            ),
        );
    }
    if let Some(size) = limits.message_size.as_ref().filter(|_| checked.message_bytes_max < MESSAGE_BYTES_MIN)
    {
        report.warn(
            size.span(),
            "message_size is under the 64KiB that RFC 5321 section 4.5.3.1.7 asks of every server",
        );
    }
    if let Some(count) = limits.recipients.as_ref().filter(|_| checked.recipients_max < RECIPIENTS_MIN) {
        report.warn(
            count.span(),
            "recipients is under the 100 that RFC 5321 section 4.5.3.1.8 asks of every server",
        );
    }
    checked
}

pub(super) fn timeouts(timeouts: &schema::Timeouts, report: &mut Report<'_>) -> Timeouts {
    Timeouts {
        idle: report.duration(&timeouts.idle, MINUTE * 5),
        line: report.duration(&timeouts.line, MINUTE),
        handshake: report.duration(&timeouts.handshake, SECOND * 30),
        content: report.duration(&timeouts.content, HOUR * 2),
        session: report.duration(&timeouts.session, HOUR),
    }
}

/// A tenth of all, unless it is written.
fn reserved(limits: &schema::Limits, connections_max: usize, report: &mut Report<'_>) -> usize {
    let Some(written) = &limits.reserved_connections else { return connections_max / 10 };
    let reserved = usize::try_from(*written.get_ref()).unwrap_or(usize::MAX);
    if reserved >= connections_max {
        report.fault(
            written.span(),
            format!(
                "reserved_connections = {} leaves nothing of connections = {connections_max} to clients that no \
                 connector names; write a number from 0 to {}",
                written.get_ref(),
                connections_max.saturating_sub(1)
            ),
        );
    }
    reserved
}

/// How many leading bits of an address count.
fn prefix(
    written: &Option<schema::Number>,
    (key, default, max): (&str, u8, u8),
    report: &mut Report<'_>,
) -> u8 {
    let Some(number) = written else { return default };
    match u8::try_from(*number.get_ref()) {
        Ok(bits) if (1..=max).contains(&bits) => bits,
        Ok(_) | Err(_) => {
            let got = number.get_ref();
            report.fault(number.span(), format!("{key} = {got} is not a prefix length; write 1 to {max}"));
            default
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const LINE_BYTES_MIN: usize = 1000;
const MESSAGE_BYTES_MIN: u64 = 64 << 10;
const RECIPIENTS_MIN: usize = 100;
