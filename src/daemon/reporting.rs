//! Mails reports when they are due, each once: what is to be mailed is on disk before it is queued, and what is queued is looked for
//! before anything can leave. When and what, `reports` decides.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::own_mail::own_mail;
use super::reload::Reloader;
use super::state_file;
use crate::admin::{MailedReport, ReportAnswer, ReportOffice};
use crate::connector::{Arrival, LiveTable, choose};
use crate::explain::some_of;
use crate::mail::{Clock, QueueId};
use crate::reports::{
    ReportAddressee, ReportFrame, ReportMail, ReportMark, ReportRound, ReportSettings, compose_report,
    next_report,
};
use crate::scheduler::Scheduler;
use crate::spool::{LaneKey, Leased, QueuedMessage, Spool, SpoolFault};
use crate::trace::{Sum, SumKey, TraceFault, TraceReader, date_of_day};

/// What reports are made of.
type SharedSums = Arc<Vec<(SumKey, Sum)>>;

/// What is kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ReportMemory {
    mark: Option<ReportMark>,
    begun: Option<BegunReports>,
}

/// Reports that are being queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BegunReports {
    round: ReportRound,
    mails: Vec<PlannedReport>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PlannedReport {
    to: String,
    partner: Option<Arc<str>>,
    id: QueueId,
    queued: bool,
}

/// Reports that nobody gets any more.
#[derive(Debug, PartialEq, Eq)]
struct LostReports {
    days: (i64, i64),
    to: String,
}

/// Reports that can't be queued yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WaitingReports {
    /// `None`: none have been begun.
    days: Option<(i64, i64)>,
    to: String,
    partner: Option<Arc<str>>,
    why: String,
}

/// Why reports wait.
#[derive(Debug, thiserror::Error)]
enum ReportTrouble {
    #[error("the tracking store can't be read: {0}")]
    Store(#[from] TraceFault),
    #[error("the tracking store can't be read: {0}")]
    Sums(#[from] rusqlite::Error),
    #[error("the spool can't take it: {0}")]
    Spool(#[from] SpoolFault),
    #[error("the list of reports can't be written: {0}")]
    File(#[from] io::Error),
    #[error("the thread that reads the tracking store was lost")]
    Thread,
    #[error("no outbound connector serves this address")]
    Unserved,
}

/// What reports need before anything is sent.
pub(super) struct ReportStart {
    memory: ReportMemory,
    data_dir: PathBuf,
}

/// Who asks for reports now.
pub(super) struct ReportDesk {
    asks: mpsc::Sender<oneshot::Sender<Result<Vec<MailedReport>, String>>>,
}

/// Mails them.
pub(super) struct ReportLoop {
    memory: ReportMemory,
    /// What the last try has left waiting, and is in the log.
    waiting: Vec<WaitingReports>,
    data_dir: PathBuf,
    reloader: Arc<Reloader>,
    live: Arc<LiveTable>,
    spool: Arc<dyn Spool>,
    scheduler: Arc<Scheduler>,
    asked: mpsc::Receiver<oneshot::Sender<Result<Vec<MailedReport>, String>>>,
}

impl ReportStart {
    /// Goes on with what is in `data_dir`. Nothing is being delivered yet, so a report that was queued is in the spool.
    pub(super) async fn of(data_dir: &Path, spool: &Arc<dyn Spool>) -> Self {
        let mut memory = ReportMemory::load(&data_dir.join(FILE));
        for mail in memory.begun.iter_mut().flat_map(|begun| &mut begun.mails).filter(|mail| !mail.queued) {
            mail.queued = is_there(spool.show(mail.id).await).unwrap_or_else(|fault| {
                // It is looked for again before it is queued: twice is better than never.
                tracing::error!(id = %mail.id, to = mail.to, %fault, "whether a report is queued can't be read");
                false
            });
        }
        Self { memory, data_dir: data_dir.to_owned() }
    }

    /// The asking side, and the side that mails until it is stopped.
    pub(super) fn open(
        self,
        (reloader, live): (&Arc<Reloader>, &Arc<LiveTable>),
        (spool, scheduler): (&Arc<dyn Spool>, &Arc<Scheduler>),
    ) -> (Arc<ReportDesk>, ReportLoop) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (memory, data_dir) = (self.memory, self.data_dir);
        let (reloader, live) = (Arc::clone(reloader), Arc::clone(live));
        let (spool, scheduler) = (Arc::clone(spool), Arc::clone(scheduler));
        let waiting = Vec::new();
        let mailing = ReportLoop { memory, waiting, data_dir, reloader, live, spool, scheduler, asked };
        (Arc::new(ReportDesk { asks }), mailing)
    }
}

impl ReportOffice for ReportDesk {
    fn mail_now(self: Arc<Self>) -> ReportAnswer {
        Box::pin(async move {
            let (done, answer) = oneshot::channel();
            let gone = || "the daemon is stopping".to_owned();
            self.asks.send(done).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

impl ReportMemory {
    /// Without the file nothing is due for what was before.
    fn load(file: &Path) -> Self {
        state_file::read_json(file).unwrap_or_else(|fault| {
            tracing::error!(%fault, "which reports were mailed can't be read: the next one is that of the next period");
            Self::default()
        })
    }
}

impl ReportLoop {
    /// Works until `stop`.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let live = Arc::clone(&self.live);
        loop {
            // Registered before the settings are read, so that no reload is missed.
            let replaced = live.replaced();
            let rest = self.work().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = replaced => {}
                () = sleep(rest) => {}
                Some(done) = self.asked.recv() => {
                    let _gone = done.send(self.mail_now().await);
                }
            }
        }
    }

    /// Mails what is due, and says how long nothing more is.
    async fn work(&mut self) -> Duration {
        let config = self.reloader.base();
        let Some(settings) = &config.reports else {
            // Whoever gets reports later gets none of before.
            if self.memory != ReportMemory::default() {
                LostReports::unfinished(&self.memory).iter().for_each(LostReports::tell);
                self.memory = ReportMemory::default();
                self.save_or_warn();
            }
            return REST;
        };
        // The last events of a day are written within a second.
        let now = Clock::wall().before(SETTLED_AFTER);
        let step = next_report(&settings.schedule, self.memory.mark.as_ref(), now);
        let mut memory = ReportMemory { mark: step.mark, begun: self.memory.begun.clone() };
        if let Some(round) = step.round {
            memory.begun = Some(self.planned(round, settings));
        }
        if memory != self.memory {
            let before = std::mem::replace(&mut self.memory, memory);
            if let Err(fault) = self.save() {
                let waiting = WaitingReports::all(&self.memory, &fault.into());
                self.memory = before;
                self.note(vec![waiting]);
                return RETRY;
            }
            LostReports::between(&before, step.round).iter().for_each(LostReports::tell);
        }
        let waiting = self.finish(settings).await;
        self.note(waiting);
        if !self.waiting.is_empty() {
            return RETRY;
        }
        step.next.map_or(REST, |next| next.since(now).min(REST))
    }

    /// Logs what has not been waiting for the same reason since the last try.
    fn note(&mut self, waiting: Vec<WaitingReports>) {
        waiting.iter().filter(|one| !self.waiting.contains(one)).for_each(WaitingReports::tell);
        self.waiting = waiting;
    }

    fn planned(&self, round: ReportRound, settings: &ReportSettings) -> BegunReports {
        let now = Clock::wall();
        let plan = |one: &ReportAddressee| PlannedReport {
            to: one.to.as_str().to_owned(),
            partner: one.partner.clone(),
            id: self.spool.new_id(now),
            queued: false,
        };
        BegunReports { round, mails: settings.addressees.iter().map(plan).collect() }
    }

    /// Queues what has been begun and is not queued; returns what still waits.
    async fn finish(&mut self, settings: &ReportSettings) -> Vec<WaitingReports> {
        let Some(begun) = self.memory.begun.clone() else { return Vec::new() };
        let days = (begun.round.first, begun.round.last);
        let sums = match self.sums(days).await {
            Ok(sums) => sums,
            Err(fault) => return vec![WaitingReports::all(&self.memory, &fault)],
        };
        let mut waiting = Vec::new();
        for (place, mail) in begun.mails.iter().enumerate().filter(|(_, mail)| !mail.queued) {
            let queued = match self.queue_planned((&sums, days), settings, mail).await {
                Ok(queued) => queued,
                // Whoever is not concerned does not wait for it.
                Err(fault) => {
                    waiting.push(WaitingReports::one(days, mail, &fault));
                    continue;
                }
            };
            if let Some(begun) = &mut self.memory.begun
                && let Some(mail) = begun.mails.get_mut(place)
            {
                mail.queued = true;
            }
            // Only what is written down leaves: after a crash it is in the spool, or has been noted here.
            self.save_or_warn();
            if let Some(leased) = queued {
                self.scheduler.offer(leased);
            }
        }
        if waiting.is_empty() {
            self.memory.begun = None;
            self.save_or_warn();
        }
        waiting
    }

    /// Puts one of these into the spool; `None`: it is there already, or nobody gets it any more.
    async fn queue_planned(
        &self,
        made_of: (&SharedSums, (i64, i64)),
        settings: &ReportSettings,
        mail: &PlannedReport,
    ) -> Result<Option<Vec<Leased>>, ReportTrouble> {
        // It may be there if that could not be read at the start; it is then tried as any mail.
        let there = is_there(self.spool.show(mail.id).await)?;
        // An address that is not in the file any more gets nothing.
        let Some(addressee) = settings.addressees.iter().find(|one| !there && mail.is_for(one)) else {
            return Ok(None);
        };
        let (_, leased) = self.queue(made_of, (settings, addressee), mail.id).await?;
        Ok(Some(leased))
    }

    /// Mails the last whole period to all, whatever is due. One who can't be mailed to is in nobody's way.
    async fn mail_now(&mut self) -> Result<Vec<MailedReport>, String> {
        let config = self.reloader.base();
        let settings = config.reports.as_ref().ok_or(NOBODY)?;
        let round = settings.schedule.last_round(Clock::wall()).ok_or("no period is over yet")?;
        let days = (round.first, round.last);
        let words = |fault: ReportTrouble| format!("reports can't be mailed: {fault}");
        let sums = self.sums(days).await.map_err(words)?;
        let mut mailed = Vec::new();
        for addressee in &settings.addressees {
            let id = self.spool.new_id(Clock::wall());
            let (to, partner) = (addressee.to.as_str().to_owned(), addressee.partner.as_deref());
            let partner = partner.map(str::to_owned);
            mailed.push(match self.queue((&sums, days), (settings, addressee), id).await {
                Ok((connector, leased)) => {
                    self.scheduler.offer(leased);
                    let (id, connector) = (Some(id.to_string()), Some(connector.to_string()));
                    MailedReport { to, partner, id, connector, why: None }
                }
                Err(fault) => {
                    tracing::error!(to, %fault, "a report is not queued");
                    MailedReport { to, partner, id: None, connector: None, why: Some(fault.to_string()) }
                }
            });
        }
        Ok(mailed)
    }

    async fn sums(&self, (first, last): (i64, i64)) -> Result<SharedSums, ReportTrouble> {
        let data_dir = self.data_dir.clone();
        let read = move || -> Result<_, ReportTrouble> {
            Ok(Arc::new(TraceReader::open(&data_dir)?.sums(first, last)?))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(ReportTrouble::Thread))
    }

    /// Puts a report into the spool, by the connector of any mail to the address, which decides again at each attempt.
    async fn queue(
        &self,
        (sums, days): (&SharedSums, (i64, i64)),
        (settings, addressee): (&ReportSettings, &ReportAddressee),
        id: QueueId,
    ) -> Result<(Arc<str>, Vec<Leased>), ReportTrouble> {
        let ReportAddressee { to, partner } = addressee.clone();
        let table = self.live.table();
        let choice = choose(&table, to.domain_name(), Arrival::Ours).ok_or(ReportTrouble::Unserved)?;
        let now = Clock::wall();
        let (name, from, sums) = (settings.name.clone(), settings.from.clone(), Arc::clone(sums));
        let address = to.clone();
        let compose = move || {
            let frame = ReportFrame { name: &name, days, now, partner: partner.as_ref() };
            compose_report(&ReportMail::of(&sums, &frame), (&name, now), (&from, &address, id))
        };
        let made = tokio::task::spawn_blocking(compose).await.map_err(|_| ReportTrouble::Thread)?;
        let lane = LaneKey::of(&choice.connector, to.domain());
        let leased = self.spool.put(own_mail(made, (&to, id), lane, now)).await?;
        let connector = Arc::clone(&choice.connector.name);
        tracing::info!(%id, %to, %connector, partner = addressee.partner.as_deref(), "a report is queued");
        Ok((connector, leased))
    }

    fn save(&self) -> io::Result<()> {
        state_file::replace_json(&self.data_dir.join(FILE), &self.memory)
    }

    fn save_or_warn(&self) {
        if let Err(fault) = self.save() {
            tracing::warn!(%fault, "which reports were mailed can't be written down: one may come twice after a crash");
        }
    }
}

impl PlannedReport {
    fn is_for(&self, addressee: &ReportAddressee) -> bool {
        self.to == addressee.to.as_str() && self.partner == addressee.partner
    }
}

impl WaitingReports {
    fn all(memory: &ReportMemory, fault: &ReportTrouble) -> Self {
        let days = memory.begun.as_ref().map(|begun| (begun.round.first, begun.round.last));
        Self { days, to: "all".to_owned(), partner: None, why: fault.to_string() }
    }

    fn one(days: (i64, i64), mail: &PlannedReport, fault: &ReportTrouble) -> Self {
        let (to, partner) = (mail.to.clone(), mail.partner.clone());
        Self { days: Some(days), to, partner, why: fault.to_string() }
    }

    fn tell(&self) {
        let (days, partner) = (self.days.map(days_in_words), self.partner.as_deref());
        tracing::error!(
            days,
            to = self.to,
            partner,
            fault = self.why,
            "reports are not queued yet, and are tried again"
        );
    }
}

impl LostReports {
    /// What is in no report once `next` has taken the place of what was planned before: reports that were not queued, and periods
    /// that ended while nothing could be planned.
    fn between(before: &ReportMemory, next: Option<ReportRound>) -> Vec<Self> {
        let Some(next) = next else { return Vec::new() };
        let mut lost: Vec<Self> = Self::unfinished(before).into_iter().collect();
        if let Some(until) = before.mark.map(|mark| mark.until).filter(|until| *until < next.first) {
            lost.push(Self { days: (until, next.first.saturating_sub(1)), to: "all".to_owned() });
        }
        lost
    }

    /// What has been begun, and is not queued.
    fn unfinished(memory: &ReportMemory) -> Option<Self> {
        let BegunReports { round, mails } = memory.begun.as_ref()?;
        let unqueued = mails.iter().filter(|mail| !mail.queued);
        let to: Vec<&str> = unqueued.map(|mail| mail.to.as_str()).collect();
        (!to.is_empty()).then(|| Self { days: (round.first, round.last), to: some_of(&to) })
    }

    fn tell(&self) {
        tracing::error!(days = days_in_words(self.days), to = self.to, "these days are in no report");
    }
}

/// Whether the spool has a report.
fn is_there(shown: Result<Option<QueuedMessage>, SpoolFault>) -> Result<bool, SpoolFault> {
    shown.map(|message| message.is_some())
}

fn days_in_words((first, last): (i64, i64)) -> String {
    format!("{} to {}", date_of_day(first), date_of_day(last))
}

const FILE: &str = "reports";
const NOBODY: &str =
    "nobody gets reports: write to = [\"you@your.domain\"] in [reports], or report_to of a [[partner]]";
/// The clock may be set, and the machine may have slept: nothing sleeps longer.
const REST: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(300);
const SETTLED_AFTER: Duration = Duration::from_secs(10);
const ASKS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::UnixMillis;

    #[test]
    fn what_takes_the_place_of_reports_says_which_days_nobody_gets() {
        let id = "01M8FZYVM9000".parse::<QueueId>().expect("an ID");
        let mail = |to: &str, queued| PlannedReport { to: to.to_owned(), partner: None, id, queued };
        let round = |first, last| ReportRound { due: UnixMillis(0), first, last };
        let begun = |mails| Some(BegunReports { round: round(7, 13), mails });
        let mark = Some(ReportMark { due: UnixMillis(0), until: 14 });
        let lost = |begun, next| {
            let lost = LostReports::between(&ReportMemory { mark, begun }, next);
            let words = lost.into_iter().map(|one| format!("{} for {}", days_in_words(one.days), one.to));
            words.collect::<Vec<_>>()
        };
        let none = [""; 0];
        assert_eq!(lost(None, Some(round(14, 20))), none);
        assert_eq!(lost(begun(vec![mail("a@a.test", true)]), Some(round(14, 20))), none);
        let half = || begun(vec![mail("a@a.test", true), mail("b@a.test", false)]);
        assert_eq!(lost(half(), None), none, "it is gone on with");
        assert_eq!(
            lost(half(), Some(round(21, 27))),
            ["1970-01-08 to 1970-01-14 for b@a.test", "1970-01-15 to 1970-01-21 for all"]
        );
    }

    #[test]
    fn a_spool_that_cannot_be_read_has_not_said_that_a_report_is_there() {
        assert!(matches!(is_there(Ok(None)), Ok(false)));
        assert!(is_there(Err(SpoolFault::Failed("EMFILE".to_owned()))).is_err());
    }
}
