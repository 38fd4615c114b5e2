//! Retrieves what certificates refer to over plain HTTP: revocation lists in the background, other things for a
//! look at them. It verifies nothing and knows no mail.

mod get;
mod keep;
mod refresh;
pub mod settings;
mod url;

pub use get::{Payload, Retrieval, RetrieveFault, Retriever};
pub use keep::{ListKeeper, ListTrouble, TrustById};
pub use url::{HttpUrl, UrlFault};
