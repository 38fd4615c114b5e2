//! Sealpost: an SMTP relay that enforces opportunistic or forced TLS for each connector, in each
//! direction, and says why. `ARCHITECTURE.md` has the overview. The modules below are in order of
//! dependency: each uses only those above it.

pub mod mail;

pub mod connector;
pub mod echo;
pub mod resolver;

pub mod outcome;
pub mod reports;
pub mod smtp;
pub mod tls;

pub mod retrieve;

pub mod lookout;
pub mod seal;
pub mod spool;
pub mod trace;
pub mod tracking;

pub mod alert;

pub mod scheduler;

pub mod deliver;
pub mod listen;
pub mod submit;

pub mod metrics;

pub mod admin;
pub mod console;
pub mod evidence;
pub mod import;

pub mod config;

pub mod explain;

pub mod assure;
pub mod cli;
pub mod daemon;
pub mod lab;
