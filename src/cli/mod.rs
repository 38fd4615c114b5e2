//! The verbs of the command line, one file each. A verb parses its arguments, calls the library or
//! the running daemon, prints the result, and returns an exit code.

mod alert;
mod args;
mod assure;
mod cert;
mod check;
mod connectors;
mod control;
mod doctor;
mod evidence;
mod exit;
mod explain;
mod import;
mod init;
mod lab;
mod listing;
mod manual;
mod openapi;
mod overrides;
mod print;
mod probe;
mod queue;
mod reload;
mod report;
mod revive;
mod run;
mod runtime;
mod sendmail;
mod spool;
mod trace;
mod user;
mod validate;
mod wait;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use args::ConfigArg;
use exit::{EXIT_ARGUMENTS, Failure};

/// An SMTP relay that enforces opportunistic or forced TLS for each connector, and says why.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, max_term_width = 100)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a first configuration from five answers, given as flags or on the terminal.
    Init(Box<init::InitArgs>),
    /// Run the relay.
    Run(ConfigArg),
    /// Check the configuration without starting the relay.
    Check(check::CheckArgs),
    /// Explain which connector applies and what it decides, without network access.
    Explain(explain::ExplainArgs),
    /// Check DNS, certificates, disk and ports around the configuration, and report what needs fixing.
    Doctor(doctor::DoctorArgs),
    /// Show certificates: those of a file, our own, or those a host presents.
    Cert(cert::CertArgs),
    /// Try every host of an outbound connector, without sending mail.
    Validate(validate::ValidateArgs),
    /// Test whether the running site enforces what its configuration requires, without contacting any partner.
    Assure(assure::AssureArgs),
    /// Test whether forced TLS would work with domains or hosts today; needs no configuration.
    Probe(probe::ProbeArgs),
    /// Find messages and show their whole way, also of those that have left; the relay need not run.
    Trace(Box<trace::TraceArgs>),
    /// Report how much mail goes over TLS, who fails, and who could be forced; the relay need not run.
    Report(report::ReportArgs),
    /// Prove that the record of events is what was written, and export a partner's part of it; the relay need not run.
    Evidence(evidence::EvidenceArgs),
    /// Show what the watch over partners saw of their hosts and what has changed there, or look now.
    Watch(watch::WatchArgs),
    /// Inspect and change the queue of the running relay.
    Queue(queue::QueueArgs),
    /// Check the messages on disk for damage and recover what can be read; the relay must be stopped.
    Spool(spool::SpoolArgs),
    /// Reload the configuration of the running relay.
    Reload(args::DaemonArgs),
    /// Show the connectors in effect, what they require, and what needs attention; release one from its brake.
    Connectors(connectors::ConnectorsArgs),
    /// Show what is wrong and who hears of it, and test that alerts arrive.
    Alert(alert::AlertArgs),
    /// Make a configuration from the settings of Exchange or Postfix, and say what has no counterpart.
    Import(import::ImportArgs),
    /// Lower a connector's requirement for a time, no further than its override_floor allows; list and end that.
    Override(overrides::OverrideArgs),
    /// Submit the message on standard input, as scripts and cron do.
    Sendmail(sendmail::SendmailArgs),
    /// Create a line for a users file from a name and the password on standard input.
    User(user::UserArgs),
    /// Run a gateway with good and bad partners, or a hybrid one, on loopback, send real mail, and show what happened
    /// to it.
    Lab(lab::LabArgs),
    /// Print the description of the API of the admin listener, as OpenAPI, to make clients from.
    Openapi,
    /// Print the manual page, or write the pages of all verbs.
    Man(manual::ManArgs),
    /// Print what a shell needs to complete verbs and flags.
    Completions(manual::CompletionsArgs),
}

impl Command {
    /// Runs the verb and returns its exit code.
    #[must_use]
    pub fn main() -> ExitCode {
        let fault = match Self::try_parse() {
            Ok(command) => return command.run(),
            Err(fault) => fault,
        };
        // The help and the version are answers, not errors.
        if !fault.use_stderr() || std::env::args_os().all(|word| word != "--json") {
            fault.exit();
        }
        let words = fault.to_string();
        let words = words.trim_end().trim_start_matches("error: ");
        ended(Err(Failure::new(EXIT_ARGUMENTS, words)), true)
    }

    fn run(self) -> ExitCode {
        let as_json = self.verb.is_json();
        let done = match self.verb {
            Verb::Init(args) => init::init(&args),
            Verb::Run(args) => run::run(&args),
            Verb::Check(args) => check::check(&args),
            Verb::Explain(args) => explain::explain(&args),
            Verb::Doctor(args) => doctor::doctor(&args),
            Verb::Cert(args) => cert::cert(&args),
            Verb::Validate(args) => validate::validate(&args),
            Verb::Assure(args) => assure::assure(&args),
            Verb::Probe(args) => probe::probe(&args),
            Verb::Trace(args) => trace::trace(&args),
            Verb::Report(args) => report::report(&args),
            Verb::Evidence(args) => evidence::evidence(&args),
            Verb::Watch(args) => watch::watch(&args),
            Verb::Queue(args) => queue::queue(args),
            Verb::Spool(args) => spool::spool(&args),
            Verb::Reload(args) => reload::reload(&args),
            Verb::Connectors(args) => connectors::connectors(&args),
            Verb::Alert(args) => alert::alert(&args),
            Verb::Override(args) => overrides::overrides(&args),
            Verb::Import(args) => import::import(&args),
            Verb::Sendmail(args) => sendmail::sendmail(&args),
            Verb::User(args) => user::user(&args),
            Verb::Lab(args) => lab::lab(args),
            Verb::Openapi => openapi::openapi(),
            Verb::Man(args) => manual::man(&args, Self::command()),
            Verb::Completions(args) => manual::completions(&args, Self::command()),
        };
        ended(done, as_json)
    }

    /// Acts as `sendmail` or `mailq` if we were called by such a name: links with those names are
    /// all that cron and scripts need.
    #[must_use]
    pub fn as_sendmail() -> Option<ExitCode> {
        let mut args = std::env::args_os();
        let called = args.next()?;
        let name = std::path::Path::new(&called).file_name()?;
        // `mailq` lists the queue on other systems.
        let first = match name.to_str()? {
            "sendmail" => None,
            "mailq" => Some("-bp".into()),
            _ => return None,
        };
        Some(ended(sendmail::run(&first.into_iter().chain(args).collect::<Vec<_>>()), false))
    }
}

impl Verb {
    /// Whether a program reads the answer.
    fn is_json(&self) -> bool {
        match self {
            Self::Openapi => true,
            Self::Run(_) | Self::Sendmail(_) | Self::User(_) | Self::Man(_) | Self::Completions(_) => false,
            Self::Init(args) => args.json,
            Self::Check(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Cert(args) => args.is_json(),
            Self::Validate(args) => args.daemon.json,
            Self::Assure(args) => args.daemon.json,
            Self::Probe(args) => args.json,
            Self::Import(args) => args.is_json(),
            Self::Trace(args) => args.is_json(),
            Self::Report(args) => args.is_json(),
            Self::Evidence(args) => args.is_json(),
            Self::Watch(args) => args.is_json(),
            Self::Queue(args) => args.is_json(),
            Self::Spool(args) => args.is_json(),
            Self::Reload(args) => args.json,
            Self::Connectors(args) => args.is_json(),
            Self::Alert(args) => args.is_json(),
            Self::Override(args) => args.is_json(),
            Self::Lab(args) => args.is_json(),
        }
    }
}

fn ended(done: Result<ExitCode, Failure>, as_json: bool) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(failure) => {
            print::say_failure(as_json, &failure);
            ExitCode::from(failure.exit)
        }
    }
}
