//! Reads the configuration file or a file it names, up to a size limit, and looks at folders. It parses nothing.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

use super::fault::Report;
use super::keys::Text;

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

/// Whether there is a folder.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// Whether it is certain that there is no folder.
pub(super) fn is_no_folder(path: &Path) -> bool {
    let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    std::fs::metadata(path).map_or_else(|fault| gone.contains(&fault.kind()), |found| !found.is_dir())
}

/// Whether something else than a socket is at a path. A link is, too: no socket can be made there.
pub(super) fn is_no_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

/// Whether a path is one of a folder, however the two are written.
pub(super) fn is_in(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    path.parent().and_then(real).is_some_and(|parent| real(folder) == Some(parent))
}

/// Whether users other than the owner and the group can read a file.
pub(super) fn is_readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

/// Whether files can't be renamed from one folder to the other, because they are on different file systems or mounts; `None`
/// if one of them is not there or can't be looked at.
pub(super) fn apart(one: &Path, other: &Path) -> Option<bool> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let look = |path: &Path| statx(CWD, path, AtFlags::empty(), wanted).ok();
    let (one, other) = (look(one)?, look(other)?);
    let device = |seen: &Statx| (seen.stx_dev_major, seen.stx_dev_minor);
    // Older kernels do not say which mount it is. A bind mount of the same file system counts too: rename(2), EXDEV.
    let mount = |seen: &Statx| {
        let known = StatxFlags::from_bits_retain(seen.stx_mask).contains(StatxFlags::MNT_ID);
        known.then_some(seen.stx_mnt_id)
    };
    Some(device(&one) != device(&other) || mount(&one) != mount(&other))
}

pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the file that a key names.
pub(super) fn named(key: &Text, path: &Path, report: &mut Report<'_>) -> Option<Vec<u8>> {
    match read(path, PEM_BYTES_MAX) {
        Ok(octets) => Some(octets),
        Err(fault) => {
            let kind = fault.kind();
            let fix = if kind == io::ErrorKind::NotFound {
                "put the file there, or correct the path"
            } else if kind == io::ErrorKind::PermissionDenied {
                "let the user that Sealpost runs as read it"
            } else {
                "write the path of a PEM file"
            };
            report.fault(key.span(), format!("{} can't be read: {fault}; {fix}", path.display()));
            None
        }
    }
}

const PEM_BYTES_MAX: u64 = 16 << 20;
