//! The message tracking log: events as one enum, the log they go to, and a watch on long-lived tasks. It
//! decides nothing.

mod backlog;
mod event;
mod fields;
mod journal;
mod log;
mod probes;
mod protocol;
mod settings;
mod vitals;

pub use event::{AlarmTopic, ArrivalTimes, Event, HandshakeSide, MessageFacts, QueueHandling};
pub use fields::QuotedFields;
pub use journal::{Journal, Observer};
pub use log::{LineWriter, Log};
pub use probes::{ProbeBook, ProbeSession};
pub use protocol::{ProtocolFiles, ProtocolLog, Recording, SessionSide};
pub use settings::TrackingSettings;
pub use vitals::{Life, Loss, Vitals};
