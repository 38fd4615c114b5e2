//! What is counted for monitoring: each metric is declared once, events move the counters, and a page has it all as
//! text. Levels, such as the length of the queue, are handed in; it asks nobody.

mod catalogue;
mod counts;
mod observe;
mod page;
mod readings;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod timing;

pub use catalogue::{MetricDeclaration, MetricKind, catalogue};
pub use observe::Metrics;
pub use page::PageFormat;
pub use readings::{ConnectorTerm, LaneReadings, ProcessReadings, QueueReadings, Readings};
