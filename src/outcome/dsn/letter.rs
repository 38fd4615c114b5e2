//! The start of a report, for readers who know nothing about mail servers: what happened, what to do, and who
//! can fix it.

use super::cause::{Hindrance, TlsFlaw};
use super::report::{Addressee, Detail, Fate, Kind, NoSender, Report, ReportedRecipient};
use crate::mail::{Mailbox, rfc5322, span_in_words};

/// Recipients that share one explanation.
struct Group<'a> {
    /// `None` if the message was handed on.
    hindrance: Option<Hindrance>,
    expired: bool,
    /// The other server's reply, if it was the same for all.
    words: Option<String>,
    /// Whom to ask at the partner, if it is the same for all and the reader may know.
    contact: Option<&'a str>,
    /// The connector of ours to which it was handed because the recipients' own could not send it.
    handed_to: Option<&'a str>,
    recipients: Vec<&'a Mailbox>,
}

/// The paragraphs, to be separated by empty lines.
pub(super) fn letter(report: &Report<'_>, subject: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, group) in groups(report).iter().enumerate() {
        let message = message(report, subject.filter(|_| number == 0), number == 0);
        lines.push(happened(report, group, &message));
        lines.push(String::new());
        if let Some(who) = who(report, group) {
            lines.push(format!("Who can fix it: {who}"));
            lines.push(String::new());
        }
    }
    lines
}

fn groups<'a>(report: &Report<'a>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for recipient in report.recipients {
        let fresh = group(recipient, report);
        let same = |group: &&mut Group<'_>| {
            (group.hindrance, group.expired, group.handed_to)
                == (fresh.hindrance, fresh.expired, fresh.handed_to)
        };
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.words = group.words.take().filter(|words| Some(words) == fresh.words.as_ref());
                group.contact = group.contact.filter(|contact| Some(*contact) == fresh.contact);
                group.recipients.push(recipient.forward_path);
            }
            None => groups.push(fresh),
        }
    }
    groups
}

fn group<'a>(recipient: &ReportedRecipient<'a>, report: &Report<'_>) -> Group<'a> {
    let recipients = vec![recipient.forward_path];
    let handed_to = recipient.rerouted.map(|rerouting| &*rerouting.to);
    let Fate::Trouble(trouble) = recipient.fate else {
        return Group { hindrance: None, expired: false, words: None, contact: None, handed_to, recipients };
    };
    let detail = report.detail;
    let hindrance = match (Hindrance::of(trouble), detail) {
        // How we reach a host, and what we demand on the way, is nothing for strangers.
        (Hindrance::Unsafe(_) | Hindrance::Onward, Detail::Codes) => Hindrance::Unsafe(TlsFlaw::Unsaid),
        (Hindrance::Login, Detail::Codes) => Hindrance::Ours,
        (hindrance, Detail::Full | Detail::Codes) => hindrance,
    };
    let reply = trouble.remote.as_ref().and_then(|remote| remote.reply.as_ref());
    let quoted = hindrance == Hindrance::Refused && report.detail_of(recipient.fate) == Detail::Full;
    let words = reply.filter(|_| quoted).map(|reply| {
        let words: String = reply.to_string().chars().take(WORDS_CHARS_MAX).collect();
        words.replace('\n', " / ")
    });
    let contact = trouble.decision.as_ref().and_then(|decision| decision.contact());
    let contact = contact.filter(|_| report.names_contacts);
    Group { hindrance: Some(hindrance), expired: trouble.expired, words, contact, handed_to, recipients }
}

/// The message as the subject of a sentence; the first mention is in full.
fn message(report: &Report<'_>, subject: Option<&str>, first: bool) -> String {
    let named = subject.map_or_else(String::new, |subject| format!(" \"{subject}\""));
    let dated = if first { format!(" of {}", rfc5322(report.arrived_at)) } else { String::new() };
    match report.addressee {
        Addressee::Sender => format!("your message{named}{dated}"),
        Addressee::Postmaster(NoSender::Null) if first => {
            format!("the message{named}{dated}, which has no return address,")
        }
        Addressee::Postmaster(NoSender::NoRoute) if first => {
            format!("the message{named}{dated}, whose sender no connector leads to,")
        }
        Addressee::Postmaster(_) => "the message".to_owned(),
    }
}

fn happened(report: &Report<'_>, group: &Group<'_>, message: &str) -> String {
    let to = names(&group.recipients);
    let Some(hindrance) = group.hindrance else {
        let them = if group.recipients.len() == 1 { "the recipient" } else { "the recipients" };
        return format!(
            "{} to {to} was handed on to a mail system that sends no confirmations. We can't say whether it \
             arrived: if you need to be sure, please ask {them}.",
            capitalised(message)
        );
    };
    let server = server(group.handed_to, report.detail);
    let because = match (hindrance, report.kind, group.expired) {
        (Hindrance::Refused, Kind::Delayed { .. }, _) => format!("{server} asked us to try again later"),
        (Hindrance::Refused, _, true) => format!("{server} kept asking us to try again later"),
        _ => because(hindrance, group.recipients.len(), &server),
    };
    // With several attempts, an earlier one may have got further than the last.
    let only = !group.expired && report.kind == Kind::Failed;
    let kept = kept(hindrance, report.detail, only);
    let words = match &group.words {
        Some(words) => format!(" It said: \"{words}\"."),
        None => String::new(),
    };
    match report.kind {
        Kind::Delayed { until } => {
            let urgent = match report.addressee {
                Addressee::Sender => {
                    " You need not send it again. If it is urgent, please use another channel or call them."
                }
                Addressee::Postmaster(_) => "",
            };
            format!(
                "{} has not been delivered to {to} yet, because {because}.{words}{kept} We will keep trying until \
                 {}.{urgent}",
                capitalised(message),
                rfc5322(until)
            )
        }
        Kind::Failed | Kind::Relayed => {
            let advice = match report.addressee {
                Addressee::Sender => advice(hindrance, group.expired, report),
                Addressee::Postmaster(NoSender::Null) => {
                    "Nobody else is notified, since most such messages are reports.".to_owned()
                }
                Addressee::Postmaster(NoSender::NoRoute) => {
                    "The sender is not notified: no outbound connector without \
                    from_connectors covers that domain. Add one."
                        .to_owned()
                }
            };
            let tries = if group.expired {
                format!(
                    " We tried for {} and have stopped.",
                    span_in_words(report.now.since(report.arrived_at))
                )
            } else {
                String::new()
            };
            let what = if hindrance.is_ours_to_decide() {
                format!("We did not send {message} to {to}")
            } else {
                format!("{} could not be delivered to {to}", capitalised(message))
            };
            format!("{what}, because {because}.{words}{kept}{tries} {advice}")
        }
    }
}

/// Whose mail server it was.
fn server(handed_to: Option<&str>, detail: Detail) -> String {
    match (handed_to, detail) {
        (None, _) => "their mail server".to_owned(),
        (Some(connector), Detail::Full) => format!("the mail server of our connector {connector}"),
        (Some(_), Detail::Codes) => "a mail server on our side".to_owned(),
    }
}

fn because(hindrance: Hindrance, recipients: usize, server: &str) -> String {
    let many = recipients != 1;
    let these = if many { "these addresses" } else { "this address" };
    let mailbox = if many { "the mailboxes" } else { "the mailbox" };
    match hindrance {
        Hindrance::Unsafe(shortcoming) => {
            let detail = shortcoming.in_words().map_or_else(String::new, |words| format!(": {words}"));
            format!("the connection to {server} could not be made safe{detail}")
        }
        Hindrance::Onward => {
            format!("it must stay encrypted all the way, and this is not arranged with {server}")
        }
        Hindrance::UnknownMailbox => format!("{server} does not know {these}"),
        Hindrance::NoMailDomain => format!("no mail server accepts messages for {these}"),
        Hindrance::NoRoute => format!("we found no way to {server}"),
        Hindrance::Sender => format!("{server} does not accept the address you sent it from"),
        Hindrance::MailboxFull if many => format!("{mailbox} are full"),
        Hindrance::MailboxFull => format!("{mailbox} is full"),
        Hindrance::MailboxClosed if many => format!("{mailbox} do not take messages at present"),
        Hindrance::MailboxClosed => format!("{mailbox} does not take messages at present"),
        Hindrance::TooLarge => format!("it is too large for {server}"),
        Hindrance::Form => format!("{server} can't take messages of this form"),
        Hindrance::Refused => format!("{server} does not accept it"),
        Hindrance::Unreachable => format!("{server} could not be reached"),
        Hindrance::Login => format!("{server} does not let our mail system log in"),
        Hindrance::Busy => "our mail system is very busy".to_owned(),
        Hindrance::Ours => "something is wrong in our mail system".to_owned(),
        Hindrance::GivenUp => "our administrators have stopped its delivery".to_owned(),
    }
}

impl TlsFlaw {
    fn in_words(self) -> Option<&'static str> {
        Some(match self {
            Self::Unsaid => return None,
            Self::NotOffered => "the server does not offer encryption",
            Self::Gone => "the server used to offer encryption, and now it does not",
            Self::Handshake => "setting up the encryption failed",
            Self::Weak => "the encryption that the server offers is too weak",
            Self::Dates => {
                "the certificate by which the server shows who it is has expired or is not valid yet"
            }
            Self::Mismatch => {
                "the certificate by which the server shows who it is does not match, so it may be the wrong server"
            }
            Self::Untrusted => {
                "the certificate by which the server shows who it is comes from nobody that we trust"
            }
            Self::Revoked => {
                "the certificate by which the server shows who it is has been withdrawn, or may have been"
            }
            Self::Unproved => "the server did not prove who it is",
        })
    }
}

/// Where the message is now, if that is certain.
fn kept(hindrance: Hindrance, detail: Detail, only: bool) -> &'static str {
    match (detail, only) {
        _ if !hindrance.is_ours_to_decide() => "",
        (Detail::Full, true) => " Nothing has left our network.",
        (Detail::Full, false) => " Nothing left our network at the last attempt.",
        (Detail::Codes, true) => " It has not been passed on.",
        (Detail::Codes, false) => " It was not passed on at the last attempt.",
    }
}

/// What the recipient of the report can do.
fn advice(hindrance: Hindrance, expired: bool, report: &Report<'_>) -> String {
    match hindrance {
        Hindrance::Unsafe(_) | Hindrance::Onward => match report.detail {
            Detail::Full => {
                "Please use another channel or call them; our administrators can see the details below.".to_owned()
            }
            Detail::Codes => "Please use another channel or call them.".to_owned(),
        },
        Hindrance::UnknownMailbox => {
            "Please look for a typing error in the address, and send the message again if you find one. \
             Otherwise, please ask the recipient for the right address."
                .to_owned()
        }
        Hindrance::NoMailDomain | Hindrance::NoRoute => {
            "Please look for a typing error in the address, after the @, and send the message again if you find one."
                .to_owned()
        }
        Hindrance::Sender => format!("Please check the address you send from, <{}>.", report.to),
        Hindrance::MailboxFull | Hindrance::MailboxClosed => {
            "Please send it again later, or use another channel or call them.".to_owned()
        }
        Hindrance::TooLarge => {
            "Please send it again with fewer or smaller attachments, or share the files in another way.".to_owned()
        }
        Hindrance::Form => "Please send it again as a simple message, without special characters in addresses."
            .to_owned(),
        Hindrance::GivenUp => format!("Please ask them why: <{}>.", report.postmaster),
        Hindrance::Refused if !expired => match report.detail {
            Detail::Full if report.discreet => "Please use another channel or call them.".to_owned(),
            Detail::Full => {
                "What it says may tell you what to change; otherwise, please use another channel or call them."
                    .to_owned()
            }
            Detail::Codes => "Please use another channel or call them.".to_owned(),
        },
        Hindrance::Refused
        | Hindrance::Unreachable
        | Hindrance::Login
        | Hindrance::Busy
        | Hindrance::Ours => {
            "Please send it again later if it still matters, or use another channel or call them.".to_owned()
        }
    }
}

/// Who can fix it, as far as the cause shows.
fn who(report: &Report<'_>, group: &Group<'_>) -> Option<String> {
    let ours = match report.addressee {
        Addressee::Sender => format!("our administrators, <{}>", report.postmaster),
        Addressee::Postmaster(_) => "you".to_owned(),
    };
    if group.handed_to.is_some() {
        return who_of_us(report, group.hindrance?, &ours);
    }
    let theirs = match group.contact {
        Some(contact) => format!("the administrators of the recipient's mail system ({contact})"),
        None => "the administrators of the recipient's mail system".to_owned(),
    };
    Some(match group.hindrance? {
        Hindrance::GivenUp => return None,
        Hindrance::Unsafe(_) if report.detail == Detail::Codes => format!("{ours}."),
        Hindrance::Unsafe(TlsFlaw::Gone) => {
            format!("{theirs}. If they don't, our mail system will send without encryption after a while.")
        }
        Hindrance::Unsafe(_) => match report.addressee {
            Addressee::Sender => {
                format!("{theirs}. If something was changed there on purpose, please tell {ours}.")
            }
            Addressee::Postmaster(_) => {
                format!("{theirs}. If something was changed there on purpose, adapt the connector.")
            }
        },
        Hindrance::Onward | Hindrance::Login | Hindrance::Busy | Hindrance::Ours => format!("{ours}."),
        Hindrance::MailboxFull | Hindrance::MailboxClosed => format!("the recipient, or {theirs}."),
        Hindrance::Refused | Hindrance::Unreachable => format!("{theirs}, or {ours}."),
        Hindrance::UnknownMailbox
        | Hindrance::NoMailDomain
        | Hindrance::NoRoute
        | Hindrance::Sender
        | Hindrance::TooLarge
        | Hindrance::Form
            if report.addressee != Addressee::Sender =>
        {
            format!("whoever sent it, or {theirs}.")
        }
        Hindrance::UnknownMailbox | Hindrance::NoMailDomain | Hindrance::NoRoute => {
            format!("you, if the address is wrong. If it is right: {theirs}, or {ours}.")
        }
        Hindrance::Sender => format!("you, or {ours}."),
        Hindrance::TooLarge | Hindrance::Form => "you, by changing the message.".to_owned(),
    })
}

/// Who can fix what hinders a connector of ours to which mail was handed: nobody at the recipients' end.
fn who_of_us(report: &Report<'_>, hindrance: Hindrance, ours: &str) -> Option<String> {
    let sender = if report.addressee == Addressee::Sender { "you" } else { "whoever sent it" };
    Some(match hindrance {
        Hindrance::GivenUp => return None,
        Hindrance::Unsafe(_)
        | Hindrance::Onward
        | Hindrance::Login
        | Hindrance::Busy
        | Hindrance::Ours
        | Hindrance::Refused
        | Hindrance::Unreachable => format!("{ours}."),
        Hindrance::MailboxFull | Hindrance::MailboxClosed => format!("the recipient, or {ours}."),
        Hindrance::UnknownMailbox | Hindrance::NoMailDomain | Hindrance::NoRoute => {
            format!("{sender}, if the address is wrong. If it is right: {ours}.")
        }
        Hindrance::Sender => format!("{sender}, or {ours}."),
        Hindrance::TooLarge | Hindrance::Form => format!("{sender}, by changing the message."),
    })
}

fn names(recipients: &[&Mailbox]) -> String {
    let mut names: Vec<String> = recipients.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = recipients.len().saturating_sub(names.len());
    if more > 0 {
        names.push(format!("{more} more, named below"));
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some(_) | None => names.concat(),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Maximum recipients named in a sentence.
const NAMED_MAX: usize = 10;
/// Maximum characters quoted from another server.
const WORDS_CHARS_MAX: usize = 300;
