//! What an operator may see and do in the running daemon: a read model and the control socket.
//! It decides nothing, and changes the queue only through the spool and the scheduler.

mod alarms;
mod api;
mod control;
mod deeds;
mod operator;
mod serve;
mod view;

pub use alarms::{Alarm, AlarmKind, Alarms};
pub use api::NEXT_OFFSET;
pub use control::Control;
pub use operator::{NotReloaded, Operator, PauseAnswer};
pub use serve::{ControlFault, ControlSocket};
pub use view::{
    ActRequest, ActionResult, Change, ChangeKind, ConnectorView, Connectors, DatabaseSize, Deed, DeedTally,
    Direction, ErrorAnswer, LaneStatus, LanesView, ListQuery, MessageView, OriginView, PausedConnectors,
    QueueList, QueueTop, QueueTotal, RecipientView, Reloaded, RemovalResult, RetryRequest, Status, TopLane,
    TopQuery, TroubleView, Validation,
};
