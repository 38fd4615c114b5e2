//! How many answers were sent, so that nobody can make the echo mailbox a source of mail. It reads no clock.

use std::collections::HashMap;
use std::time::Duration;

use super::Silence;
use crate::connector::EchoMailbox;
use crate::mail::{MailboxDomain, UnixMillis};

/// Counts answers in the hour and the day under way. There are at most as many domains as answers in a day.
#[derive(Debug, Default)]
pub struct EchoQuota {
    hour: Option<UnixMillis>,
    of_domains: HashMap<String, u32>,
    day: Option<UnixMillis>,
    of_day: u32,
}

impl EchoQuota {
    /// Counts an answer to this domain.
    ///
    /// # Errors
    /// The limit that was reached; nothing is counted then.
    pub fn take(
        &mut self,
        limits: &EchoMailbox,
        domain: &MailboxDomain,
        now: UnixMillis,
    ) -> Result<(), Silence> {
        // A clock that was set back begins anew, too: it would otherwise keep the mailbox silent.
        let is_over = |since: Option<UnixMillis>, length| {
            since.is_none_or(|since| now < since || now.since(since) >= length)
        };
        if is_over(self.hour, HOUR) {
            self.hour = Some(now);
            self.of_domains.clear();
        }
        if is_over(self.day, DAY) {
            self.day = Some(now);
            self.of_day = 0;
        }
        if self.of_day >= limits.per_day {
            return Err(Silence::DayFull);
        }
        let count = self.of_domains.entry(domain.to_string()).or_default();
        if *count >= limits.per_hour {
            return Err(Silence::HourFull);
        }
        *count = count.saturating_add(1);
        self.of_day = self.of_day.saturating_add(1);
        Ok(())
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
