//! What an operator may see and do in the running daemon: a read model and the control socket.
//! It decides nothing, and changes the queue only through the spool and the scheduler.

mod api;
mod serve;
mod view;

pub use api::Control;
pub use serve::{ControlFault, ControlSocket};
pub use view::{Acted, ListQuery, QueueList, QueueView, RetryRequest, Status};
