//! The arguments of `queue`.

use clap::Subcommand;

use super::super::args::DaemonArgs;
use super::super::exit::{EXIT_ARGUMENTS, Failure};
use super::super::listing::ListingArgs;
use crate::admin::ListQuery;
use crate::config::duration;

/// What `queue` takes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct QueueArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List queued messages, the oldest first.
    List {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// Maximum number of messages, up to 1,000.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Continue after this message.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        listing: ListingArgs,
    },
    /// Show the lanes with the most recipients.
    Top {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// Maximum number of lanes, up to 1,000.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        listing: ListingArgs,
    },
    /// Show one message: envelope, attempts, and the last decision.
    Show {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: String,
        /// Print the message itself, and nothing else.
        #[arg(long, conflicts_with = "json")]
        content: bool,
    },
    /// Retry a message now, those that match filters, or all with --all.
    Retry {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        #[arg(conflicts_with = "all")]
        id: Option<String>,
        /// Every queued message.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Hold a message until it is released, or those that match filters.
    Hold(ChosenArgs),
    /// Release a held message, or those that match filters (such as --held).
    Release(ChosenArgs),
    /// Give up a message, or those that match filters. Their senders are notified.
    Bounce(EndArgs),
    /// Pause an outbound connector: its mail waits, and none of it is given up.
    Pause {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The connector.
        connector: String,
    },
    /// Resume a paused connector.
    Resume {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The connector.
        connector: String,
    },
    /// Remove a message from the queue, or those that match filters. Nobody is notified.
    Remove(EndArgs),
}

impl Action {
    /// Whom to ask, and how to answer.
    pub(super) fn daemon(&self) -> &DaemonArgs {
        match self {
            Self::List { daemon, .. }
            | Self::Top { daemon, .. }
            | Self::Show { daemon, .. }
            | Self::Retry { daemon, .. }
            | Self::Pause { daemon, .. }
            | Self::Resume { daemon, .. } => daemon,
            Self::Hold(chosen) | Self::Release(chosen) => &chosen.daemon,
            Self::Bounce(end) | Self::Remove(end) => &end.chosen.daemon,
        }
    }
}

/// One message, or those that match filters.
#[derive(Debug, clap::Args)]
pub(super) struct ChosenArgs {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
    /// The message.
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

/// The same for what ends a message.
#[derive(Debug, clap::Args)]
pub(super) struct EndArgs {
    #[command(flatten)]
    pub(super) chosen: ChosenArgs,
    /// With recipients that the filters do not name, too.
    #[arg(long)]
    pub(super) whole: bool,
}

/// Which messages; all filters that are given must match.
#[derive(Debug, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// In a lane of this outbound connector.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// To this domain.
    #[arg(long)]
    domain: Option<String>,
    /// From this address, "@domain", or "<>" for the null reverse-path.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this address, or "@domain".
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Whose last problem contains this text: a status, the token of a decision, some words.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Accepted at least this long ago: "30m", "2d".
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Held messages.
    #[arg(long)]
    held: bool,
}

impl FilterArgs {
    /// The connector and the domain that are named.
    pub(super) fn names(&self) -> (Option<&str>, Option<&str>) {
        (self.connector.as_deref(), self.domain.as_deref())
    }

    pub(super) fn is_empty(&self) -> bool {
        let texts =
            [&self.connector, &self.domain, &self.sender, &self.recipient, &self.reason, &self.older_than];
        !self.held && texts.into_iter().all(Option::is_none)
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        let named = [
            ("--connector", &self.connector),
            ("--domain", &self.domain),
            ("--sender", &self.sender),
            ("--recipient", &self.recipient),
            ("--reason", &self.reason),
        ];
        // A variable that a script forgot to set must not match every message.
        if let Some((name, _)) = named.into_iter().find(|(_, text)| text.as_deref() == Some("")) {
            let hint = if name == "--sender" { "; the null reverse-path is written <>" } else { "" };
            return Err(Failure::new(EXIT_ARGUMENTS, format!("{name} is empty{hint}")));
        }
        let usage = |fault: String| Failure::new(EXIT_ARGUMENTS, format!("--older-than: {fault}"));
        self.older_than.as_deref().map_or(Ok(()), |text| duration(text).map(|_| ()).map_err(usage))
    }

    /// The filters as a list query.
    pub(super) fn query(&self, limit: usize, after: Option<String>) -> ListQuery {
        let bare = |text: &String| text.trim_start_matches('<').trim_end_matches('>').to_owned();
        let age = self.older_than.as_deref().and_then(|text| duration(text).ok());
        ListQuery {
            limit: Some(limit),
            after,
            connector: self.connector.clone(),
            domain: self.domain.clone(),
            sender: self.sender.as_ref().map(bare),
            recipient: self.recipient.as_ref().map(bare),
            reason: self.reason.clone(),
            older_than: age.map(|age| age.as_secs()),
            held: self.held,
        }
    }
}
