//! Which faults are switched on, and the wait until the stand-ins behave accordingly.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::faults::{FaultSet, HostFault, HostTrouble, troubles};
use super::hosts::LabHost;

/// The board that all stand-ins watch.
#[derive(Default)]
pub(super) struct Switchboard {
    faults: watch::Sender<SwitchedFaults>,
    followers: Vec<watch::Receiver<u64>>,
}

#[derive(Debug, Clone, Default)]
struct SwitchedFaults {
    turn: u64,
    faults: FaultSet,
}

/// One stand-in's view of the board.
pub(super) struct Follower {
    host: LabHost,
    faults: watch::Receiver<SwitchedFaults>,
    done: watch::Sender<u64>,
}

impl Switchboard {
    /// Lets a stand-in follow the switches.
    pub(super) fn follow(&mut self, host: LabHost) -> Follower {
        let (done, seen) = watch::channel(0);
        self.followers.push(seen);
        Follower { host, faults: self.faults.subscribe(), done }
    }

    /// The faults that are on.
    pub(super) fn faults(&self) -> FaultSet {
        self.faults.borrow().faults.clone()
    }

    /// Switches a fault, and returns once every stand-in behaves accordingly.
    pub(super) async fn switch(&self, fault: HostFault, on: bool) {
        let mut turn = 0;
        self.faults.send_modify(|switched| {
            if on {
                switched.faults.insert(fault);
            } else {
                switched.faults.remove(&fault);
            }
            switched.turn = switched.turn.saturating_add(1);
            turn = switched.turn;
        });
        for follower in &self.followers {
            let mut follower = follower.clone();
            // One that has ended follows nothing any more.
            follower.wait_for(|done| *done >= turn).await.ok();
        }
    }
}

impl Follower {
    /// What is wrong with the host now.
    pub(super) fn troubles(&mut self) -> (u64, BTreeSet<HostTrouble>) {
        let switched = self.faults.borrow_and_update();
        (switched.turn, troubles(self.host, &switched.faults))
    }

    /// Says that the host behaves as it does since this turn.
    pub(super) fn done(&self, turn: u64) {
        self.done.send_replace(turn);
    }

    /// Waits for the next turn; for ever if there will be none.
    pub(super) async fn changed(&mut self) {
        if self.faults.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
