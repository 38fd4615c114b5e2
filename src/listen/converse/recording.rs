//! Hands what is said in a session to the protocol log, with what happens around it. It decides nothing about secrets:
//! the session does.

use std::net::SocketAddr;

use super::Conversation;
use crate::connector::ProtocolLogging;
use crate::smtp::receive::{Session, Spoken};
use crate::tracking::SessionSide;

impl Conversation {
    /// Records the session if a connector that the client could come by asks for it.
    pub(super) fn begin_recording(&mut self, local: Option<SocketAddr>) {
        let logging = self.terms.table.logs_protocol(&self.door.name, self.peer.ip());
        if logging != ProtocolLogging::Off {
            let ends = (local, self.peer);
            self.recording = self.shared.protocol.record(logging, SessionSide::Inbound, ends);
        }
    }

    /// Records what was said since the last time.
    pub(super) fn take_down(&mut self) {
        let (Some(recording), Some(session)) = (&mut self.recording, &mut self.session) else { return };
        for spoken in Session::take_minutes(session) {
            match spoken {
                Spoken::Heard(line) => recording.received(&line),
                Spoken::Said { line, refuses } => {
                    recording.sent(&line);
                    if refuses {
                        recording.fail();
                    }
                }
                Spoken::Content(octets) => recording.note(&format!("content received: {octets} octets")),
                Spoken::Attributed(name, logging) => recording.attribute(&name, logging),
            }
        }
    }
}
