//! Alerts: what an administrator should hear of by mail or webhook, at most once for each episode. Pure: events and times go
//! in, mails and notices come out; sending them is the daemon's.

mod book;
mod episode;
mod fact;
mod kind;
mod letter;
mod notice;
mod outbox;
mod passage;
mod posting;
mod report;
mod route;
mod settings;
mod watcher;

pub use book::{AlertInput, EpisodeBook};
pub use episode::{AlertMail, AlertOccasion, Episode, Incident, MailedEpisode, Mending};
pub use fact::{AlertFact, AlertMailEnd, FailureFact, fact_of};
pub use kind::AlertKind;
pub use letter::{LetterFrame, WaitingCount, compose_alert};
pub use notice::AlertNotice;
pub use passage::{AlertPassage, PassageState};
pub use posting::{NextNotice, NoticeQueue, PostAnswer};
pub use report::{AlertTestReport, AlertTestResult, AlertsView, EpisodeView, WebhookView};
pub use route::{AlertRoute, WayTrouble, alert_route, alert_routes, carriers, other_route};
pub use settings::{AlertSettings, WebhookSettings};
pub use watcher::{AlertInbox, AlertWatcher, PeerMarks};
