//! Reads the configuration file or a file it names, up to a size limit. It parses nothing.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

/// Reads a file; fails if it exceeds the limit.
pub(super) fn read(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(octets_max.saturating_add(1)).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > octets_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {octets_max} octets, which no such file needs"),
        ));
    }
    Ok(octets)
}

pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
