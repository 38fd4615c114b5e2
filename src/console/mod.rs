//! The console: pages of the admin listener for people. It only shows and asks; `admin::Control` does what is asked.

mod bulk;
mod certificates;
mod chart;
mod connector;
mod deeds;
mod door;
mod explain;
mod fields;
mod kept;
mod message;
mod notice;
mod outlook;
mod overview;
mod page;
mod paper;
mod partners;
mod queue;
mod reports;
mod routes;
mod sessions;
mod settings;
mod site;
mod tracking;
mod validate;

pub use chart::{DayOfMail, bars};
pub use outlook::{
    Outlook, SiteCertificate, ValidatedHost, ValidationAnswer, ValidationListener, ValidationOrder,
    ValidationReport, WatchHistory,
};
pub use page::{number, table};
pub use paper::{PaperTitle, report_document};
pub use routes::CONSOLE_STYLE;
pub use site::Console;
