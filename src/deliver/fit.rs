//! Whether a session fits a message: one that waits, and what a message needs of extensions.

use std::io;
use std::time::Duration;

use super::Courier;
use super::decide::{has_ascii_header, is_seven_bit, serves};
use super::link::Link;
use super::result::{undeliverable, unreadable};
use super::seek::Candidate;
use crate::connector::Retry;
use crate::mail::BodyType;
use crate::outcome::{Cause, Outcome, Scope};
use crate::scheduler::{Job, Way};
use crate::smtp::{NotBegun, Offers};
use crate::spool::QueuedRecipient;

/// Whether the host takes the addresses and headers of a message as they are (RFC 6531 §3.2).
///
/// # Errors
/// What it comes to here.
pub(super) fn speaks(job: &Job, link: &Link) -> Result<(), Box<Outcome>> {
    let offers = link.line.session.offers();
    if !job.message.utf8 || offers.utf8 {
        return Ok(());
    }
    match to_declare(job, &job.recipients, offers) {
        Ok((_, false)) => Ok(()),
        Ok((_, true)) => Err(Box::new(undeliverable(&NotBegun::Utf8, link))),
        Err(error) => Err(Box::new(unreadable(&error, link))),
    }
}

/// A session that waits for more work, judged anew for this one.
pub(super) async fn reuse(courier: &Courier, way: &Way, candidates: &[Candidate], job: &Job) -> Option<Link> {
    let connector = &way.connector;
    for candidate in candidates {
        let requirement = connector.requirement(way.domain.as_ref(), candidate.smart.as_ref());
        while let Some(mut link) = courier.pool.take(&candidate.key(connector.revision)) {
            let table = courier.live.table();
            let fit = serves(&table, connector, &job.recipients)
                && link.line.is_quiet().await
                && link.rejudge(connector, requirement.clone(), table.generation)
                && courier.may_reuse(way, candidate, &link)
                && speaks(job, &link).is_ok();
            if fit {
                return Some(link);
            }
            link.line.dismiss();
        }
    }
    None
}

/// What is declared of a message: as it came, or less where the peer does not offer it and the message
/// does not need it after all.
pub(super) fn to_declare(
    job: &Job,
    recipients: &[QueuedRecipient],
    offers: Offers,
) -> io::Result<(BodyType, bool)> {
    let Job { message, content, .. } = job;
    let mut declared = (message.body, message.utf8);
    if message.body == BodyType::EightBitMime && !offers.eight_bit_mime && is_seven_bit(content)? {
        declared.0 = BodyType::SevenBit;
    }
    if message.utf8 && !offers.utf8 {
        let ascii = message.reverse_path.is_ascii() && recipients.iter().all(|r| r.forward_path.is_ascii());
        declared.1 = !(ascii && has_ascii_header(content)?);
    }
    Ok(declared)
}

/// Whether a host gave no connection, or no greeting: the next message need not wait for the same.
pub(super) fn is_out_of_reach(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deferred(trouble) => {
            let unheard =
                matches!(trouble.cause, Cause::Unreachable | Cause::Silent | Cause::Lost | Cause::Displaced);
            trouble.scope == Scope::Lane && unheard
        }
        Outcome::Delivered(_) | Outcome::Failed(_) => false,
    }
}

/// For how long: not so long that a lane's own next attempt would still meet it.
pub(super) fn remembered_for(retry: &Retry) -> Duration {
    let first = retry.waits.first().copied().unwrap_or(UNREACHED_MAX);
    first.min(UNREACHED_MAX).saturating_sub(UNREACHED_MARGIN)
}

const UNREACHED_MAX: Duration = Duration::from_secs(30);
const UNREACHED_MARGIN: Duration = Duration::from_millis(100);
