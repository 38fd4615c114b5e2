//! Large content in files.

/// Removes a stored body that no message took over.
#[derive(Debug)]
pub struct Undo;
