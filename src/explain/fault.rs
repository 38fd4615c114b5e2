//! Why a question has no answer.

/// What is wrong with a question, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExplainFault(pub String);
