//! `-bs`: the caller speaks SMTP over standard input and output. It only copies octets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;

use super::super::exit::EXIT_TEMPORARY;
use super::super::exit::Failure;
use crate::submit::{PATIENCE, SubmitFault};

/// Connects standard input and output to the listener until it closes.
pub(super) fn join(listener: SocketAddr) -> Result<ExitCode, Failure> {
    let lost = |fault| Failure::new(EXIT_TEMPORARY, SubmitFault::Unreachable(listener, fault));
    let mut answers = TcpStream::connect_timeout(&listener, PATIENCE).map_err(lost)?;
    let commands = answers.try_clone().map_err(lost)?;
    // The thread ends with the process: the caller may keep its end open.
    drop(std::thread::spawn(move || {
        let _gone = copy(&mut io::stdin().lock(), &mut &commands);
        let _gone = commands.shutdown(Shutdown::Write);
    }));
    copy(&mut answers, &mut io::stdout().lock()).map_err(lost)?;
    Ok(ExitCode::SUCCESS)
}

/// Forwards data as soon as it arrives: each side waits for the other's replies.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut part = [0_u8; 16 * 1024];
    loop {
        let count = match from.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(fault),
        };
        to.write_all(part.get(..count).unwrap_or_default())?;
        to.flush()?;
    }
}
