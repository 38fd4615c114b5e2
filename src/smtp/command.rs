//! Parses one command line into a command, or into the fault to reply with. It does not check the order
//! of commands.

use crate::mail::{Mailbox, PathFault, ReversePath, is_postmaster};

pub mod lenient;
mod parameters;
mod values;

pub use values::{Auth, Chunk, CommandFault, ForwardPath, MailFrom, RcptTo};

/// A command of a client (RFC 5321 §4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the client's name.
    Ehlo(String),
    /// HELO with the client's name.
    Helo(String),
    /// STARTTLS (RFC 3207).
    StartTls,
    /// MAIL FROM with its parameters (RFC 5321 §4.1.1.2).
    Mail(MailFrom),
    /// RCPT TO with its parameters (RFC 5321 §4.1.1.3).
    Rcpt(RcptTo),
    /// DATA (RFC 5321 §4.1.1.4).
    Data,
    /// BDAT with the chunk's size (RFC 3030 §2).
    Bdat(Chunk),
    /// AUTH (RFC 4954 §4).
    Auth(Auth),
    /// RSET (RFC 5321 §4.1.1.5).
    Rset,
    /// NOOP (RFC 5321 §4.1.1.9); its argument is ignored.
    Noop,
    /// VRFY (RFC 5321 §4.1.1.6); its argument is not kept.
    Vrfy,
    /// EXPN (RFC 5321 §4.1.1.7); its argument is not kept.
    Expn,
    /// HELP (RFC 5321 §4.1.1.8); its argument is ignored.
    Help,
    /// QUIT (RFC 5321 §4.1.1.10).
    Quit,
}

impl Command {
    /// Parses a line without its CRLF.
    ///
    /// # Errors
    /// A [`CommandFault`], which gives the reply to send.
    pub fn parse(line: &[u8]) -> Result<Self, CommandFault> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(CommandFault::Control.of_line(line));
        }
        let line = line.trim_ascii_end();
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (verb, rest) = line.split_at_checked(end).unwrap_or((line, b""));
        let argument = rest.trim_ascii();
        let Some(verb) = VERBS.iter().find(|(word, _)| verb.eq_ignore_ascii_case(word.as_bytes())) else {
            return Err(CommandFault::Unknown);
        };
        match verb.1 {
            Verb::Ehlo => client_name(argument, "EHLO domain").map(Self::Ehlo),
            Verb::Helo => client_name(argument, "HELO domain").map(Self::Helo),
            Verb::Mail => mail_from(argument).map(Self::Mail),
            Verb::Rcpt => rcpt_to(argument).map(Self::Rcpt),
            Verb::StartTls => bare(argument, Self::StartTls, "STARTTLS"),
            Verb::Data => bare(argument, Self::Data, "DATA"),
            Verb::Bdat => parameters::chunk(argument).map(Self::Bdat),
            Verb::Auth => parameters::auth(argument).map(Self::Auth),
            Verb::Rset => bare(argument, Self::Rset, "RSET"),
            Verb::Quit => bare(argument, Self::Quit, "QUIT"),
            Verb::Noop => Ok(Self::Noop),
            Verb::Help => Ok(Self::Help),
            Verb::Vrfy => Ok(Self::Vrfy),
            Verb::Expn => Ok(Self::Expn),
            Verb::NotOffered => Err(CommandFault::NotOffered(verb.0)),
        }
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Ehlo,
    Helo,
    StartTls,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Auth,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    NotOffered,
}

const VERBS: &[(&str, Verb)] = &[
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("EHLO", Verb::Ehlo),
    ("HELO", Verb::Helo),
    ("STARTTLS", Verb::StartTls),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("QUIT", Verb::Quit),
    ("BDAT", Verb::Bdat),
    ("AUTH", Verb::Auth),
    ("ETRN", Verb::NotOffered),
    ("TURN", Verb::NotOffered),
    ("SEND", Verb::NotOffered),
    ("SOML", Verb::NotOffered),
    ("SAML", Verb::NotOffered),
];

/// Octets accepted for the client's name in EHLO; a domain has at most 255 (RFC 5321 §4.5.3.1.2).
const CLIENT_NAME_BYTES_MAX: usize = 255;

fn bare(argument: &[u8], command: Command, usage: &'static str) -> Result<Command, CommandFault> {
    if argument.is_empty() { Ok(command) } else { Err(CommandFault::Syntax(usage)) }
}

/// Accepts any word: a name that does not match the address must not cause a refusal (RFC 5321 §4.1.4).
fn client_name(argument: &[u8], usage: &'static str) -> Result<String, CommandFault> {
    if argument.is_empty() || argument.len() > CLIENT_NAME_BYTES_MAX {
        return Err(CommandFault::Syntax(usage));
    }
    Ok(String::from_utf8_lossy(argument).into_owned())
}

fn mail_from(argument: &[u8]) -> Result<MailFrom, CommandFault> {
    let usage = "MAIL FROM:<address> [SIZE=n] [BODY=8BITMIME]";
    let (path, words) = path_and_parameters(argument, b"FROM:", usage)?;
    let path = path_text(path).map_err(CommandFault::ReversePath)?;
    let reverse_path = ReversePath::parse(path).map_err(CommandFault::ReversePath)?;
    let mail = parameters::of_mail(reverse_path, words)?;
    if !mail.utf8 && !mail.reverse_path.is_ascii() {
        return Err(CommandFault::ReversePath(PathFault::NonAscii));
    }
    Ok(mail)
}

fn rcpt_to(argument: &[u8]) -> Result<RcptTo, CommandFault> {
    let (path, words) = path_and_parameters(argument, b"TO:", "RCPT TO:<address>")?;
    let path = path_text(path).map_err(CommandFault::ForwardPath)?;
    let path = if is_postmaster(path) {
        ForwardPath::Postmaster
    } else {
        Mailbox::parse(path).map(ForwardPath::Mailbox).map_err(CommandFault::ForwardPath)?
    };
    Ok(RcptTo { path, dsn: parameters::of_rcpt(words)? })
}

/// Splits `FROM:<path> parameters`. Spaces after the colon violate RFC 5321 §3.3, but devices and
/// scripts send them daily, and they are unambiguous; what else devices leave out, `lenient` reads.
fn path_and_parameters<'a>(
    argument: &'a [u8],
    keyword: &[u8],
    usage: &'static str,
) -> Result<(&'a [u8], &'a [u8]), CommandFault> {
    let fault = CommandFault::Syntax(usage);
    let Some((head, rest)) = argument.split_at_checked(keyword.len()) else { return Err(fault) };
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(fault);
    }
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"<") else { return Err(fault) };
    let Some(end) = path_end(rest) else { return Err(fault) };
    let (path, rest) = rest.split_at_checked(end).unwrap_or((rest, b""));
    let parameters = rest.get(1..).unwrap_or_default();
    if parameters.first().is_some_and(|b| *b != b' ') {
        return Err(fault);
    }
    Ok((without_source_route(path), parameters))
}

/// Position of the path's closing `>`: the first one outside quotes.
fn path_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// RFC 5321 §4.1.1.3 and appendix C: a source route is parsed and ignored.
fn without_source_route(path: &[u8]) -> &[u8] {
    if path.first() != Some(&b'@') {
        return path;
    }
    memchr::memchr(b':', path).and_then(|at| path.get(at.saturating_add(1)..)).unwrap_or(path)
}

fn path_text(path: &[u8]) -> Result<&str, PathFault> {
    std::str::from_utf8(path).map_err(|_| PathFault::NonAscii)
}

#[cfg(test)]
mod tests;
