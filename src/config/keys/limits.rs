//! `[limits]`: the limits on one client, one message and all deliveries together.

use toml::Spanned;

use super::TimeoutsValues;
use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{Count, CountOrNone, Optional, Prefix, Size};
use super::section::section;
use crate::config::fault::Report;
use crate::deliver;
use crate::listen::settings::{Limits, Reserve};
use crate::mail::{Domain, NetworkBits};

section! {
    pub(in crate::config) LimitsEntry, LimitsValues;

    message_size: Size<u64> = "150MiB" => {
        meaning: "Content of one message; announced as SIZE.",
        explanation: "Warning: under 64KiB (RFC 5321 section 4.5.3.1.7).",
    }
    header_size: Size<usize> = "256KiB" => {
        meaning: "Header section of one message.",
    }
    line_length: Size<usize> = "32KiB" => {
        meaning: "One line of content, CRLF included. Longer lines are refused, never folded.",
        explanation: "Error: under 1000 octets (RFC 5321 section 4.5.3.1.6).",
    }
    recipients: Count<usize> = 1000 => {
        meaning: "Recipients of one message.",
        explanation: "Warning: under 100 (RFC 5321 section 4.5.3.1.8).",
    }
    hops: Count<usize> = 100 => {
        meaning: "Received lines of one message.",
    }
    own_hops: Count<usize> = 16 => {
        meaning: "The same for lines of this host: how often a message may come by.",
        explanation: "A message that has reached this number is refused as a loop (554 5.4.6). Centralised mail transport \
            passes the gateway twice, a redirection back to the cloud more often: docs/routing.md. Error: over `hops`. \
            Warning: under 4.",
    }
    errors: Count<u32> = 20 => {
        meaning: "Refused or unknown commands in one session since its last accepted message; then it ends.",
        explanation: "Replies 4yz and 5yz count; the session ends with 421 4.7.0. Not counted, up to `recipients` \
            of them: recipients over the limit (452 4.5.3), and what only follows from a refused MAIL or RCPT in \
            the same pipeline (503, 554). Refusals for a reason on our side (4.3.x: no room, the spool) count as \
            `useless_commands`.",
    }
    useless_commands: Count<u32> = 100 => {
        meaning: "Commands without effect (NOOP, RSET, EHLO, HELO, VRFY, HELP) in one session since its last \
            accepted message. Each one beyond is an error.",
        explanation: "Chunks under 64 octets count too, except the last.",
    }
    failed_logins: Count<u32> = 20 => {
        meaning: "Failed logins of one address in ten minutes; beyond, its logins are deferred (454).",
        explanation: "The address is counted by `ipv4_prefix` and `ipv6_prefix`. Its count ends after ten minutes \
            without a failure, or with a correct login. A login counts from the moment it is checked, so parallel ones \
            can't exceed the limit. Beyond the limit its logins are answered 454 4.7.0 and not checked. A session ends at \
            the third failed login.",
    }
    unknown_recipients: Count<u32> = 100 => {
        meaning: "Unknown recipients that one address may ask about in ten minutes; beyond, it is deferred (450).",
        explanation: "For connectors with `verify_recipients`. The address is counted by `ipv4_prefix` and \
            `ipv6_prefix`. Beyond the limit its recipients are answered 450 4.7.1 and no next hop is asked, except \
            those that are remembered. The count ends after ten minutes without an unknown recipient.",
    }
    connections: Count<usize> = 10000 => {
        meaning: "Inbound sessions at the same time.",
    }
    connections_per_address: Count<usize> = 100 => {
        meaning: "Inbound sessions of one address at the same time.",
        explanation: "The address is counted by `ipv4_prefix` and `ipv6_prefix`. Clients that an enforced inbound \
            connector names in `from_networks` may have more: as many as `connections` of that connector, or any \
            number without it.",
    }
    reserved_connections: Optional<CountOrNone> = 1000 => {
        absent: "a tenth of `connections`",
        meaning: "The last places of `connections` are for clients that an inbound connector names in \
            `from_networks`.",
        explanation: "When a crowd of strangers fills the server, your own hosts can still connect. The connectors \
            in effect when the client connects decide; a network of prefix length 0 names nobody. 0 reserves none. \
            Error: as many as `connections` or more.",
    }
    handshakes: Count<usize> = 2000 => {
        meaning: "TLS handshakes in progress at the same time.",
        explanation: "The last tenth is for clients that a connector names. More wait for a place, five seconds at \
            most, in the order in which they came; then STARTTLS is answered 454 4.7.0, and a connection with \
            `tls = \"implicit\"` is closed. At most half of the processors compute for handshakes, whatever this \
            number is.",
    }
    handshakes_per_address: Count<usize> = 20 => {
        meaning: "TLS handshakes of one address in progress at the same time; more wait likewise.",
    }
    ipv4_prefix: Prefix<32> = 32 => {
        meaning: "The leading bits of an IPv4 address by which it is counted: sessions, handshakes, failed logins, \
            lines of the log.",
        explanation: "Error: 0, or over 32.",
    }
    ipv6_prefix: Prefix<128> = 64 => {
        meaning: "The same for an IPv6 address.",
        explanation: "A site has all addresses of its /64, so counting single addresses would limit nobody. A \
            smaller number also stops someone who rents a whole /48, but counts neighbours together. Error: 0, or over 128.",
    }
    content_rate: Size<u64> = "64B" => {
        meaning: "Octets of content a second, on average, that a client must send.",
        explanation: "A client may fall behind by `idle` of `[timeouts]`, and is then cut off with 421 4.4.2.",
    }
    held: Size<usize> = "64KiB" => {
        meaning: "Content of one message held in memory; more streams to a file.",
    }
    free_disk: Size<u64> = "256MiB" => {
        meaning: "What must stay free on the disk of `data_dir`; with less, new mail is refused with 452.",
        explanation: "With less (or few inodes) new mail is refused with 452 4.3.1, deliveries go on, and service \
            resumes by itself. Content that is being received is counted, and free pages of the database are room \
            for small messages: docs/disk.md.",
    }
    queued: Count<u64> = 5000000 => {
        meaning: "Messages in the queue; beyond, new mail is refused with 452.",
        explanation: "From nine tenths on, senders are slowed down; at the limit new mail is refused with 452 4.3.1.",
    }
    outbound_connections: Count<usize> = 1000 => {
        meaning: "Outbound sessions that carry mail at the same time.",
        explanation: "A quarter of them is reserved for domains that took mail last time, and half is closed to \
            domains that fail. Every connector with due mail has at least two. While others wait, a session in \
            which nothing has moved for a second gives up its place and goes on without one. If there are more of \
            those than `outbound_openings`, the ones that have been idle for longest (15 seconds at least) end, and \
            their mail is deferred with that reason, but never after the final dot.",
    }
    outbound_openings: Count<usize> = 4000 => {
        meaning: "Outbound sessions that are being opened at the same time (DNS, connection, greeting, EHLO, TLS).",
        explanation: "They are counted beside those that carry mail and shared out in the same way. One in which \
            nothing has moved for 10 seconds ends while others wait.",
    }
    outbound_connections_per_host: Count<usize> = 50 => {
        meaning: "Outbound connections to one address at the same time, over all domains.",
        explanation: "A connector whose `connections` is larger may have that many.",
    }
    messages_per_connection: Count<u32> = 1000 => {
        meaning: "Messages sent over one outbound connection.",
    }
    recipients_per_transaction: Count<usize> = 100 => {
        meaning: "Recipients in one outbound transaction.",
    }
    addresses: Count<usize> = 10 => {
        meaning: "Addresses tried in one attempt.",
    }
}

impl LimitsValues {
    pub(in crate::config) fn inbound(&self) -> Limits {
        Limits {
            message_bytes_max: self.message_size,
            header_bytes_max: self.header_size,
            line_bytes_max: self.line_length,
            recipients_max: self.recipients,
            hops_max: self.hops,
            own_hops_max: self.own_hops,
            errors_max: self.errors,
            useless_max: self.useless_commands,
            failed_logins_max: self.failed_logins,
            unknown_recipients_max: self.unknown_recipients,
            connections_max: self.connections,
            connections_per_address_max: self.connections_per_address,
            reserved_connections: self.reserved_connections.unwrap_or_default(),
            handshakes_max: self.handshakes,
            handshakes_per_address_max: self.handshakes_per_address,
            network_bits: NetworkBits { ipv4: self.ipv4_prefix, ipv6: self.ipv6_prefix },
            content_rate_min: self.content_rate,
            held_bytes_max: self.held,
        }
    }

    pub(in crate::config) fn outbound(
        &self,
        name: Domain,
        timeouts: &TimeoutsValues,
    ) -> deliver::settings::Settings {
        deliver::settings::Settings {
            name,
            timeouts: timeouts.outbound(),
            addresses_max: self.addresses,
            messages_per_connection_max: self.messages_per_connection,
            recipients_per_transaction_max: self.recipients_per_transaction,
            idle: timeouts.reuse,
        }
    }

    pub(in crate::config) fn reserve(&self) -> Reserve {
        Reserve { free_disk: self.free_disk, queued_max: self.queued }
    }

    /// Fills in values that depend on other keys, and reports what RFC 5321 forbids or advises against.
    pub(in crate::config) fn settle(&mut self, written: &LimitsEntry, report: &mut Report<'_>) {
        let all = self.connections;
        let reserved = *self.reserved_connections.get_or_insert(all / 10);
        if let Some(place) =
            written.reserved_connections.as_ref().map(Spanned::span).filter(|_| reserved >= all)
        {
            report.fault(
                place,
                format!(
                    "reserved_connections = {reserved} leaves nothing of connections = {all} to clients that no \
                     connector names; write a number from 0 to {}",
                    all.saturating_sub(1)
                ),
            );
        }
        if let Some(own) = written.own_hops.as_ref().filter(|_| self.own_hops > self.hops) {
            let words =
                format!("own_hops would be ignored: hops = {} is lower; write a lower number", self.hops);
            report.fault_of_key(own.span(), words);
        } else if let Some(own) = written.own_hops.as_ref().filter(|_| self.own_hops < OWN_HOPS_MIN) {
            report.warn(
                own.span(),
                "own_hops is under 4: mail that our own systems hand back, or that a list or a redirection sends round \
                 once more, is refused as a loop",
            );
        }
        if let Some(line) = written.line_length.as_ref().filter(|_| self.line_length < LINE_BYTES_MIN) {
            report.fault(
                line.span(),
                format!(
                    "line_length is under {LINE_BYTES_MIN} octets, the shortest limit that RFC 5321 section \
                     4.5.3.1.6 allows; write \"{LINE_BYTES_MIN}B\" or more"
                ),
            );
        }
        if let Some(size) = written.message_size.as_ref().filter(|_| self.message_size < MESSAGE_BYTES_MIN) {
            report.warn(
                size.span(),
                "message_size is under the 64KiB that RFC 5321 section 4.5.3.1.7 asks of every server",
            );
        }
        if let Some(count) = written.recipients.as_ref().filter(|_| self.recipients < RECIPIENTS_MIN) {
            report.warn(
                count.span(),
                "recipients is under the 100 that RFC 5321 section 4.5.3.1.8 asks of every server",
            );
        }
    }
}

pub(super) const SECTION: Section = Section {
    name: "limits",
    header: "[limits]",
    sample_header: "[limits]",
    sample: &[],
    comment: "Each is a maximum, unless it says otherwise.",
    intro: "Each is a maximum, unless it says otherwise.",
    reload: false,
    keys: LimitsEntry::KEYS,
};

const LINE_BYTES_MIN: usize = 1000;
const MESSAGE_BYTES_MIN: u64 = 64 << 10;
const RECIPIENTS_MIN: usize = 100;
/// Passages that centralised transport with one redirection takes.
const OWN_HOPS_MIN: usize = 4;
