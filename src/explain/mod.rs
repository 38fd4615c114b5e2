//! Which connectors of a configuration decide about a reverse-path and a recipient, and what they decide, for `explain` and
//! the console. It uses no network and reads no files.

mod answer;
mod echoed;
mod fault;
mod inbound;
mod outbound;
mod paths;
mod refusal;
mod supposed;

pub use answer::{ExplainReport, explain};
pub use fault::{ExplainFault, some_of};
pub use paths::{NamedRecipient, addressee};
pub use refusal::ExplainedRefusal;
