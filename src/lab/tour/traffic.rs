//! The mail of the tour: each message is handed to the gateway, as its sender's mail server would.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use super::super::client::Submission;
use super::script::{LetterWay, MAIL_SERVER, PARTNERS, STRANGER, TourLetter, address};
use super::stage::TourStage;
use crate::mail::{Clock, rfc5322};

/// Mail under way to the gateway.
#[derive(Default)]
pub(super) struct TourTraffic {
    sessions: JoinSet<()>,
    count: u64,
}

impl TourTraffic {
    /// Sends a message. What the gateway refuses is gone, as the refusal is what is to be seen; and while nothing is answered,
    /// nothing more is sent.
    pub(super) fn send(&mut self, stage: &TourStage, letter: &TourLetter) {
        while self.sessions.try_join_next().is_some() {}
        if self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        self.count = self.count.saturating_add(1);
        let Some(submission) = submission(stage, letter, self.count) else { return };
        self.sessions.spawn(async move {
            submission.send().await.ok();
        });
    }
}

fn submission(stage: &TourStage, letter: &TourLetter, number: u64) -> Option<Submission> {
    let partner = PARTNERS.get(letter.partner)?;
    let (source, helo, tls) = match letter.way {
        LetterWay::Out => (address(MAIL_SERVER.1), MAIL_SERVER.0.to_owned(), Some(stage.staff.clone())),
        LetterWay::Forged => (address(STRANGER), "pc-17.elsewhere.example".to_owned(), None),
        LetterWay::In => {
            let shown = stage.clients.get(letter.partner)?.as_ref();
            let tls = shown.map(|shown| shown.presented(stage.trouble(letter.partner)).clone());
            (partner.address(), partner.host(), tls)
        }
    };
    let gateway: SocketAddr = stage.gateway();
    let (from, to) = (letter.from.clone(), letter.to.clone());
    Some(Submission {
        source,
        gateway,
        helo,
        tls,
        from,
        to,
        content: content(letter, number),
        originator: None,
    })
}

fn content(letter: &TourLetter, number: u64) -> Vec<u8> {
    let TourLetter { from, to, subject, .. } = letter;
    let (now, host) = (Clock::wall(), from.rsplit_once('@').map_or("", |(_, domain)| domain));
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{}.{number}@{host}>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         Dear colleague,\r\n\r\nplease find enclosed: {subject}.\r\n\r\nRegards\r\n",
        rfc5322(now),
        now.0,
    )
    .into_bytes()
}

const SESSIONS_MAX: usize = 32;
