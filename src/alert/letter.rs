//! The text of an alert by mail. It looks nothing up: what waits was counted before.

use std::collections::BTreeMap;

use encodify::qp;

use super::episode::{AlertMail, AlertOccasion, Episode, MailedEpisode, Mending};
use super::fact::MESSAGE_ID_START;
use crate::mail::{Domain, Mailbox, QueueId, UnixMillis, printable_ascii, rfc3339, rfc5322, span_in_words};
use crate::outcome::dsn::{paragraphs, stuffed};

/// What a mail needs besides the episodes.
#[derive(Debug, Clone, Copy)]
pub struct LetterFrame<'a> {
    /// Our host name.
    pub name: &'a Domain,
    /// The sender in the header.
    pub from: &'a Mailbox,
    /// The recipient.
    pub to: &'a Mailbox,
    /// The queue ID of the mail.
    pub id: QueueId,
    /// When it is made.
    pub now: UnixMillis,
    /// What waits, by outbound connector.
    pub waiting: &'a BTreeMap<String, WaitingCount>,
}

/// How much mail waits for a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingCount {
    /// Recipients that were counted.
    pub recipients: u64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// When the message of the oldest was accepted.
    pub oldest: Option<UnixMillis>,
}

/// Composes a mail in wire form, 7-bit. The Message-ID of an alert begins in a way that no mail of others can have here, since
/// only ours comes by no inbound connector.
#[must_use]
pub fn compose_alert(mail: &AlertMail, frame: &LetterFrame<'_>) -> (String, Vec<u8>) {
    let lines = match mail.items.as_slice() {
        [one] => letter(one, frame),
        items => digest(items, mail.more, frame),
    };
    let text = paragraphs(&lines, LINE_CHARS_MAX);
    let (charset, text) = if text.is_ascii() {
        ("us-ascii", text)
    } else {
        ("utf-8\r\nContent-Transfer-Encoding: quoted-printable", qp::BODY.encode(&text))
    };
    let message_id = format!("{MESSAGE_ID_START}{}@{}", frame.id, frame.name);
    // RFC 3834 §5: keeps automatic responders from replying.
    let whole = format!(
        "From: \"Sealpost on {}\" <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{message_id}>\r\n\
         Auto-Submitted: auto-generated\r\n{}MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n\r\n{text}",
        frame.name,
        frame.from,
        frame.to,
        subject(mail, frame),
        rfc5322(frame.now),
        machine_field(mail),
    );
    (message_id, stuffed(whole.as_bytes()))
}

fn subject(mail: &AlertMail, frame: &LetterFrame<'_>) -> String {
    let text = match mail.items.as_slice() {
        [one] => subject_of_one(one),
        items => {
            format!("{} alerts", mail.more.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX)))
        }
    };
    let text: String = text.chars().take(SUBJECT_CHARS_MAX).collect();
    format!("[sealpost {}]\r\n {}", frame.name, printable_ascii(&text))
}

fn subject_of_one(one: &MailedEpisode) -> String {
    let (episode, about) = (&one.episode, one.episode.subject());
    match one.occasion {
        AlertOccasion::Began => format!("{about}: {}", episode.kind.title()),
        AlertOccasion::Ongoing => format!("{about}: still, {}", episode.kind.title()),
        AlertOccasion::Ended => format!("{about}: over, {}", ending(episode)),
        AlertOccasion::Test => "test of alerts".to_owned(),
    }
}

/// The fields for filters and programs: one for each episode of a digest.
fn machine_field(mail: &AlertMail) -> String {
    let field = |one: &MailedEpisode| {
        let episode = &one.episode;
        let name = |what: &str, name: &Option<String>| {
            name.as_ref().map_or_else(String::new, |name| format!(";\r\n {what}={}", printable_ascii(name)))
        };
        format!(
            "X-Sealpost-Alert: kind={}; event={}; episode={}{}{}\r\n",
            episode.kind.word(),
            one.occasion.word(),
            episode.number,
            name("connector", &episode.connector),
            name("partner", &episode.partner),
        )
    };
    mail.items.iter().take(FIELDS_MAX).map(field).collect()
}

fn letter(one: &MailedEpisode, frame: &LetterFrame<'_>) -> Vec<String> {
    let episode = &one.episode;
    let mut lines = match one.occasion {
        AlertOccasion::Test => {
            return vec![
                "This is a test. Somebody has run `sealpost alert test`, and nothing is wrong.".to_owned(),
                String::new(),
                signature(frame),
            ];
        }
        AlertOccasion::Ended => return recovery(episode, frame),
        AlertOccasion::Began => vec![format!("{}.", headline(episode))],
        AlertOccasion::Ongoing => vec![format!(
            "Still, after {}: {}.",
            span_in_words(episode.lasted(frame.now)),
            uncapitalised(&headline(episode))
        )],
    };
    let mut line = |label: &str, text: &str| {
        lines.push(String::new());
        lines.push(format!("{label}: {text}"));
    };
    line("What happened", &sentence(&episode.words));
    if !episode.once {
        let times = match episode.failures {
            1 => String::new(),
            count => format!(", seen {count} times"),
        };
        line("Since", &format!("{}{times}.", rfc3339(episode.since)));
    }
    if episode.kind.stops_outbound() {
        line("Waiting", &waiting(episode, frame));
    }
    if let Some(hint) = &episode.hint {
        line("Hint", hint);
    }
    line("What to do", episode.kind.advice());
    if let Some(contact) = &episode.contact {
        line("Contact", &format!("{} ({})", contact, episode.partner.as_deref().unwrap_or("the partner")));
    }
    line(
        "See more",
        &format!("`{}`, and `sealpost alert list`.", episode.kind.command(episode.connector.as_deref())),
    );
    lines.push(String::new());
    if !episode.once {
        lines.push(
            "You get another message when this is over, and a reminder once a day until then.".to_owned(),
        );
    }
    lines.push(signature(frame));
    lines
}

fn recovery(episode: &Episode, frame: &LetterFrame<'_>) -> Vec<String> {
    let about = episode.connector.as_ref().map_or_else(
        || capitalised(ending(episode)),
        |name| format!("{} (connector {name})", capitalised(ending(episode))),
    );
    let mut lines = vec![
        format!("Over: {about}."),
        String::new(),
        format!("It lasted {}, from {}.", span_in_words(episode.lasted(frame.now)), rfc3339(episode.since)),
        String::new(),
        format!("What had happened: {}", sentence(&episode.words)),
    ];
    if episode.kind.stops_outbound() {
        lines.push(String::new());
        lines.push(format!(
            "Delivered since it began: {}. Waiting now: {}",
            episode.successes,
            waiting(episode, frame)
        ));
    }
    lines.push(String::new());
    lines.push(signature(frame));
    lines
}

fn digest(items: &[MailedEpisode], more: u64, frame: &LetterFrame<'_>) -> Vec<String> {
    let mut lines = vec!["Much happened in a short time, so it comes in one message.".to_owned()];
    let sections = [
        (AlertOccasion::Began, "Began:"),
        (AlertOccasion::Ongoing, "Still going on:"),
        (AlertOccasion::Ended, "Over:"),
    ];
    for (occasion, title) in sections {
        let of: Vec<&Episode> =
            items.iter().filter(|one| one.occasion == occasion).map(|one| &one.episode).collect();
        if of.is_empty() {
            continue;
        }
        lines.extend([String::new(), title.to_owned()]);
        for episode in of {
            let contact =
                episode.contact.as_ref().map_or_else(String::new, |one| format!(" Contact: {one}."));
            let text = match occasion {
                AlertOccasion::Ended => {
                    format!("{}, after {}.", ending(episode), span_in_words(episode.lasted(frame.now)))
                }
                AlertOccasion::Began | AlertOccasion::Ongoing | AlertOccasion::Test => {
                    format!("{}{contact}", sentence(&episode.words))
                }
            };
            let about = episode.connector.as_deref().unwrap_or_else(|| episode.kind.word());
            lines.push(format!("  {about} [{}]: {text}", episode.kind.word()));
        }
    }
    lines.push(String::new());
    if more > 0 {
        lines.push(format!("{more} more were left out."));
    }
    lines.push(
        "`sealpost alert list` shows all that goes on, and `sealpost queue top` what waits.".to_owned(),
    );
    lines.push(signature(frame));
    lines
}

fn headline(episode: &Episode) -> String {
    let title = capitalised(episode.kind.title());
    match (&episode.connector, &episode.partner) {
        (Some(connector), Some(partner)) => format!("{title} (partner {partner}, connector {connector})"),
        (Some(connector), None) => format!("{title} (connector {connector})"),
        (None, _) => title,
    }
}

fn ending(episode: &Episode) -> &'static str {
    match episode.ended.map(|(_, mending)| mending) {
        Some(Mending::Recovered | Mending::Once) | None => episode.kind.over(),
        Some(Mending::Quiet) => "nothing was tried for a day",
        Some(Mending::Gone) => "the connector is gone or was changed",
        Some(Mending::Unseen) => "not seen since the daemon started again",
    }
}

fn waiting(episode: &Episode, frame: &LetterFrame<'_>) -> String {
    let found = episode.connector.as_ref().and_then(|name| frame.waiting.get(name));
    match found {
        None => "unknown; `sealpost queue top` counts it.".to_owned(),
        Some(WaitingCount { recipients: 0, .. }) => "nothing.".to_owned(),
        Some(WaitingCount { recipients, more, oldest }) => {
            let least = if *more { "at least " } else { "" };
            let plural = if *recipients == 1 { "recipient" } else { "recipients" };
            let since = oldest.map_or_else(String::new, |at| format!(", the oldest since {}", rfc3339(at)));
            format!("{least}{recipients} {plural}{since}.")
        }
    }
}

fn signature(frame: &LetterFrame<'_>) -> String {
    format!("This alert was made by Sealpost on {}.", frame.name)
}

/// With a full stop, in one line.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn uncapitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Characters of one paragraph: a peer may have said much.
const LINE_CHARS_MAX: usize = 2_000;
const SUBJECT_CHARS_MAX: usize = 200;
/// Machine fields of a digest.
const FIELDS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alert::{AlertInput, AlertKind, EpisodeBook, Incident};

    fn frame<'a>(
        name: &'a Domain,
        to: &'a Mailbox,
        waiting: &'a BTreeMap<String, WaitingCount>,
    ) -> LetterFrame<'a> {
        LetterFrame {
            name,
            from: to,
            to,
            id: QueueId::first_of(7),
            now: UnixMillis(1_700_000_600_000),
            waiting,
        }
    }

    fn composed(kind: AlertKind, words: &str, over: bool) -> String {
        let mut book = EpisodeBook::default();
        let start = UnixMillis(1_700_000_000_000);
        let incident = Incident {
            kind,
            about: "fabrikam-out".to_owned(),
            connector: Some("fabrikam-out".to_owned()),
            partner: Some("fabrikam".to_owned()),
            contact: Some("mail@fabrikam.example".to_owned()),
            words: words.to_owned(),
            hint: None,
            group: String::new(),
            patience: Duration::ZERO,
            message: None,
            once: false,
        };
        book.take(AlertInput::Failing(incident), start);
        if over {
            let number = book.next_mail().expect("a mail").number;
            book.mailed(number);
            let (connector, group) = ("fabrikam-out".to_owned(), String::new());
            book.take(
                AlertInput::Delivered { connector, group, sealed: true },
                UnixMillis(1_700_000_600_000),
            );
        }
        let (name, to) =
            (Domain::parse("gw1.test").expect("a domain"), Mailbox::parse("ops@a.test").expect("a mailbox"));
        let waits = WaitingCount { recipients: 12, more: true, oldest: Some(start) };
        let waiting = BTreeMap::from([("fabrikam-out".to_owned(), waits)]);
        let (_, octets) = compose_alert(book.next_mail().expect("a mail"), &frame(&name, &to, &waiting));
        String::from_utf8(octets).expect("text")
    }

    #[test]
    fn an_alert_says_what_happened_and_what_to_do() {
        let text = composed(AlertKind::PartnerTls, "the certificate expired on Monday.", false);
        for part in [
            "Subject: [sealpost gw1.test]\r\n fabrikam: mail is waiting: the TLS of the partner does not meet the requirement\r\n",
            "X-Sealpost-Alert: kind=partner-tls; event=began; episode=1;\r\n connector=fabrikam-out;\r\n partner=fabrikam\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "\r\nWhat happened: the certificate expired on Monday.\r\n",
            "\r\nSince: 2023-11-14T22:13:20Z.\r\n",
            "\r\nWaiting: at least 12 recipients, the oldest since 2023-11-14T22:13:20Z.\r\n",
            "\r\nContact: mail@fabrikam.example (fabrikam)\r\n",
            "\r\nSee more: `sealpost validate fabrikam-out`, and `sealpost alert list`.\r\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.split("\r\n").all(|line| line.len() <= 900));
    }

    #[test]
    fn a_recovery_says_how_long_it_lasted() {
        let text = composed(AlertKind::PartnerTls, "no", true);
        assert!(text.contains("\r\n fabrikam: over, mail is delivered again\r\n"), "{text}");
        assert!(text.contains("It lasted 10 minutes, from 2023-11-14T22:13:20Z."), "{text}");
        assert!(text.contains("Delivered since it began: 1."), "{text}");
    }

    #[test]
    fn what_peers_say_breaks_no_header_and_no_line() {
        let text = composed(AlertKind::PartnerTls, "he said \r\n.\r\nSubject: x \u{fc}", false);
        assert!(
            text.contains("quoted-printable") && !text.contains("\r\n.\r\n") && text.is_ascii(),
            "{text}"
        );
        assert_eq!(text.matches("\r\nSubject:").count(), 1);
    }

    #[test]
    fn every_kind_can_be_written_about() {
        for kind in AlertKind::ALL {
            for over in [false, kind.stops_outbound()] {
                let text = composed(*kind, "it is so", over);
                assert!(text.contains("it is so") && text.contains(kind.word()), "{text}");
            }
        }
    }
}
