//! The runtime of the verbs that use the network or run the relay.

use super::exit::{EXIT_OS, Failure};

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|fault| Failure::new(EXIT_OS, format!("the runtime can't be started: {fault}")))
}
