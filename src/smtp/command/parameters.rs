//! Parses the parameters of MAIL and RCPT, and the arguments of BDAT and AUTH. It does not check
//! whether the extension is offered.

use std::sync::Arc;

use super::values::{Auth, Chunk, CommandFault, MailFrom};
use crate::mail::{
    BodyType, Domain, MessageDsn, Notify, RecipientDsn, Ret, ReversePath, from_xtext, is_xtext,
};
use crate::smtp::extension::XOORG;

/// Most characters of `ENVID=` (RFC 3461 §4.4).
const ENVID_CHARS_MAX: usize = 100;
/// Most characters of `ORCPT=` (RFC 3461 §4.2).
const ORCPT_CHARS_MAX: usize = 500;

/// Parses the parameters of MAIL FROM.
///
/// # Errors
/// The first parameter that is unknown, repeated, or has an invalid value.
pub(super) fn of_mail(reverse_path: ReversePath, text: &[u8]) -> Result<MailFrom, CommandFault> {
    let (mut size, mut body, mut utf8, mut auth) = (None, None, false, false);
    let (mut dsn, mut originator) = (MessageDsn::default(), None);
    for (keyword, value) in words(text) {
        if keyword.eq_ignore_ascii_case("SIZE") {
            once(&mut size, value.and_then(size_value), "SIZE")?;
        } else if keyword.eq_ignore_ascii_case("BODY") {
            once(&mut body, value.and_then(body_value), "BODY")?;
        } else if keyword.eq_ignore_ascii_case("RET") {
            once(&mut dsn.ret, value.and_then(ret_value), "RET")?;
        } else if keyword.eq_ignore_ascii_case("ENVID") {
            once(&mut dsn.envid, value.and_then(|v| xtext(v, ENVID_CHARS_MAX)), "ENVID")?;
        } else if keyword.eq_ignore_ascii_case(XOORG) {
            once(&mut originator, value.and_then(organisation), XOORG)?;
        } else if keyword.eq_ignore_ascii_case("AUTH") {
            let known = value.is_some_and(|v| v == "<>" || is_xtext(v));
            auth = (known && !auth).then_some(true).ok_or(CommandFault::BadParameter("AUTH"))?;
        } else if keyword.eq_ignore_ascii_case("SMTPUTF8") {
            // RFC 6531 §3.4: SMTPUTF8 takes no value.
            utf8 =
                (value.is_none() && !utf8).then_some(true).ok_or(CommandFault::BadParameter("SMTPUTF8"))?;
        } else {
            return Err(unknown(keyword));
        }
    }
    Ok(MailFrom {
        reverse_path,
        size,
        body: body.unwrap_or_default(),
        utf8,
        dsn,
        auth,
        originator,
        excused: None,
    })
}

/// Parses the DSN parameters of RCPT TO.
///
/// # Errors
/// As [`of_mail`].
pub(super) fn of_rcpt(text: &[u8]) -> Result<RecipientDsn, CommandFault> {
    let (mut notify, mut orcpt) = (None, None);
    for (keyword, value) in words(text) {
        if keyword.eq_ignore_ascii_case("NOTIFY") {
            once(&mut notify, value.and_then(Notify::parse), "NOTIFY")?;
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            once(&mut orcpt, value.and_then(orcpt_value), "ORCPT")?;
        } else {
            return Err(unknown(keyword));
        }
    }
    Ok(RecipientDsn { notify: notify.unwrap_or_default(), orcpt })
}

/// `BDAT 1000` or `BDAT 1000 LAST` (RFC 3030 §2).
///
/// # Errors
/// [`CommandFault::Chunk`].
pub(super) fn chunk(argument: &[u8]) -> Result<Chunk, CommandFault> {
    let fault = CommandFault::Chunk;
    let text = std::str::from_utf8(argument).map_err(|_| fault.clone())?;
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let octets = words.next().and_then(size_value).ok_or_else(|| fault.clone())?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(fault),
    };
    if words.next().is_some() { Err(fault) } else { Ok(Chunk { octets, last }) }
}

/// `AUTH PLAIN` or `AUTH PLAIN dGVzdA==` (RFC 4954 §4).
///
/// # Errors
/// [`CommandFault::Syntax`].
pub(super) fn auth(argument: &[u8]) -> Result<Auth, CommandFault> {
    let fault = CommandFault::Syntax("AUTH mechanism [initial-response]");
    let text = std::str::from_utf8(argument).map_err(|_| fault.clone())?;
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or_else(|| fault.clone())?.to_ascii_uppercase();
    let initial = words.next().map(str::to_owned);
    if words.next().is_some() { Err(fault) } else { Ok(Auth { mechanism, initial }) }
}

fn words(text: &[u8]) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(|b| *b == b' ').filter(|word| !word.is_empty()).map(|word| {
        // A parameter in another encoding is not one we know.
        let word = std::str::from_utf8(word).unwrap_or("(not UTF-8)");
        word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)))
    })
}

/// Stores a value, which must be present and not repeated.
fn once<T>(slot: &mut Option<T>, value: Option<T>, keyword: &'static str) -> Result<(), CommandFault> {
    if slot.is_some() || value.is_none() {
        return Err(CommandFault::BadParameter(keyword));
    }
    *slot = value;
    Ok(())
}

/// RFC 1870 §6: one to twenty digits.
fn size_value(value: &str) -> Option<u64> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}

fn body_value(value: &str) -> Option<BodyType> {
    let known = [
        ("7BIT", BodyType::SevenBit),
        ("8BITMIME", BodyType::EightBitMime),
        ("BINARYMIME", BodyType::BinaryMime),
    ];
    known.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)).map(|(_, body)| *body)
}

fn organisation(value: &str) -> Option<Domain> {
    is_xtext(value).then(|| Domain::parse(&from_xtext(value)).ok()).flatten()
}

fn ret_value(value: &str) -> Option<Ret> {
    [Ret::Full, Ret::Headers].into_iter().find(|ret| value.eq_ignore_ascii_case(ret.word()))
}

fn xtext(value: &str, chars_max: usize) -> Option<Arc<str>> {
    (!value.is_empty() && value.len() <= chars_max && is_xtext(value)).then(|| value.into())
}

/// An address type, `;`, and the address in xtext; both keep their original spelling.
fn orcpt_value(value: &str) -> Option<Arc<str>> {
    let (kind, address) = value.split_once(';')?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let fits = value.len() <= ORCPT_CHARS_MAX && !address.is_empty();
    if !is_atom || !fits {
        return None;
    }
    if kind.eq_ignore_ascii_case("utf-8") && !address.is_ascii() {
        // RFC 6533 §3: the ASCII form is equivalent, and every host accepts it.
        let ascii: String = address
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) })
            .collect();
        let plain = !address.chars().any(char::is_control) && is_xtext(&ascii);
        return plain.then(|| format!("{kind};{ascii}").into());
    }
    is_xtext(address).then(|| value.into())
}

fn unknown(keyword: &str) -> CommandFault {
    CommandFault::UnknownParameter(keyword.chars().take(40).collect())
}
