use std::pin::Pin;
use std::sync::Arc;

use super::view::{Connectors, ReloadAnswer};
use crate::connector::Generation;

/// All connectors that are paused, or why that is not so, in a sentence.
pub type PauseAnswer = Pin<Box<dyn Future<Output = Result<Vec<Arc<str>>, String>> + Send>>;

/// What the daemon does and shows when an operator asks for it.
pub trait Operator: Send + Sync {
    /// Puts in effect what the files say now; it goes on though nobody waits for it any more.
    fn reload(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<ReloadAnswer, ReloadFailure>> + Send>>;

    /// The connectors in effect.
    fn connectors(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Connectors> + Send>>;

    /// Pauses the lanes of an outbound connector, or resumes them; it stays so over a restart. Answers
    /// with all that are paused.
    ///
    /// # Errors
    /// There is no such connector, or it can't be kept; in a sentence.
    fn pause(self: Arc<Self>, name: String, paused: bool) -> PauseAnswer;
}

/// Why nothing has changed.
#[derive(Debug, Clone)]
pub struct ReloadFailure {
    /// The generation that stays in effect.
    pub generation: Generation,
    /// The mistakes, each with file, line and column where it has a place.
    pub faults: Vec<String>,
}
