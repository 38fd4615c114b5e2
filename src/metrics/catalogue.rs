//! Every metric, declared once: name, kind, labels and meaning. Nothing is counted here.

/// What a metric is to its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, from 0 at the start. Its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in seconds, by upper bounds.
    Histogram,
}

impl MetricKind {
    /// The word of the text formats.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDeclaration {
    /// Its name, without the endings that samples of its kind have.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
}

impl MetricDeclaration {
    /// The names of its samples, as queries write them.
    #[must_use]
    pub fn samples(&self) -> Vec<String> {
        match self.kind {
            MetricKind::Counter => vec![format!("{}_total", self.name)],
            MetricKind::Gauge => vec![self.name.to_owned()],
            MetricKind::Histogram => {
                ["_bucket", "_sum", "_count"].iter().map(|end| format!("{}{end}", self.name)).collect()
            }
        }
    }
}

/// A counter with `N` labels.
pub(super) struct Counter<const N: usize>(pub(super) MetricDeclaration);
/// A gauge with `N` labels.
pub(super) struct Gauge<const N: usize>(pub(super) MetricDeclaration);
/// A histogram with `N` labels.
pub(super) struct Histogram<const N: usize>(pub(super) MetricDeclaration);

/// Declares constants of these kinds, and [`catalogue`], which has them all.
macro_rules! declare {
    ($( $constant:ident: $kind:ident = $name:literal, [$($label:literal),*], $help:literal; )*) => {
        $(
            pub(super) const $constant: $kind<{ <[&str]>::len(&[$($label),*]) }> = $kind(MetricDeclaration {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
            });
        )*

        /// Every metric.
        #[must_use]
        pub fn catalogue() -> Vec<MetricDeclaration> {
            vec![$( $constant.0 ),*]
        }
    };
}

declare! {
    ACCEPTED_MESSAGES: Counter = "sealpost_accepted_messages", ["connector", "partner", "version"],
        "Messages that were accepted with 250, by the TLS version of the session.";
    ACCEPTED_RECIPIENTS: Counter = "sealpost_accepted_recipients", ["connector", "partner"],
        "Recipients of accepted messages.";
    ACCEPTED_BYTES: Counter = "sealpost_accepted_bytes", ["connector", "partner"],
        "Octets of accepted messages.";
    ACCEPT_SECONDS: Histogram = "sealpost_accept_seconds", ["connector"],
        "From the end of a message's content until it was on stable storage and its 250 could be sent.";
    REFUSALS: Counter = "sealpost_refusals", ["connector", "partner", "reason"],
        "Commands, messages and connections that were refused; the connector is empty if none had been chosen.";
    INBOUND_SESSIONS: Gauge = "sealpost_inbound_sessions", ["listener"],
        "Sessions of clients that are open.";
    INBOUND_SESSIONS_MAX: Gauge = "sealpost_inbound_sessions_max", [],
        "How many sessions of clients may be open at the same time.";
    INBOUND_HANDSHAKES: Counter = "sealpost_inbound_handshakes", ["listener", "version", "result"],
        "TLS handshakes of clients that ended, completed or failed.";
    INBOUND_HANDSHAKE_SECONDS: Histogram = "sealpost_inbound_handshake_seconds", ["listener"],
        "How long completed TLS handshakes of clients took.";
    DELIVERIES: Counter = "sealpost_deliveries", ["connector", "partner", "version"],
        "Recipients whose message a next hop took, by the TLS version of the session.";
    DELIVERY_SECONDS: Histogram = "sealpost_delivery_seconds", ["connector"],
        "From the acceptance of a message until a next hop took it for a recipient.";
    LAST_DELIVERY: Gauge = "sealpost_last_delivery_timestamp_seconds", ["connector", "partner"],
        "When a next hop last took a message, since the start.";
    DEFERRALS: Counter = "sealpost_deferrals", ["connector", "partner", "reason"],
        "Recipients that were deferred; each attempt counts.";
    FAILURES: Counter = "sealpost_failures", ["connector", "partner", "reason"],
        "Recipients that failed for good.";
    REROUTES: Counter = "sealpost_reroutes", ["connector", "partner", "reason"],
        "Recipients that another connector took over since no host met the requirement of this one.";
    REPORTS: Counter = "sealpost_reports", ["kind"],
        "Delivery status notifications that were made, and answers of the echo mailbox (`echo`).";
    PLAINTEXT_FALLBACKS: Counter = "sealpost_plaintext_fallbacks", ["connector", "partner", "reason"],
        "Outbound sessions that went on in plaintext.";
    WAIVED: Counter = "sealpost_waived", ["direction", "connector", "partner", "reason"],
        "Outbound sessions and inbound messages that audit mode let pass and enforcing would have stopped.";
    OUTBOUND_HANDSHAKES: Counter = "sealpost_outbound_handshakes", ["connector", "partner", "version", "result"],
        "TLS handshakes with next hops that ended, completed or failed.";
    OUTBOUND_HANDSHAKE_SECONDS: Histogram = "sealpost_outbound_handshake_seconds", ["connector"],
        "How long completed TLS handshakes with next hops took.";
    POST_QUANTUM_OMITTED: Counter = "sealpost_post_quantum_omitted", ["connector", "partner"],
        "Handshakes that failed with a post-quantum key share and were completed without it.";
    HANDLED_MESSAGES: Counter = "sealpost_handled_messages", ["action"],
        "Queued messages that an operator held, released, removed, bounced or retried.";
    QUEUE_MESSAGES: Gauge = "sealpost_queue_messages", [],
        "Messages with a recipient that is not done.";
    QUEUE_RECIPIENTS: Gauge = "sealpost_queue_recipients", [],
        "Recipients that are not done.";
    QUEUE_HELD: Gauge = "sealpost_queue_held_messages", [],
        "Queued messages that are held.";
    QUEUE_LIMIT: Gauge = "sealpost_queue_messages_max", [],
        "How many messages may be queued before new mail is deferred.";
    QUEUE_OLDEST: Gauge = "sealpost_queue_oldest_age_seconds", [],
        "Age of the oldest queued message, held ones included; 0 if there is none.";
    WAITING_RECIPIENTS: Gauge = "sealpost_waiting_recipients", ["connector", "partner"],
        "Recipients that are not done, held ones included; at most 10000 are counted of each connector.";
    WAITING_OLDEST: Gauge = "sealpost_waiting_oldest_age_seconds", ["connector", "partner"],
        "Age of the oldest message among them; 0 if there is none.";
    LANES: Gauge = "sealpost_lanes", ["connector", "partner", "state"],
        "Next hops that have mail or had some a moment ago: open, failing or paused.";
    FAILING_LANES: Gauge = "sealpost_failing_lanes", ["connector", "partner", "reason"],
        "Next hops whose last attempt failed as a whole, by its reason; their mail waits.";
    LANE_MESSAGES: Gauge = "sealpost_lane_messages", ["connector", "partner", "state"],
        "Messages that are in memory for delivery; a failing next hop has its mail on disk.";
    OUTBOUND_SESSIONS: Gauge = "sealpost_outbound_sessions", ["connector", "partner", "stage"],
        "Outbound sessions by what they do; a session that carries mail has a seat.";
    CONNECTOR_INFO: Gauge = "sealpost_connector_info", ["direction", "connector", "partner", "tls", "mode"],
        "The connectors of the configuration; always 1.";
    CONNECTOR_PAUSED: Gauge = "sealpost_connector_paused", ["connector", "partner"],
        "Whether an operator has paused an outbound connector.";
    OVERRIDE_ENDS: Gauge = "sealpost_override_expiry_timestamp_seconds", ["connector", "partner"],
        "When the break-glass override of a connector ends; only while it has one.";
    BRAKE_ACTIVE: Gauge = "sealpost_brake_active", ["connector", "partner", "action"],
        "Inbound connectors by which a flood came, as long as it lasts; always 1.";
    ALARMS: Gauge = "sealpost_alarms", ["kind"],
        "Alarms that last.";
    CERTIFICATE_ENDS: Gauge = "sealpost_certificate_expiry_timestamp_seconds", ["certificate"],
        "When a certificate of ours expires.";
    PIN_ENDS: Gauge = "sealpost_pin_expiry_timestamp_seconds", ["direction", "connector", "partner"],
        "From when no pin of a connector is valid, if its pins end.";
    ANCHOR_ENDS: Gauge = "sealpost_trust_anchor_expiry_timestamp_seconds", ["trust"],
        "When the first trust anchor of a set expires that has no later one of the same name.";
    CRL_ENDS: Gauge = "sealpost_crl_expiry_timestamp_seconds", ["trust"],
        "When the first certificate revocation list of a trust set ends that was not replaced.";
    PARTNER_CERTIFICATE_ENDS: Gauge = "sealpost_partner_certificate_expiry_timestamp_seconds", ["connector", "partner"],
        "When the first certificate expires that a next hop presented last and that met a forced requirement.";
    DISK_FREE: Gauge = "sealpost_disk_free_bytes", [],
        "Octets that the spool's disk has left for this user.";
    DISK_RESERVE: Gauge = "sealpost_disk_reserve_bytes", [],
        "Octets that must stay free for new mail to be accepted.";
    DATABASE_BYTES: Gauge = "sealpost_spool_database_bytes", [],
        "Octets of the spool's database.";
    DATABASE_FREE: Gauge = "sealpost_spool_database_free_bytes", [],
        "Octets of the spool's database that new messages use first.";
    INTAKE: Gauge = "sealpost_intake", ["state"],
        "Whether there is room for new mail: 1 for the present state, 0 for the others.";
    LOG_DROPPED: Counter = "sealpost_log_lines_dropped", [],
        "Log lines that were dropped since the log was not read fast enough.";
    TRACKING_DROPPED: Counter = "sealpost_tracking_records_dropped", [],
        "Events that the tracking store dropped since they came faster than the disk took them.";
    ADMIN_REFUSED: Counter = "sealpost_admin_requests_refused", [],
        "Requests to the admin listener without a valid token.";
    ADMIN_LIMITED: Counter = "sealpost_admin_requests_limited", [],
        "Requests to the admin listener that were refused since their bearer, or those without a token, ask too much.";
    ADMIN_CROWDED: Counter = "sealpost_admin_connections_closed", [],
        "Connections to the admin listener that were closed because all were taken: no whole request had come, or the answer was not read.";
    GENERATION: Gauge = "sealpost_config_generation", [],
        "The generation of the connector table in effect; each reload and override adds one.";
    RELOAD_OK: Gauge = "sealpost_config_last_reload_successful", [],
        "Whether the configuration files as they are now have taken effect.";
    RELOAD_AT: Gauge = "sealpost_config_last_reload_success_timestamp_seconds", [],
        "When the configuration last took effect.";
    BUILD_INFO: Gauge = "sealpost_build_info", ["version"],
        "The version of the program; always 1.";
    PROCESS_START: Gauge = "process_start_time_seconds", [],
        "When the process started.";
    PROCESS_CPU: Counter = "process_cpu_seconds", [],
        "Processor time used, in seconds.";
    PROCESS_RESIDENT: Gauge = "process_resident_memory_bytes", [],
        "Resident memory in octets.";
    PROCESS_FDS: Gauge = "process_open_fds", [],
        "Open file descriptors.";
    PROCESS_FDS_MAX: Gauge = "process_max_fds", [],
        "How many file descriptors may be open.";
}
