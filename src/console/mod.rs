//! The console: pages of the admin listener for people. It only shows and asks; `admin::Control` does what is asked.

mod certificates;
mod chart;
mod deeds;
mod door;
mod message;
mod notice;
mod overview;
mod page;
mod partners;
mod queue;
mod reports;
mod routes;
mod sessions;
mod site;
mod tracking;

pub use chart::{DayOfMail, bars};
pub use page::{number, table};
pub use routes::CONSOLE_STYLE;
pub use site::{Console, Outlook, SiteCertificate};
