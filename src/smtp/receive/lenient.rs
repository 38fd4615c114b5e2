//! Lines that are no commands, read as what they mean where a connector is lenient.

use super::{Phase, Session};
use crate::smtp::command::lenient::meant;
use crate::smtp::command::{Command, CommandFault};

impl Session {
    /// Parses a line. Before a connector is attributed, one that could admit the client decides whether what devices
    /// send is read; the one that is attributed to MAIL has the last word about it.
    pub(super) fn parse(&self, line: &[u8]) -> Result<Command, CommandFault> {
        let fault = match Command::parse(line) {
            Ok(command) => return Ok(command),
            Err(fault) => fault,
        };
        let is_lenient = if let Phase::Envelope(transaction) = &self.phase {
            transaction.connector.lenient
        } else {
            self.table.table().is_lenient_to(&self.channel)
        };
        let read = || Command::parse(&meant(line, &self.rules.name, self.channel.peer)?).ok();
        match is_lenient.then(read).flatten() {
            Some(Command::Mail(mut mail)) => {
                mail.excused = Some(Box::new(fault));
                Ok(Command::Mail(mail))
            }
            Some(command) => Ok(command),
            None => Err(fault),
        }
    }
}
