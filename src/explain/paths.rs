//! Addresses as people write them, read as MAIL FROM and RCPT TO read them.

use super::fault::ExplainFault;
use crate::mail::{Mailbox, ReversePath};
use crate::smtp::command::{Command, CommandFault, ForwardPath};

/// What RCPT TO would take.
pub struct NamedRecipient {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// It was `postmaster` without a domain, which everybody may write to.
    pub is_postmaster: bool,
}

/// Reads a forward-path: with or without brackets, a source route, a literal, `postmaster`.
///
/// # Errors
/// What RCPT TO would be answered.
pub fn addressee(text: &str, postmaster: &Mailbox) -> Result<NamedRecipient, ExplainFault> {
    match parse("RCPT TO:", text, "") {
        Ok(Command::Rcpt(rcpt)) => Ok(match rcpt.path {
            ForwardPath::Mailbox(mailbox) => NamedRecipient { mailbox, is_postmaster: false },
            ForwardPath::Postmaster => NamedRecipient { mailbox: postmaster.clone(), is_postmaster: true },
        }),
        Ok(_) => Err(refused("RCPT TO", text, &CommandFault::Unknown)),
        Err(fault) => Err(refused("RCPT TO", text, &fault)),
    }
}

/// Reads a reverse-path; empty or `<>`: the null one.
pub(super) fn reverse_path(text: &str) -> Result<ReversePath, ExplainFault> {
    match parse("MAIL FROM:", text, " SMTPUTF8") {
        Ok(Command::Mail(mail)) => Ok(mail.reverse_path),
        Ok(_) => Err(refused("MAIL FROM", text, &CommandFault::Unknown)),
        Err(fault) => Err(refused("MAIL FROM", text, &fault)),
    }
}

fn parse(verb: &str, text: &str, parameters: &str) -> Result<Command, CommandFault> {
    let text = text.trim();
    let line = if text.starts_with('<') {
        format!("{verb}{text}{parameters}")
    } else {
        format!("{verb}<{text}>{parameters}")
    };
    Command::parse(line.as_bytes())
}

fn refused(command: &str, text: &str, fault: &CommandFault) -> ExplainFault {
    ExplainFault(format!("{text:?} is not an address: {command} would be answered {}", fault.reply()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let postmaster = Mailbox::parse("postmaster@contoso.example").expect("a mailbox");
        let read =
            addressee(text, &postmaster).map(|read| format!("{} {}", read.mailbox, read.is_postmaster));
        assert_eq!(read.unwrap_or_else(|fault| fault.to_string()), expected);
    }

    #[test]
    fn a_recipient_is_whatever_rcpt_takes() {
        check("bob@B.example", "bob@b.example false");
        check(" <bob@b.example> ", "bob@b.example false");
        check("<@relay.example,@other.example:bob@b.example>", "bob@b.example false");
        check("@relay.example:bob@b.example", "bob@b.example false");
        check("\"a > b\"@b.example", "\"a > b\"@b.example false");
        check("bob@[192.0.2.1]", "bob@[192.0.2.1] false");
        check("<bob@[IPv6:2001:db8::1]>", "bob@[IPv6:2001:db8::1] false");
        check("jürgen@münchen.test", "jürgen@xn--mnchen-3ya.test false");
        check("Postmaster", "postmaster@contoso.example true");
        check("<postmaster>", "postmaster@contoso.example true");
        check(
            "nobody at all",
            "\"nobody at all\" is not an address: RCPT TO would be answered 501 5.1.3 bad forward-path: not of the form \
             <local@domain>",
        );
        check(
            "a\r\nDATA@b.example",
            "\"a\\r\\nDATA@b.example\" is not an address: RCPT TO would be answered 500 5.5.2 a control character in the \
             line",
        );
    }

    #[test]
    fn a_sender_is_whatever_mail_takes() {
        let check = |text, expected: &str| {
            let read = reverse_path(text).map(|path| format!("<{path}>"));
            assert_eq!(read.unwrap_or_else(|fault| fault.to_string()), expected);
        };
        check("", "<>");
        check("<>", "<>");
        check("<ann@a.example>", "<ann@a.example>");
        check("jürgen@a.example", "<jürgen@a.example>");
    }
}
