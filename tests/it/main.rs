//! The one test binary: Sealpost as shipped, from outside, against peers good and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test that meets the unexpected should end there, with the place"
)]

mod addresses;
mod alerts;
mod api;
mod api_described;
mod api_fuzzed;
mod architecture;
mod arrivals;
mod asked;
mod asked_console;
mod assure;
mod brake;
mod break_glass;
mod browsing;
mod circles;
mod cli;
mod client_certificates;
mod commands;
mod config_files;
mod conformance;
mod console;
mod console_pages;
mod crash;
mod crowd;
mod dates;
mod deploy;
mod dialogue;
mod disk;
mod docs;
mod doctor;
mod drain;
mod echo;
mod eight_bit;
mod evidence;
mod examples;
mod extensions;
mod flushes;
mod foreign;
mod gateway;
mod harness;
mod headers;
mod hints;
mod imports;
mod init;
mod lab;
mod lab_hybrid;
mod lab_tour;
mod lenient;
mod life;
mod listing;
mod logins;
mod mailed_reports;
mod manual;
mod metrics;
mod monitoring;
mod outbound_faults;
mod partners;
mod peer;
mod profile_scan;
mod profiles;
mod protocol_log;
mod prove;
mod queue;
mod race;
mod raise;
mod real_peers;
mod refusals;
mod relay;
mod reload;
mod reports;
mod rerouted;
mod revocation;
mod routes;
mod rules;
mod sendmail;
mod spool_faults;
mod style;
mod style_english;
mod tarpits;
mod tls_inbound;
mod tls_inbound_matrix;
mod tls_judge;
mod tls_matrix;
mod tls_outbound;
mod tls_page;
mod traced;
mod unmet;
mod verdict;
mod walks;
mod watching;
