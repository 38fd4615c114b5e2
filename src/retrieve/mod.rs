//! Retrieves what certificates refer to over plain HTTP: revocation lists in the background, other things for a
//! look at them; and posts notices, over TLS. It verifies nothing that it retrieves, and knows no mail.

mod get;
mod keep;
mod post;
mod refresh;
pub mod settings;
mod url;

pub use get::{Payload, Retrieval, RetrieveFault, Retriever};
pub use keep::{ListKeeper, ListTrouble, TrustById};
pub use post::{PostTarget, PostTls};
pub use url::{HttpUrl, UrlFault};
