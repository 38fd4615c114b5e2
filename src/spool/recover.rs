//! What start-up finds on disk and does about it.
