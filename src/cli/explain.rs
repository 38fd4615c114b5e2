//! `explain`: which connector applies and what it decides, without network access.

use std::path::Path;
use std::process::ExitCode;

use super::exit::{EXIT_NO, Failure};
use super::print::{say, say_json};
use crate::admin::{ExplainQuestion, StartTlsTrouble, SupposedSession};
use crate::config;
use crate::connector::TlsVersion;
use crate::daemon::{override_words, recorded_overrides};
use crate::explain::{self as explained, ExplainFault, ExplainedRefusal};
use args::{StartTls, Version};

mod args;

pub(super) use args::ExplainArgs;

/// Reports which connector decides, and how. No network access.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    if let Some(text) = &args.reply {
        let refusal = ExplainedRefusal::of(text);
        if args.json {
            say_json(&refusal.to_json());
        } else {
            say(&refusal.to_string());
        }
        return Ok(if refusal.is_known() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) });
    }
    let config = config::load(&args.config.config)?;
    // Those of the daemon, if its folder can be read.
    let overrides = recorded_overrides(&config.data_dir).unwrap_or_default();
    let answer = explained::explain(&question(args)?, &config, overrides)?;
    if args.json {
        say_json(&answer);
    } else {
        let mut lines: Vec<String> = answer.passages.iter().map(ToString::to_string).collect();
        lines.extend(answer.overridden.iter().map(|one| format!("OVERRIDE  {}", override_words(one))));
        say(&lines.join("\n"));
    }
    Ok(if answer.yes { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn question(args: &ExplainArgs) -> Result<ExplainQuestion, Failure> {
    Ok(ExplainQuestion {
        to: args.to.clone(),
        from: args.from.clone(),
        peer: args.peer_ip,
        listener: args.listener.clone(),
        user: args.user.clone(),
        arrives_by: args.arrives_by.clone(),
        headers: args.header.clone(),
        session: session(args)?,
        version: match args.tls_version {
            Version::V12 => TlsVersion::V12,
            Version::V13 => TlsVersion::V13,
        },
        suite: args.suite.clone(),
        group: args.group.clone(),
    })
}

fn session(args: &ExplainArgs) -> Result<SupposedSession, Failure> {
    let text = |file: &Path| {
        std::fs::read(file).map_err(|fault| Failure::new(EXIT_NO, format!("{}: {fault}", file.display())))
    };
    if let Some(file) = &args.facts {
        let text = String::from_utf8_lossy(&text(file)?).into_owned();
        return Ok(SupposedSession::Facts { name: file.display().to_string(), text });
    }
    if let Some(file) = &args.peer_cert {
        return Ok(SupposedSession::Presenting { name: file.display().to_string(), chain: text(file)? });
    }
    Ok(match args.starttls {
        _ if args.tls => SupposedSession::WithoutCertificate,
        None => SupposedSession::Unsaid,
        Some(trouble) => SupposedSession::Unsecured(match trouble {
            StartTls::NotOffered => StartTlsTrouble::NotOffered,
            StartTls::Refused => StartTlsTrouble::Refused,
            StartTls::Broken => StartTlsTrouble::Broken,
            StartTls::Lost => StartTlsTrouble::Lost,
            StartTls::OursRefused => StartTlsTrouble::OursRefused,
        }),
    })
}

impl From<ExplainFault> for Failure {
    fn from(fault: ExplainFault) -> Self {
        Self::new(EXIT_NO, fault)
    }
}
