//! Questions to hosts about recipients (`verify_recipients`). They wait in the lane that mail for the recipient would
//! wait in and go by its carriers, so every limit that holds for mail holds for them. A lane that is blocked or paused
//! is not asked.

use std::sync::Arc;

use super::super::{QuestionEnd, Way};
use super::lane::{LaneQuestion, Lesson, State, connector_of};
use super::machine::Core;
use super::place::same;
use super::{Actions, At};
use crate::outcome::Outcome;
use crate::spool::{Divisible, LaneKey};

impl<L: Divisible> Core<L> {
    /// Lets a question wait for a carrier of its lane. `false`: nobody will ask it.
    pub(in crate::scheduler) fn ask(
        &mut self,
        key: &LaneKey,
        way: Arc<Way>,
        ticket: u64,
        at: At<'_>,
    ) -> (bool, Actions<L>) {
        let mut out = Actions::default();
        if self.stopped {
            return (false, out);
        }
        // A lane whose time has come is opened by this, and a paused one is paused.
        self.lane(key);
        self.heed_pause(key, at, &mut out);
        let lane = self.lane(key);
        let asked = match lane.state {
            State::Open | State::Probing => true,
            State::Blocked(until) => until <= at.now(),
            State::Paused => false,
        };
        if asked {
            lane.line.get_or_insert_default().questions.push_back(LaneQuestion { ticket, way });
            lane.note_backlog(at.now());
        }
        self.tend(key, at, &mut out);
        (asked, self.close(at, out))
    }

    /// Nobody waits for the answer any more. A carrier that has the question goes on with it.
    pub(in crate::scheduler) fn withdraw(&mut self, key: &LaneKey, ticket: u64, at: At<'_>) -> Actions<L> {
        let mut out = Actions::default();
        let Some(lane) = self.lanes.get_mut(key) else { return out };
        if let Some(line) = &mut lane.line {
            line.questions.retain(|question| question.ticket != ticket);
        }
        lane.note_backlog(at.now());
        self.tend(key, at, &mut out);
        self.close(at, out)
    }

    /// A carrier is done with a question that it took.
    pub(in crate::scheduler) fn answered(
        &mut self,
        number: u64,
        ticket: u64,
        end: QuestionEnd,
        at: At<'_>,
    ) -> Actions<L> {
        let mut out = Actions::default();
        let Some(carrier) = self.carriers.get_mut(&number) else { return out };
        let before = carrier.questions.len();
        carrier.questions.retain(|known| *known != ticket);
        if carrier.questions.len() == before {
            return out;
        }
        let (key, connector) = (carrier.lane.clone(), Arc::clone(&carrier.way.connector));
        let Some(lane) = self.lanes.get_mut(&key) else { return out };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let lesson = match end {
            QuestionEnd::ByHost => lane.heard(at.now()),
            QuestionEnd::Unasked => Lesson::Nothing,
            QuestionEnd::Hindered(trouble) => {
                lane.learn(&[Outcome::Deferred(trouble)], &connector.retry, at.now())
            }
        };
        if lesson == Lesson::Blocked {
            self.forget_all(&key, at, &mut out);
        }
        self.tend(&key, at, &mut out);
        self.close(at, out)
    }

    /// The next question for a carrier. Where mail waits too, they take turns.
    pub(super) fn take_question(&mut self, number: u64, key: &LaneKey, at: At<'_>) -> Option<u64> {
        let lane = self.lanes.get_mut(key)?;
        let line = lane.line.as_mut()?;
        if line.asked_last && !line.waiting.is_empty() {
            line.asked_last = false;
            return None;
        }
        let question = line.questions.pop_front()?;
        line.asked_last = true;
        lane.note_backlog(at.now());
        lane.in_flight = lane.in_flight.saturating_add(1);
        let carrier = self.carriers.get_mut(&number)?;
        carrier.handed = carrier.handed.saturating_add(1);
        carrier.questions.push(question.ticket);
        Some(question.ticket)
    }

    /// The way of the first question whose connector is still as it was; those before it are dropped.
    pub(super) fn way_of_question(
        &mut self,
        key: &LaneKey,
        at: At<'_>,
        out: &mut Actions<L>,
    ) -> Option<Arc<Way>> {
        let line = self.lanes.get_mut(key)?.line.as_mut()?;
        while let Some(question) = line.questions.front() {
            let connector = &question.way.connector;
            if at.table.outbound.iter().any(|other| same(other, connector)) {
                return Some(Arc::clone(&question.way));
            }
            out.unanswered.extend(line.questions.pop_front().map(|question| question.ticket));
        }
        None
    }

    /// Gives up what a carrier that ended had taken and not answered.
    pub(super) fn drop_questions(&mut self, key: &LaneKey, tickets: Vec<u64>, out: &mut Actions<L>) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.in_flight = lane.in_flight.saturating_sub(tickets.len());
        }
        out.unanswered.extend(tickets);
    }

    /// Whether an operator has paused the connector of a lane.
    pub(super) fn is_paused(&self, key: &LaneKey, at: At<'_>) -> bool {
        !self.paused.is_empty()
            && self.paused.contains(connector_of(key))
            && at.table.outbound.iter().any(|c| *c.name == *connector_of(key))
    }
}
