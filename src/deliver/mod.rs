//! Connections on which mail goes out. It never touches the spool: the scheduler hands it jobs
//! and takes outcomes.

pub mod settings;
