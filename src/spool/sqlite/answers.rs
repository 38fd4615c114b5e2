//! Answers the callers of the writer once their operation is committed or refused. It writes nothing.

use super::apply::OperationAnswer;
use super::ops::{Answer, Fresh, Op, Settle};
use crate::spool::{Leased, SpoolFault};

pub(super) fn acknowledge(op: Op, told: OperationAnswer) {
    match (op, told) {
        (Op::Put { fresh, beside, answer }, _) => send(answer, Ok(taken(fresh, beside))),
        (Op::Settle(Settle { lease, reports, answer, .. }), _) => {
            // The lease ends before the caller is answered, so that its next request finds the recipients
            // free.
            drop(lease);
            let leased: Vec<Leased> = reports.into_iter().flat_map(Fresh::taken).collect();
            send(answer, Ok(leased));
        }
        (Op::Hasten { answer, .. }, OperationAnswer::Hastened(lanes, count)) => {
            send(answer, Ok((lanes, count)))
        }
        (Op::Remove { answer, .. }, OperationAnswer::Removed(removal, lease)) => {
            drop(lease);
            send(answer, Ok(removal));
        }
        (Op::HoldBack { answer, .. }, OperationAnswer::HeldBack(holding, lease)) => {
            drop(lease);
            send(answer, Ok(holding));
        }
        (Op::Release { answer, .. }, OperationAnswer::Released(released)) => send(answer, Ok(released)),
        (Op::Hold { lease, .. }, _) => drop(lease),
        // `apply` returns the matching answer for each operation; otherwise the dropped channel reads as the
        // engine's end.
        (
            Op::Hasten { .. }
            | Op::HastenPart(_)
            | Op::Remove { .. }
            | Op::HoldBack { .. }
            | Op::Release { .. },
            _,
        ) => {}
    }
}

/// Refuses an operation of which nothing was written; the files of its messages are removed.
pub(super) fn fail(op: Op, fault: &SpoolFault) {
    match op {
        Op::Put { fresh, beside, answer } => {
            drop((fresh, beside));
            send(answer, Err(fault.clone()));
        }
        Op::Settle(Settle { lease, reports, answer, .. }) => {
            drop((lease, reports));
            send(answer, Err(fault.clone()));
        }
        Op::Hasten { answer, .. } => send(answer, Err(fault.clone())),
        Op::HastenPart(part) => part.end(Err(fault.clone())),
        Op::Remove { answer, .. } => send(answer, Err(fault.clone())),
        Op::HoldBack { answer, .. } => send(answer, Err(fault.clone())),
        Op::Release { answer, .. } => send(answer, Err(fault.clone())),
        Op::Hold { lease, .. } => drop(lease),
    }
}

/// Refuses an operation that may have been written after all: startup will find out, and needs the files for
/// that.
pub(super) fn keep_files(op: Op, fault: &SpoolFault) {
    match op {
        Op::Put { fresh, beside, answer } => {
            drop(taken(fresh, beside));
            send(answer, Err(fault.clone()));
        }
        Op::Settle(Settle { lease, reports, answer, .. }) => {
            drop((lease, reports.into_iter().map(Fresh::taken).collect::<Vec<_>>()));
            send(answer, Err(fault.clone()));
        }
        Op::Hasten { .. }
        | Op::HastenPart(_)
        | Op::Remove { .. }
        | Op::HoldBack { .. }
        | Op::Release { .. }
        | Op::Hold { .. } => fail(op, fault),
    }
}

/// What was stored, leased to the caller.
fn taken(fresh: Fresh, beside: Option<Box<Fresh>>) -> Vec<Leased> {
    let mut leased = fresh.taken();
    leased.extend(beside.into_iter().flat_map(|beside| beside.taken()));
    leased
}

fn send<T>(answer: Answer<T>, result: Result<T, SpoolFault>) {
    // If nobody waits, leases in the answer end with it.
    let _ = answer.send(result);
}
