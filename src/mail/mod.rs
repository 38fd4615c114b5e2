//! The vocabulary of mail: domains, paths, envelopes, replies, queue IDs, content. Nothing here knows TLS,
//! sockets or files, and time is an argument everywhere but in [`Clock`].

mod address;
mod authserv;
mod clock;
mod content;
mod dates;
mod display;
mod domain;
mod dsn;
mod edit;
mod envelope;
mod extension;
mod hash;
mod header;
mod network;
mod public;
mod queue_id;
mod received;
mod reply;
mod time;

pub use address::{Mailbox, MailboxDomain, PathFault, ReversePath, is_postmaster};
pub use authserv::claims_to_be;
pub use clock::Clock;
pub use content::{Content, ContentSource};
pub use dates::{Dates, Offsets};
pub use display::{moves_text, printable_ascii, unmoved};
pub use domain::{Domain, DomainFault};
pub use dsn::{MessageDsn, Notify, Occasion, RecipientDsn, Ret, from_xtext, is_xtext};
pub use edit::{Edit, edited};
pub use envelope::{BodyType, Envelope, Recipient};
pub use extension::Extension;
pub use hash::stable_hash;
pub use header::{HeaderField, decoded, header_end, header_fields, unfolded};
pub use network::{Network, NetworkBits};
pub use public::{AddressReach, is_public, reach_of};
pub use queue_id::QueueId;
pub use received::{Protocol, Received, TraceFacts, read_trace};
pub use reply::{Enhanced, Reply};

pub use time::{UnixMillis, day_of_date, rfc3339, rfc3339_millis, rfc5322, span_in_words};
