//! Builds and joins everything; signals.
