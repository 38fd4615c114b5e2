//! `sendmail`: submits mail from scripts and cron on this machine to the local listener. It takes
//! the usual sendmail options, and the message on standard input.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::exit::{EXIT_CONFIG, EXIT_TEMPORARY, EXIT_USAGE, Failure};
use super::queue::{QueueArgs, queue};
use crate::config;
use crate::mail::{Clock, Domain, Mailbox, Reply, ReversePath};
use crate::smtp::{AnswerReader, Offers};
use header::Header;
use options::{Options, Task};
use session::{PATIENCE, unreachable_listener};

mod header;
mod options;
mod session;

/// What `sendmail` takes.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct SendmailArgs {
    /// -t (recipients from To, Cc and Bcc), -i or -oi (a lone dot does not end the message), -f ADDRESS (sender),
    /// -F NAME (its name), -N, -R and -V (reports), recipients. Others of other sendmails are ignored.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    args: Vec<String>,
}

const HELP: &str = "Submit the message on standard input, as scripts and cron do.\n\n\
    Usage: sealpost sendmail [OPTIONS] [RECIPIENTS]\n\n\
    \x20 -t          recipients from To, Cc and Bcc, beside those named\n\
    \x20 -i, -oi     a line with only a dot does not end the message\n\
    \x20 -f ADDRESS  the sender; \"<>\" for none\n\
    \x20 -F NAME     the sender's name, where From is missing\n\
    \x20 -N, -R, -V  what is asked of reports: NOTIFY, RET, ENVID\n\
    \x20 -C FILE     the configuration, instead of $SEALPOST_CONFIG or /etc/sealpost/sealpost.toml\n\
    \x20 -bs         speak SMTP over standard input and output\n\
    \x20 -bp         list the queue, as `sealpost queue list` does\n\
    \x20 -q          try all of it again now, as `sealpost queue retry --all` does\n\
    \x20 -v          say what the listener answered\n\n\
    Other options of other sendmails are ignored.";
/// EX_DATAERR: the message or a recipient is permanently rejected.
const EXIT_DATA: u8 = 65;
/// Maximum octets of a header section, and of one line.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// Submits the message. Once this returns 0, the daemon has accepted it.
pub(super) fn sendmail(args: &SendmailArgs) -> Result<ExitCode, Failure> {
    if args.args == ["--help"] {
        super::print::say(HELP);
        return Ok(ExitCode::SUCCESS);
    }
    run(&args.args)
}

/// As `sendmail`, for a program that was called as `sendmail`.
pub(super) fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let options = Options::parse(args).map_err(|why| Failure::new(EXIT_USAGE, why))?;
    match options.task {
        Task::Message => message(&options),
        Task::Session => session::join(local(&options)?.1),
        Task::List => of_queue(&options, &["list", "--limit", "1000"]),
        Task::Flush => of_queue(&options, &["retry", "--all"]),
    }
}

/// The arguments of the verb `queue`.
#[derive(clap::Parser)]
struct QueueCommand {
    #[command(flatten)]
    args: QueueArgs,
}

/// Runs the verb `queue`.
fn of_queue(options: &Options, words: &[&str]) -> Result<ExitCode, Failure> {
    let config = configuration(options).into_os_string();
    let words = ["queue"].iter().chain(words).chain(&["--config"]).map(std::ffi::OsString::from);
    queue(QueueCommand::parse_from(words.chain([config])).args)
}

fn message(options: &Options) -> Result<ExitCode, Failure> {
    let (domain, listener) = local(options)?;
    let mut input = BufReader::new(io::stdin().lock());
    let header = Header::read(&mut input, HEADER_BYTES_MAX, options.dot_ends).map_err(unread)?;
    let sender = sender(options, &header, &domain)?;
    let recipients = recipients(options, &header, &domain)?;
    let mut client = Client::connect(listener)?;
    client.envelope(&domain, &sender, &recipients, options)?;
    let from = options.full_name.as_deref();
    let text = header.completed(&sender, from, &domain, Clock::wall());
    client.content((&text, header.has_begun_body()), &mut input, options)?;
    Ok(ExitCode::SUCCESS)
}

fn unread(fault: io::Error) -> Failure {
    Failure::new(EXIT_DATA, format!("the message can't be read from standard input: {fault}"))
}

fn configuration(options: &Options) -> PathBuf {
    let path = options.config.clone().or_else(|| std::env::var_os("SEALPOST_CONFIG").map(PathBuf::from));
    path.unwrap_or_else(|| Path::new("/etc/sealpost/sealpost.toml").to_owned())
}

/// Our name, and the listener that accepts mail from this machine.
fn local(options: &Options) -> Result<(Domain, SocketAddr), Failure> {
    let local = config::local_listener(&configuration(options))?;
    let listener = local.listener.ok_or_else(|| {
        Failure::new(
            EXIT_CONFIG,
            "no listener accepts mail from this machine in plaintext; add one, as [[listener]] with address = \
             \"127.0.0.1:25\" and tls = \"off\"",
        )
    })?;
    Ok((local.name, listener))
}

fn sender(options: &Options, header: &Header, domain: &Domain) -> Result<ReversePath, Failure> {
    let bad = |text: &str, why: String| Failure::new(EXIT_USAGE, format!("{text:?}: {why}"));
    match (&options.sender, header.from()) {
        (Some(text), _) if text.is_empty() || text == "<>" => Ok(ReversePath::NULL),
        (Some(text), _) => complete(text, domain).map(ReversePath::new).map_err(|why| bad(text, why)),
        (None, Some(from)) if options.sender_of_header => {
            complete(&from, domain).map(ReversePath::new).map_err(|why| bad(&from, why))
        }
        (None, _) => {
            let user = ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
            let user = user.or_else(user_of_process).unwrap_or_else(|| "nobody".to_owned());
            complete(&user, domain).map(ReversePath::new).map_err(|why| bad(&user, why))
        }
    }
}

/// The user that runs this process, by passwd(5).
fn user_of_process() -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = passwd.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

fn recipients(options: &Options, header: &Header, domain: &Domain) -> Result<Vec<Mailbox>, Failure> {
    let mut texts = options.recipients.clone();
    if options.recipients_of_header {
        texts.extend(header.recipients());
    }
    if texts.is_empty() {
        return Err(Failure::new(EXIT_USAGE, "no recipient: name one, or say -t and have To, Cc or Bcc"));
    }
    let mut found: Vec<Mailbox> = Vec::new();
    for text in &texts {
        let mailbox = complete(text, domain)
            .map_err(|why| Failure::new(EXIT_USAGE, format!("the recipient {text:?}: {why}")))?;
        if !found.contains(&mailbox) {
            found.push(mailbox);
        }
    }
    Ok(found)
}

/// Parses an address, adding our own domain if it has none.
fn complete(text: &str, domain: &Domain) -> Result<Mailbox, String> {
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    let whole = if bare.contains('@') { bare.to_owned() } else { format!("{bare}@{domain}") };
    Mailbox::parse(&whole).map_err(|fault| fault.to_string())
}

/// A minimal SMTP client.
struct Client {
    stream: TcpStream,
    answers: AnswerReader,
    pending: Vec<u8>,
    offers: Offers,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let lost = |fault| unreachable_listener(address, &fault);
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
        let offers = Offers::default();
        let mut client = Self { stream, answers: AnswerReader::default(), pending: Vec::new(), offers };
        let greeting = client.reply()?;
        expect("the greeting", &greeting, greeting.code == 220)?;
        Ok(client)
    }

    fn envelope(
        &mut self,
        domain: &Domain,
        sender: &ReversePath,
        recipients: &[Mailbox],
        options: &Options,
    ) -> Result<(), Failure> {
        let hello = self.say(&format!("EHLO {domain}"))?;
        expect("EHLO", &hello, hello.is_positive())?;
        self.offers = Offers::read(&hello, &[]);
        let mut mail = format!("MAIL FROM:<{sender}>");
        if self.offers.eight_bit_mime {
            mail.push_str(" BODY=8BITMIME");
        }
        if !sender.is_ascii() || recipients.iter().any(|to| !to.is_ascii()) {
            mail.push_str(" SMTPUTF8");
        }
        if self.offers.dsn {
            mail.push_str(&options.of_mail());
        }
        let reply = self.say(&mail)?;
        expect("the sender", &reply, reply.is_positive())?;
        for to in recipients {
            let asked = if self.offers.dsn { options.of_recipient() } else { String::new() };
            let reply = self.say(&format!("RCPT TO:<{to}>{asked}"))?;
            // All or none: the caller can only be notified once.
            expect(&format!("the recipient {to}"), &reply, reply.is_positive())?;
        }
        let reply = self.say("DATA")?;
        expect("the message", &reply, reply.code == 354)
    }

    /// `begun`: the header text already has the blank line and the first line of the body.
    fn content(
        &mut self,
        (header, begun): (&str, bool),
        input: &mut impl BufRead,
        options: &Options,
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(BLOCK_BYTES);
        for line in header.lines() {
            push_line(&mut out, line.as_bytes());
        }
        if !begun {
            out.extend_from_slice(b"\r\n");
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(unread)? == 0 {
                break;
            }
            let bare = line.strip_suffix(b"\n").unwrap_or(&line);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            if options.dot_ends && bare == b"." {
                break;
            }
            push_line(&mut out, bare);
            if out.len() >= BLOCK_BYTES {
                self.write(&out)?;
                out.clear();
            }
        }
        out.extend_from_slice(b".\r\n");
        self.write(&out)?;
        let reply = self.reply()?;
        expect("the message", &reply, reply.is_positive())?;
        if options.verbose {
            super::print::say(&reply.to_string());
        }
        // The daemon has the message; a failed QUIT changes nothing.
        let _bye = self.write(b"QUIT\r\n");
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<Reply, Failure> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(octets).map_err(|fault| lost(&fault.to_string()))
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        loop {
            let mut rest = self.pending.as_slice();
            let taken = self.answers.take(&mut rest).map_err(|fault| lost(&fault.to_string()))?;
            let used = self.pending.len().saturating_sub(rest.len());
            self.pending.drain(..used);
            if let Some(reply) = taken {
                return Ok(reply);
            }
            let mut block = [0; 4096];
            let count =
                io::Read::read(&mut self.stream, &mut block).map_err(|fault| lost(&fault.to_string()))?;
            if count == 0 {
                return Err(lost("it closed the connection"));
            }
            self.pending.extend_from_slice(block.get(..count).unwrap_or_default());
        }
    }
}

/// Appends a line in wire form: CRLF at its end, and a leading dot doubled.
fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    if line.starts_with(b".") {
        out.push(b'.');
    }
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

fn lost(why: &str) -> Failure {
    Failure::new(EXIT_TEMPORARY, format!("the listener did not take the message: {why}"))
}

fn expect(what: &str, reply: &Reply, taken: bool) -> Result<(), Failure> {
    if taken {
        return Ok(());
    }
    let exit = if reply.is_permanent() { EXIT_DATA } else { EXIT_TEMPORARY };
    Err(Failure::new(exit, format!("{what} was refused: {reply}")))
}

const BLOCK_BYTES: usize = 65_536;
