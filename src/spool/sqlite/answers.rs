//! What those who asked the writer are told.

use super::apply::OperationAnswer;
use super::ops::{Answer, Fresh, Op, Settle};
use crate::spool::{Leased, SpoolFault};

pub(super) fn acknowledge(op: Op, told: OperationAnswer) {
    match (op, told) {
        (Op::Put { fresh, answer }, _) => send(answer, Ok(fresh.taken())),
        (Op::Settle(Settle { lease, reports, answer, .. }), _) => {
            // Ended before the caller hears of it, so that what it asks for next finds it free.
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
        // `apply` gives each operation its own kind of answer; a dropped one reads as an end of
        // service.
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
        Op::Put { fresh, answer } => {
            drop(fresh);
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

/// Refuses an operation that may have been written after all: start-up will know, and needs the
/// files for it.
pub(super) fn keep_files(op: Op, fault: &SpoolFault) {
    match op {
        Op::Put { fresh, answer } => {
            drop(fresh.taken());
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

fn send<T>(answer: Answer<T>, result: Result<T, SpoolFault>) {
    // Nobody waits any more: leases in the answer end with it.
    let _ = answer.send(result);
}
