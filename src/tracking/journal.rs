use super::Event;

/// Where events are told.
#[derive(Debug, Default)]
pub struct Journal;

impl Journal {
    /// Tells an event.
    pub fn record(&self, event: &Event<'_>) {
        tracing::info!(?event);
    }
}
