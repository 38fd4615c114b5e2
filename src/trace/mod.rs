//! What happened to messages, on disk: events are written by a thread of its own, found by what they say, and summed up
//! by day. It decides nothing, and mail never waits for it.

mod aside;
mod code;
mod decisions;
mod filter;
mod found;
mod keyring;
mod leaf;
mod ledger;
mod outline;
mod reader;
mod rebuilt;
mod record;
mod recorder;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
mod sealed;
mod sealing;
mod stamps;
mod store;
mod sums;
mod terms;
#[cfg(test)]
mod tests;
mod tls_report;
mod upkeep;
mod way;
mod writer;

pub use aside::{AsideFile, is_damage, set_aside, set_aside_in};
pub use code::StoredWord;
pub use filter::TraceFilter;
pub use found::TracedMessages;
pub use keyring::{last_stated, site_key};
pub use outline::MessageOutline;
pub use reader::TraceReader;
pub use record::{EventFacts, EventKind, TracedEvent};
pub use recorder::{DroppedEvents, EventRecorder};
pub use schema::{STORE_FILE, TraceFault};
pub use sealed::{RecordPart, RecordedLine};
pub use stamps::{StampDesk, WantedStamp};
pub use sums::{RequiredQuality, Sum, SumKey, TlsQuality};
pub use tls_report::{
    DomainCount, ForcibleDemand, ForcibleDomain, PartnerShare, SecurityCount, TlsReport, TlsShare,
    TroubleCount, date_of_day,
};
pub use way::{clean, details, is_open, line, said};
pub use writer::TraceStore;
