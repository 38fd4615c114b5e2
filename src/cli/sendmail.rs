//! `sendmail`: submits mail from scripts and cron on this machine to the local listener. It takes
//! the usual sendmail options, and the message on standard input.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::exit::{EXIT_CONFIG, EXIT_TEMPORARY, EXIT_USAGE, Failure};
use super::queue::{QueueArgs, queue};
use crate::config::{self, LocalListener};
use crate::mail::{Clock, Domain, Mailbox, ReversePath};
use crate::submit::{self, Client, DROP_DIR, DropDir, Header, LocalMessage, SubmitFault, SubmittedEnvelope};
use options::{Options, Task};

mod options;
mod session;

/// What `sendmail` takes.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct SendmailArgs {
    /// -t (recipients from To, Cc and Bcc), -i or -oi (a lone dot does not end the message), -f ADDRESS (sender),
    /// -F NAME (its name), -N, -R and -V (reports), recipients. Others of other sendmails are ignored.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    args: Vec<OsString>,
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
/// Octets of a message from standard input.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// Submits the message. Once this returns 0, the daemon has accepted it, or it is in the drop directory.
pub(super) fn sendmail(args: &SendmailArgs) -> Result<ExitCode, Failure> {
    if args.args == ["--help"] {
        super::print::say(HELP);
        return Ok(ExitCode::SUCCESS);
    }
    run(&args.args)
}

/// As `sendmail`, for a program that was called as `sendmail`.
pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let args: Vec<String> = args.iter().map(text).collect();
    let options = Options::parse(&args).map_err(|why| Failure::new(EXIT_USAGE, why))?;
    match options.task {
        Task::Message => message(&options),
        Task::Session => session::join(local(&options)?.reachable()?),
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

/// An argument as text. Scripts of old write Latin-1.
fn text(arg: &OsString) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    arg.to_str()
        .map_or_else(|| arg.as_bytes().iter().map(|octet| char::from(*octet)).collect(), str::to_owned)
}

fn message(options: &Options) -> Result<ExitCode, Failure> {
    let local = local(options)?;
    let submission = submission(options, &local.name)?;
    // Without one, nothing that is left could ever be picked up.
    let listener = local.reachable()?;
    let submitted = Client::connect(listener, &local.name).and_then(|mut client| client.submit(&submission));
    let fault = match submitted {
        Ok(reply) => {
            if options.verbose {
                super::print::say(&reply.to_string());
            }
            return Ok(ExitCode::SUCCESS);
        }
        Err(fault) => fault,
    };
    let failure = failure(&fault);
    // An answer that never came may have been yes: a second copy is better than none.
    let Some(folder) = local.drop_dir.filter(|_| !fault.is_permanent()) else { return Err(failure) };
    let left = DropDir::open(&folder).and_then(|drop| drop.leave(&submission));
    left.map_err(|fault| {
        let why = format!("{}; and it can't be left in {}: {fault}", failure.message, folder.display());
        Failure::new(failure.exit, why)
    })?;
    if options.verbose {
        super::print::say(&format!("{}: left in {}", failure.message, folder.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn failure(fault: &SubmitFault) -> Failure {
    Failure::new(if fault.is_permanent() { EXIT_DATA } else { EXIT_TEMPORARY }, fault)
}

fn submission(options: &Options, name: &Domain) -> Result<LocalMessage, Failure> {
    let unread = |why: String| {
        Failure::new(EXIT_DATA, format!("the message can't be read from standard input: {why}"))
    };
    let mut input = Vec::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX.saturating_add(1)).read_to_end(&mut input);
    let count = read.map_err(|fault| unread(fault.to_string()))?;
    if u64::try_from(count).is_ok_and(|count| count > INPUT_BYTES_MAX) {
        return Err(unread(format!("it has more than {INPUT_BYTES_MAX} octets")));
    }
    let input = if options.dot_ends { before_dot(&input) } else { &input };
    let (header, body) = Header::split(input);
    let sender = sender(options, &header, name)?;
    let recipients = recipients(options, &header, name)?;
    let header = header.completed(&sender, options.full_name.as_deref(), name, Clock::wall());
    let envelope = SubmittedEnvelope {
        sender: sender.to_string(),
        recipients: recipients.iter().map(ToString::to_string).collect(),
        ret: options.ret,
        envid: options.envid.clone(),
        notify: options.notify.clone(),
    };
    Ok(LocalMessage { envelope, content: submit::content(&header, body) })
}

/// What comes before a line with only a dot. One with a blank behind it is text.
fn before_dot(input: &[u8]) -> &[u8] {
    let mut before = 0_usize;
    for line in input.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.strip_suffix(b"\r").unwrap_or(text) == b"." {
            break;
        }
        before = before.saturating_add(line.len());
    }
    input.get(..before).unwrap_or(input)
}

fn configuration(options: &Options) -> PathBuf {
    let path = options.config.clone().or_else(|| std::env::var_os("SEALPOST_CONFIG").map(PathBuf::from));
    path.unwrap_or_else(|| Path::new("/etc/sealpost/sealpost.toml").to_owned())
}

/// Our name, the listener for this machine's mail, and where mail is left while there is none. A program that can't read
/// the configuration uses what the daemon has published.
fn local(options: &Options) -> Result<LocalListener, Failure> {
    match config::local_listener(&configuration(options)) {
        Ok(local) => Ok(local),
        Err(faults) if options.config.is_some() => Err(faults.into()),
        Err(faults) => published().ok_or_else(|| faults.into()),
    }
}

fn published() -> Option<LocalListener> {
    let folder = std::env::var_os("SEALPOST_DROP_DIR").map_or_else(|| DROP_DIR.into(), PathBuf::from);
    let published = DropDir::open(&folder).ok()?.published()?;
    let name = Domain::parse(&published.name).ok()?;
    Some(LocalListener { name, listener: published.listener, drop_dir: Some(folder) })
}

impl LocalListener {
    fn reachable(&self) -> Result<SocketAddr, Failure> {
        self.listener.ok_or_else(|| {
            Failure::new(
                EXIT_CONFIG,
                "no listener accepts mail from this machine in plaintext; add one, as [[listener]] with address = \
                 \"127.0.0.1:25\" and tls = \"off\"",
            )
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(before_dot(input.as_bytes())), expected);
    }

    #[test]
    fn only_a_lone_dot_ends_the_message() {
        check("a\n.\nb\n", "a\n");
        check("a\r\n.\r\nb\r\n", "a\r\n");
        check("a\n.", "a\n");
        check("a\n. \nb\n.\t\n", "a\n. \nb\n.\t\n");
        check(" .\n..\n.x\n", " .\n..\n.x\n");
    }
}
