//! The seal on the record of events: a Merkle tree of each part, and signed statements that follow each other, so that
//! whoever alters, removes or exchanges something later is found. It keeps nothing itself.

mod account;
mod breaks;
mod chain;
mod hex;
mod key;
mod outline;
mod settings;
mod stamp;
mod statement;
mod tree;

pub use account::{PartAccount, RecordAccount};
pub use breaks::ChainBreak;
pub use chain::{Chain, KeptElsewhere};
pub use key::{SiteKey, SitePublicKey};
pub use outline::{ChainOutline, LastStatement};
pub use settings::SealSettings;
pub use stamp::{StampFault, stamp_request, stamped_hash};
pub use statement::{PartSeal, RemovalCause, STATEMENT_VERSION, SignedStatement, Statement, StatementBody};
pub use tree::{GrowingTree, HASH_LENGTH, Hash, WholeTree, root_by_path};
