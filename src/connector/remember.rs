//! `remember_tls`: what happens if a host that had TLS before no longer offers it. The memory itself is
//! stored elsewhere.

use std::time::Duration;

use super::decision::Decision;
use super::judge::Attained;
use super::table::Outbound;

/// What is remembered about a recipient domain or smart host of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMemory {
    /// TLS was never seen.
    Never,
    /// The last session used TLS.
    Sealed,
    /// TLS was seen once, and has been missing for this long.
    WithoutFor(Duration),
}

impl Outbound {
    /// The decision that withholds mail from a plaintext session because TLS was seen before; `None` if mail
    /// may be sent.
    #[must_use]
    pub fn withheld_by_memory(&self, host: &str, attained: &Attained, memory: TlsMemory) -> Option<Decision> {
        let Attained::Clear(cause) = attained else { return None };
        match memory {
            TlsMemory::Never => None,
            TlsMemory::WithoutFor(time) if !self.remember_tls || time >= PLAINTEXT_AFTER => None,
            TlsMemory::Sealed if !self.remember_tls => None,
            TlsMemory::Sealed | TlsMemory::WithoutFor(_) => {
                Some(Decision::remembered(self, host, cause.clone()))
            }
        }
    }
}

/// How long a host that had TLS before must be without it before mail is sent in plaintext.
const PLAINTEXT_AFTER: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::super::judge::ClearCause;
    use super::super::samples::outbound;
    use super::*;

    #[test]
    fn a_host_without_its_tls_gets_plaintext_after_an_hour() {
        let check = |remember_tls: bool, memory: TlsMemory, expected: bool| {
            let connector = Outbound { remember_tls, ..outbound("out", &["*"], 1) };
            let clear = Attained::Clear(ClearCause::NotOffered);
            let decision = connector.withheld_by_memory("mx", &clear, memory);
            assert_eq!(decision.is_some(), expected, "{remember_tls} {memory:?}");
        };
        let minutes = |minutes: u64| TlsMemory::WithoutFor(Duration::from_secs(60 * minutes));
        check(true, TlsMemory::Never, false);
        check(true, TlsMemory::Sealed, true);
        check(true, minutes(59), true);
        check(true, minutes(60), false);
        check(false, TlsMemory::Sealed, false);
        check(false, minutes(1), false);
    }
}
