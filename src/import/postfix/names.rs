//! The parameters of `main.cf`: which become keys of ours, which concern only Postfix itself, and which have no
//! counterpart unless they are at their default. Every other one is remarked.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::main_cf::{Assignments, ParameterScope, referred};

/// Read somewhere in this module.
pub(super) const READ: &[&str] = &[
    "compatibility_level",
    "config_directory",
    "content_filter",
    "default_destination_concurrency_limit",
    "default_destination_recipient_limit",
    "default_transport",
    "hopcount_limit",
    "inet_interfaces",
    "inet_protocols",
    "message_size_limit",
    "mydestination",
    "mydomain",
    "myhostname",
    "mynetworks",
    "mynetworks_style",
    "myorigin",
    "parent_domain_matches_subdomains",
    "relay_clientcerts",
    "relay_domains",
    "relay_recipient_maps",
    "relay_transport",
    "relayhost",
    "smtp_bind_address",
    "smtp_bind_address6",
    "smtp_destination_concurrency_limit",
    "smtp_destination_recipient_limit",
    "smtp_enforce_tls",
    "smtp_helo_name",
    "smtp_sasl_auth_enable",
    "smtp_sasl_password_maps",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_cert_file",
    "smtp_tls_chain_files",
    "smtp_tls_enforce_peername",
    "smtp_tls_fingerprint_cert_match",
    "smtp_tls_fingerprint_digest",
    "smtp_tls_key_file",
    "smtp_tls_mandatory_protocols",
    "smtp_tls_per_site",
    "smtp_tls_policy_maps",
    "smtp_tls_protocols",
    "smtp_tls_secure_cert_match",
    "smtp_tls_security_level",
    "smtp_tls_verify_cert_match",
    "smtp_tls_wrappermode",
    "smtp_use_tls",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_enforce_tls",
    "smtpd_helo_restrictions",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "smtpd_recipient_limit",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_restriction_classes",
    "smtpd_sender_restrictions",
    "smtpd_tls_CAfile",
    "smtpd_tls_CApath",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_fingerprint_digest",
    "smtpd_tls_key_file",
    "smtpd_tls_req_ccert",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "transport_maps",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// They concern how Postfix itself works: paths, processes, caches, logs, local delivery without relaying.
const ITS_OWN: &[&str] = &[
    "alias_database",
    "alias_maps",
    "append_at_myorigin",
    "append_dot_mydomain",
    "biff",
    "body_checks_size_limit",
    "command_directory",
    "daemon_directory",
    "data_directory",
    "debug_peer_level",
    "debugger_command",
    "default_process_limit",
    "export_environment",
    "home_mailbox",
    "html_directory",
    "import_environment",
    "local_recipient_maps",
    "lmtp_tls_session_cache_database",
    "mail_name",
    "mail_owner",
    "mail_spool_directory",
    "mailbox_command",
    "mailbox_size_limit",
    "maillog_file",
    "maillog_file_prefixes",
    "mailq_path",
    "manpage_directory",
    "meta_directory",
    "newaliases_path",
    "queue_directory",
    "readme_directory",
    "recipient_delimiter",
    "sample_directory",
    "sendmail_path",
    "setgid_group",
    "shlib_directory",
    "smtp_dns_support_level",
    "smtp_tls_ciphers",
    "smtp_tls_loglevel",
    "smtp_tls_mandatory_ciphers",
    "smtp_tls_note_starttls_offer",
    "smtp_tls_scert_verifydepth",
    "smtp_tls_session_cache_database",
    "smtp_tls_session_cache_timeout",
    "smtpd_helo_required",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_auth_only",
    "smtpd_tls_ccert_verifydepth",
    "smtpd_tls_ciphers",
    "smtpd_tls_dh1024_param_file",
    "smtpd_tls_dh512_param_file",
    "smtpd_tls_eecdh_grade",
    "smtpd_tls_loglevel",
    "smtpd_tls_mandatory_ciphers",
    "smtpd_tls_received_header",
    "smtpd_tls_session_cache_database",
    "smtpd_tls_session_cache_timeout",
    "strict_rfc821_envelopes",
    "syslog_facility",
    "syslog_name",
    "tls_high_cipherlist",
    "tls_medium_cipherlist",
    "tls_preempt_cipherlist",
    "tls_random_source",
    "tls_ssl_options",
    "unknown_local_recipient_reject_code",
];

/// At these values nothing is lost.
const UNLESS: &[(&str, &[&str], &str, &str)] = &[
    (
        "smtpd_banner",
        &["$myhostname ESMTP", "$myhostname ESMTP $mail_name", "$myhostname ESMTP $mail_name (Debian/GNU)"],
        "the greeting is always our name",
        "write name in [server]",
    ),
    ("disable_vrfy_command", &["yes"], "VRFY never says whether a recipient exists", "nothing"),
    (
        "smtpd_sasl_auth_enable",
        &["no"],
        "users of SASL are not known here",
        "write users_file; `sealpost user` makes its lines",
    ),
    (
        "tls_append_default_CA",
        &["no"],
        "trust sets are named one by one",
        "write trust = [\"system\", …] where both are meant",
    ),
    (
        "multi_instance_enable",
        &["no"],
        "other instances are not part of this folder",
        "import each folder by itself",
    ),
    (
        "smtpd_tls_protocols",
        &["!SSLv2, !SSLv3", "!SSLv2,!SSLv3", ">=TLSv1", ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"],
        VERSIONS,
        VERSIONS_DO,
    ),
    (
        "smtpd_tls_mandatory_protocols",
        &["!SSLv2, !SSLv3", "!SSLv2,!SSLv3", ">=TLSv1", ">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"],
        VERSIONS,
        VERSIONS_DO,
    ),
    (
        "smtputf8_enable",
        &["yes", "${{$compatibility_level} <level {1} ? {no} : {yes}}"],
        "SMTPUTF8 is offered",
        "write withhold at the listener",
    ),
];

const VERSIONS: &str = "listeners offer TLS 1.2 and 1.3";
const VERSIONS_DO: &str = "write min_version = \"1.3\" at connectors with tls = \"forced\" if that is meant";

/// Beginnings of names, why there is no counterpart, and what to do.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("multi_instance_", "other instances are not part of this folder", "import each folder by itself"),
    ("smtpd_sasl_", "users of SASL are not known here", "write users_file; `sealpost user` makes its lines"),
    (
        "smtp_sasl_",
        "logins are written at the connector for the smart host",
        "write auth_user and auth_secret",
    ),
    ("smtp_tls_dane_", "TLSA records are not looked up", "write peer_names or pins"),
    ("postscreen_", "there is no postscreen", "greeting_delay and [limits] do a part of it"),
    ("milter_", "there are no milters", "put filters before or behind this gateway"),
    ("non_smtpd_milters", "there are no milters", "put filters before or behind this gateway"),
    ("header_checks", "mail is passed byte for byte", "put filters before or behind this gateway"),
    ("mime_header_checks", "mail is passed byte for byte", "put filters before or behind this gateway"),
    ("body_checks", "mail is passed byte for byte", "put filters before or behind this gateway"),
    ("smtp_header_checks", "mail is passed byte for byte", "put filters before or behind this gateway"),
    ("canonical_", "addresses are not rewritten", "rewrite them behind this gateway"),
    ("sender_canonical_", "addresses are not rewritten", "rewrite them behind this gateway"),
    ("recipient_canonical_", "addresses are not rewritten", "rewrite them behind this gateway"),
    ("smtp_generic_maps", "addresses are not rewritten", "rewrite them behind this gateway"),
    ("masquerade_", "addresses are not rewritten", "rewrite them behind this gateway"),
    ("relocated_maps", "recipients are not looked up there", "let the mailbox server answer"),
    ("virtual_", "there are no mailboxes and aliases here", "let the mailbox server do that"),
    ("mailbox_", "there are no mailboxes here", "let the mailbox server do that"),
    ("local_", "there are no mailboxes here", "let the mailbox server do that"),
    (
        "sender_dependent_",
        "the next hop depends on the recipient, or on how mail arrived",
        "see docs/routing.md",
    ),
    ("sender_bcc_maps", "mail is not copied", "copy it behind this gateway"),
    ("recipient_bcc_maps", "mail is not copied", "copy it behind this gateway"),
    ("always_bcc", "mail is not copied", "copy it behind this gateway"),
    ("smtpd_client_", "such limits are in [limits]", "see connections_per_address and messages_per_minute"),
    ("anvil_", "such limits are in [limits]", "see connections_per_address"),
    ("maximal_queue_lifetime", "times of the queue are in [queue]", "write expire"),
    ("bounce_queue_lifetime", "times of the queue are in [queue]", "write null_sender_expire"),
    ("delay_warning_time", "times of the queue are in [queue]", "write delay_dsn"),
    ("minimal_backoff_time", "times of the queue are in [queue]", "write retry"),
    ("maximal_backoff_time", "times of the queue are in [queue]", "write retry"),
    ("queue_run_delay", "times of the queue are in [queue]", "write retry"),
    (
        "tls_server_sni_maps",
        "a listener picks its certificate by the name asked for",
        "list all of them in certificate",
    ),
    ("debug_peer_list", "one level of log is for all", "see level of [log]"),
];

/// The parameters that nothing reads.
pub(super) fn left_over(main: &Assignments, used: &[&Assignments]) -> Result<Vec<Leftover>, ImportFault> {
    let referred = referred(used);
    let nothing = Assignments::new();
    let scope = ParameterScope { overrides: &nothing, main };
    let mut remarks = Vec::new();
    for (name, written) in main {
        if READ.contains(&name.as_str()) || ITS_OWN.contains(&name.as_str()) || referred.contains(name) {
            continue;
        }
        let value = scope.value(name)?;
        let unless = UNLESS.iter().find(|(known, ..)| known == name);
        let is_usual = |defaults: &[&str]| defaults.iter().any(|one| *one == value || one == written);
        if value.is_empty() || unless.is_some_and(|(_, defaults, ..)| is_usual(defaults)) {
            continue;
        }
        let family =
            FAMILIES.iter().find(|(begin, ..)| name.starts_with(begin)).map(|(_, why, do_)| (*why, *do_));
        let (why, instead) = unless
            .map(|(_, _, why, instead)| (*why, *instead))
            .or(family)
            .unwrap_or(("this parameter has no counterpart", "decide whether it matters to your mail"));
        remarks.push(Leftover::new(name, value, why, instead));
    }
    Ok(remarks)
}
