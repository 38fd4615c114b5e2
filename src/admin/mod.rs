//! What an operator may see and do in the running daemon: a read model and the control socket.
//! It decides nothing, and changes the queue only through the spool and the scheduler.

mod alarms;
mod api;
mod deeds;
mod operator;
mod serve;
mod view;

pub use alarms::{Alarm, AlarmKind, Alarms};
pub use api::{Control, NEXT_OFFSET};
pub use deeds::{ActRequest, Deed, DeedTally};
pub use operator::{
    Change, ChangeKind, ConnectorView, Connectors, Direction, LanesView, NotReloaded, Operator, PauseAnswer,
    Reloaded, Validation,
};
pub use serve::{ControlFault, ControlSocket};
pub use view::{
    ActionResult, DatabaseSize, DecisionView, ErrorAnswer, LaneStatus, ListQuery, MessageView, OriginView,
    PausedConnectors, QueueList, QueueTop, QueueTotal, RecipientView, RemovalResult, RetryRequest, Status,
    TopLane, TopQuery, TroubleView,
};
