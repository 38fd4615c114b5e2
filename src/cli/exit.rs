//! How a verb ends: exit codes and failures.

use crate::config::Faults;

/// The failure of a verb.
#[derive(Debug)]
pub(super) struct Failure {
    /// Text for standard error.
    pub(super) message: String,
    /// 1: the answer is no; 64 to 78: a sysexits code.
    pub(super) exit: u8,
    /// The errors in the configuration, if that is why.
    pub(super) faults: Option<Faults>,
}

impl Failure {
    pub(super) fn new(exit: u8, message: impl ToString) -> Self {
        Self { message: message.to_string(), exit, faults: None }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        let failure = Self::new(EXIT_CONFIG, format!("the configuration has errors\n{faults}"));
        Self { faults: Some(faults), ..failure }
    }
}

/// The answer is "no", or there is a finding.
pub(super) const EXIT_NO: u8 = 1;

/// The arguments are not valid, or don't say enough. The parser of the command line ends with it too.
pub(super) const EXIT_ARGUMENTS: u8 = 2;

/// EX_USAGE: the arguments are incomplete.
pub(super) const EXIT_USAGE: u8 = 64;

/// EX_UNAVAILABLE: the daemon can't be reached.
pub(super) const EXIT_UNAVAILABLE: u8 = 69;

/// EX_SOFTWARE: a required task or thread has ended, or the stop took too long.
pub(super) const EXIT_SOFTWARE: u8 = 70;

/// EX_OSERR: an address can't be bound, a thread can't be started.
pub(super) const EXIT_OS: u8 = 71;

/// EX_IOERR: the spool failed while running.
pub(super) const EXIT_IO: u8 = 74;

/// EX_TEMPFAIL: another process holds the spool.
pub(super) const EXIT_TEMPORARY: u8 = 75;

/// EX_CONFIG: the configuration has errors.
pub(super) const EXIT_CONFIG: u8 = 78;
