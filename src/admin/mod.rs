//! What an operator may see and do in the running daemon: a read model, the control socket and the admin listener.
//! It decides nothing, and changes the queue only through the spool and the scheduler.

mod actions;
mod alarms;
mod api;
mod ask;
mod asker;
mod control;
mod description;
mod door;
mod guests;
mod history;
mod messages;
mod operator;
mod pace;
mod relay;
mod serve;
mod settings;
mod site;
mod tcp;
mod tokens;
mod tracked;
mod view;

pub use alarms::{Alarm, AlarmChanges, AlarmKind, Alarms};
pub use api::{UNREADABLE, api_description};
pub use asker::Asker;
pub use control::{Control, Refusal};
pub use messages::NEXT_OFFSET;
pub use operator::{
    AlertOffice, AlertTestAnswer, KeepAnswer, LookAnswer, Operator, OverrideAnswer, PauseAnswer,
    ReleaseAnswer, ReloadFailure, ReportAnswer, ReportOffice, WaitingByConnector, Watchman,
};
pub use pace::{AdminPace, AdminPlace, REFUSAL_DELAY, retry_after};
pub use serve::{ControlFault, ControlSocket};
pub use settings::AdminSettings;
pub use site::{AdminSite, MonitoringSource};
pub use tcp::{AdminAddresses, AdminFault, AdminListener};
pub use tokens::{BearerToken, Role, TokenFault, TokenLines, Tokens, random_hex};
pub use tracked::TrackedStore;
pub use view::{
    ActRequest, ActionResult, ActionTally, BrakeView, Change, ChangeKind, ConnectorView, Connectors,
    DatabaseSize, Direction, DrainReport, ErrorAnswer, ExplainLine, ExplainPassage, ExplainQuestion,
    ExplainedAnswer, HintView, LaneStatus, LanesView, ListQuery, LookReport, LookRequest, Loosening,
    LooseningTerms, MailedReport, MailedReports, MatchCount, MessageView, OriginView, OverrideReport,
    OverrideRequest, PartnerView, PartnerWay, PausedConnectors, ProbeRequest, QueueAction, QueueList,
    QueueTop, QueueTotal, RecipientView, ReleaseRequest, ReloadAnswer, RemovalResult, RetryRequest, SeenView,
    SettingSource, SettingView, SettingsList, SettingsQuery, StartTlsTrouble, Status, SupposedSession,
    TopLane, TopQuery, TroubleView, Validation, override_ended, refusals_in_words,
};
