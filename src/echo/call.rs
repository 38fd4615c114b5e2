//! What a message for the echo mailbox says of itself, and whether it may be answered (RFC 3834 §2).

use crate::connector::EchoMailbox;
use crate::mail::{Mailbox, ReversePath, header_fields, unfolded};

/// What is taken of a message for the echo mailbox: nothing else of it is ever repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoCall {
    /// The mailbox, as the client wrote its address.
    pub address: Mailbox,
    /// Its Message-ID with angle brackets, if it has the form of one.
    pub message_id: Option<String>,
    /// The text of its Date field, if it has the form of a date.
    pub date: Option<String>,
    /// Why it must not be answered, as far as its header section says.
    pub silence: Option<Silence>,
}

/// Why a message is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// There is no echo mailbox any more.
    Off,
    /// It has the null reverse-path: a report, or an answer itself.
    NullPath,
    /// It comes from the echo mailbox's own address.
    OwnAddress,
    /// Its reverse-path is one that programs send from.
    Robot,
    /// It says that no person sent it.
    Automatic,
    /// It says that it is bulk mail.
    Bulk,
    /// It comes from a mailing list.
    List,
    /// Its reverse-path is not ASCII.
    NotAscii,
    /// No outbound connector serves the domain of its reverse-path.
    NoRoute,
    /// The domain has had all answers of this hour.
    HourFull,
    /// All answers of this day were sent.
    DayFull,
}

impl EchoCall {
    /// Reads a header section.
    #[must_use]
    pub fn read(address: Mailbox, header: &[u8]) -> Self {
        let mut call = Self { address, message_id: None, date: None, silence: None };
        for field in header_fields(header) {
            let value = || unfolded(header.get(field.value_at()).unwrap_or_default()).trim().to_owned();
            if field.is("Message-ID") {
                call.message_id = Some(value()).filter(|id| is_message_id(id)).or(call.message_id);
            } else if field.is("Date") {
                call.date = Some(value()).filter(|date| is_date(date)).or(call.date);
            }
            let silence = if field.is("Auto-Submitted") {
                (first_word(&value()) != "no").then_some(Silence::Automatic)
            } else if field.is("Precedence") {
                ["bulk", "list", "junk"].contains(&first_word(&value()).as_str()).then_some(Silence::Bulk)
            } else if field.is("Content-Type") {
                (first_word(&value()) == "multipart/report").then_some(Silence::Automatic)
            } else {
                field.after_prefix("List-").map(|_| Silence::List)
            };
            call.silence = call.silence.or(silence);
        }
        call
    }

    /// Whether it may be answered, and to whom.
    ///
    /// # Errors
    /// Why not.
    pub fn answerable<'a>(
        &self,
        mailbox: &EchoMailbox,
        reverse_path: &'a ReversePath,
    ) -> Result<&'a Mailbox, Silence> {
        let to = reverse_path.mailbox().ok_or(Silence::NullPath)?;
        if mailbox.is(to) {
            return Err(Silence::OwnAddress);
        }
        if !to.is_ascii() {
            return Err(Silence::NotAscii);
        }
        if is_robot(&to.local_meaning()) {
            return Err(Silence::Robot);
        }
        self.silence.map_or(Ok(to), Err)
    }
}

impl Silence {
    /// A stable word for the log.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Off => "echo-off",
            Self::NullPath => "echo-null-path",
            Self::OwnAddress => "echo-own-address",
            Self::Robot => "echo-robot",
            Self::Automatic => "echo-automatic",
            Self::Bulk => "echo-bulk",
            Self::List => "echo-list",
            Self::NotAscii => "echo-not-ascii",
            Self::NoRoute => "echo-no-route",
            Self::HourFull => "echo-hour-full",
            Self::DayFull => "echo-day-full",
        }
    }
}

/// The value up to a parameter or comment, in lower case.
fn first_word(value: &str) -> String {
    let end = value.find([';', '(', ' ', '\t']).unwrap_or(value.len());
    value.get(..end).unwrap_or_default().to_ascii_lowercase()
}

/// `<left@right>` in printable ASCII, short enough for one line.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
    let is_plain = inner.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>'));
    is_plain && inner.contains('@') && text.len() <= MESSAGE_ID_MAX
}

/// The characters of RFC 5322 §3.3 without comments, and no more of them than a date needs.
fn is_date(text: &str) -> bool {
    let is_plain =
        |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b' ' | b',' | b':' | b'+' | b'-');
    (10..=DATE_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether programs send from this local part (RFC 3834 §2, RFC 2142).
fn is_robot(local: &str) -> bool {
    let local = local.to_ascii_lowercase();
    let bare: String = local.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    ROBOTS.contains(&bare.as_str())
        || ["owner-", "bounce-", "bounces-", "bounce+", "bounces+", "prvs=", "srs0=", "srs1="]
            .iter()
            .any(|start| local.starts_with(start))
        || ["-owner", "-request", "-bounce", "-bounces"].iter().any(|end| local.ends_with(end))
}

const ROBOTS: &[&str] = &[
    "mailerdaemon",
    "maildaemon",
    "daemon",
    "noreply",
    "donotreply",
    "bounce",
    "bounces",
    "listserv",
    "majordomo",
    "mailman",
    "autoreply",
    "autoresponder",
    "nobody",
];
/// Octets of a Message-ID that still stands in a line of its own.
const MESSAGE_ID_MAX: usize = 250;
/// Octets of a date.
const DATE_MAX: usize = 40;
