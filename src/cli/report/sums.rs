//! The sums that reports are made of, from the tracking store.

use std::path::Path;

use super::super::exit::{EXIT_IO, Failure};
use crate::trace::{Sum, SumKey, TraceReader};

/// The sums of some days, both included.
pub(super) fn between(folder: &Path, (from, to): (i64, i64)) -> Result<Vec<(SumKey, Sum)>, Failure> {
    let sums = TraceReader::open(folder)?.sums(from, to);
    sums.map_err(|fault| Failure::new(EXIT_IO, format!("the tracking store can't be read: {fault}")))
}
