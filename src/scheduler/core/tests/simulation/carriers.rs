//! The carriers of the simulation: what each does at its next step, depending on the kind of host.

use super::*;

impl Sea {
    pub(super) fn kind(&self, carrier: u64) -> (Kind, SocketAddr) {
        let name = self.carriers[&carrier].way.domain.as_ref().expect("a domain").as_str();
        let domain: usize = name.trim_start_matches('d').split('.').next().unwrap().parse().unwrap();
        (self.kinds[domain], self.hosts[domain])
    }

    /// Schedules a carrier's next step after a delay, optionally in another phase.
    pub(super) fn go_on(&mut self, carrier: u64, delay: i64, phase: Option<Phase>) {
        let now = self.now;
        let Some(sim) = self.carriers.get_mut(&carrier) else { return };
        sim.step += 1;
        sim.moved = now;
        sim.phase = phase.unwrap_or(sim.phase);
        let step = sim.step;
        self.at(delay, Happening::Carrier(carrier, step));
    }

    pub(super) fn end(&mut self, carrier: u64) {
        self.carriers.remove(&carrier);
        self.ask(|core, at| ((), core.ended(carrier, at)));
    }

    pub(super) fn report(&mut self, carrier: u64, outcome: &Outcome) {
        let Some((ticket, _, numbers)) = self.carriers.get_mut(&carrier).and_then(|sim| sim.job.take())
        else {
            return;
        };
        let outcomes = vec![outcome.clone(); numbers.len()];
        self.ask(|core, at| ((), core.report(ticket, outcomes, at)));
    }

    pub(super) fn displace(&mut self, carrier: u64) {
        let Some(sim) = self.carriers.get(&carrier) else { return };
        // The final dot may have been sent in the meantime.
        if sim.phase == Phase::AfterDot {
            return;
        }
        self.report(carrier, &deferred(Scope::Lane));
        self.end(carrier);
    }

    pub(super) fn step(&mut self, carrier: u64) {
        let (kind, address) = self.kind(carrier);
        match self.carriers[&carrier].phase {
            Phase::Taking => self.take_next(carrier, address),
            Phase::Opening => self.open(carrier, kind),
            Phase::Opened => {
                if self.ask(|core, at| core.opened(carrier, at)) {
                    self.transact(carrier, kind);
                } else {
                    let sim = self.carriers.get_mut(&carrier).expect("it is at work");
                    sim.halted = true;
                    sim.step += 1;
                    sim.phase = Phase::BeforeDot;
                }
            }
            Phase::BeforeDot => self.transact(carrier, kind),
            Phase::AfterDot => self.conclude(carrier, kind),
        }
    }

    pub(super) fn take_next(&mut self, carrier: u64, address: SocketAddr) {
        if self.carriers[&carrier].job.is_none() {
            let taken = match self.ask(|core, at| core.take(carrier, at)) {
                Some(HandedWork::Job(taken)) => taken,
                Some(HandedWork::Question(ticket)) => panic!("question {ticket}"),
                None => return self.end(carrier),
            };
            let numbers = taken.recipients.iter().map(|recipient| recipient.number).collect();
            let sim = self.carriers.get_mut(&carrier).expect("it is at work");
            sim.job = Some((taken.ticket, taken.message.id.to_number(), numbers));
        }
        if self.carriers[&carrier].session {
            return self.go_on(carrier, 0, Some(Phase::BeforeDot));
        }
        let reach = self.ask(|core, at| core.reach(carrier, address, at));
        if reach == Reach::Wait {
            let sim = self.carriers.get_mut(&carrier).expect("it is at work");
            (sim.halted, sim.phase) = (true, Phase::Opening);
            sim.step += 1;
            return;
        }
        self.go_on(carrier, 1, Some(Phase::Opening));
    }

    /// The session is open, judged by the library's own judge; or the host never greets.
    pub(super) fn open(&mut self, carrier: u64, kind: Kind) {
        if kind == Kind::Mute {
            let sim = self.carriers.get_mut(&carrier).expect("it is at work");
            if self.now - sim.moved >= 300_000 {
                self.report(carrier, &deferred(Scope::Lane));
                return self.end(carrier);
            }
            // No progress: the time of the last progress stays the same.
            let (moved, step) = (sim.moved, sim.step + 1);
            sim.step = step;
            return self.at(moved + 300_000 - self.now, Happening::Carrier(carrier, step));
        }
        let strips = kind == Kind::Strips && self.dice.one_in(2);
        let observed =
            if strips { Observed::NotOffered } else { Observed::Established(Arc::clone(&self.facts)) };
        let connector = Arc::clone(&self.carriers[&carrier].way.connector);
        let requirement = connector.requirement(None, None);
        let generation = self.table.generation;
        match judge(&requirement, &observed, SessionId::new(), connector.revision, generation) {
            Judged::Proceed(permit) => {
                let plaintext = matches!(permit.attained(), Attained::Clear(_));
                let sim = self.carriers.get_mut(&carrier).expect("it is at work");
                (sim.session, sim.plaintext) = (true, plaintext);
                let delay = 1 + i64::try_from(self.dice.roll(20)).unwrap();
                self.go_on(carrier, delay, Some(Phase::Opened));
            }
            Judged::Withhold(_) => {
                let outcome = match &connector.on_failure {
                    OnFailure::Reroute(_) => withheld(),
                    OnFailure::Defer | OnFailure::Bounce => deferred(Scope::Lane),
                };
                self.report(carrier, &outcome);
                self.go_on(carrier, 0, Some(Phase::Taking));
            }
        }
    }

    /// Sends envelope and content, if the table in effect still has this connector for the recipients.
    pub(super) fn transact(&mut self, carrier: u64, kind: Kind) {
        let way = Arc::clone(&self.carriers[&carrier].way);
        let Some((_, id, numbers)) = self.carriers[&carrier].job.clone() else {
            return self.go_on(carrier, 0, Some(Phase::Taking));
        };
        let recipients: Vec<_> = numbers.iter().map(|number| self.recipient(id, *number)).collect();
        let leased = Leased {
            message: Arc::clone(&self.disk[&id].message),
            recipients,
            lane: self.lane_of(0),
            content: None,
            lease: (),
        };
        if !fits(&self.table, &way, &leased) {
            self.report(carrier, &deferred(Scope::Session));
            return self.lose_session(carrier);
        }
        let enforced = matches!(way.connector.requirement(None, None), Requirement::Forced(_));
        // What was handed on goes by no other connector, as long as the table says so.
        let handed_on = leased.recipients.iter().any(|recipient| recipient.rerouted.is_some());
        assert!(!handed_on || &*way.connector.name == "portal", "handed on, and back");
        assert!(!(enforced && self.carriers[&carrier].plaintext), "plaintext under a forced requirement");
        match kind {
            Kind::Stalls => {
                let sim = self.carriers.get_mut(&carrier).expect("it is at work");
                if sim.phase == Phase::BeforeDot && self.now - sim.moved >= 120_000 {
                    self.report(carrier, &deferred(Scope::Recipient));
                    return self.lose_session(carrier);
                }
                if sim.phase != Phase::BeforeDot {
                    (sim.phase, sim.moved) = (Phase::BeforeDot, self.now);
                }
                let (moved, step) = (sim.moved, sim.step + 1);
                sim.step = step;
                self.at(moved + 120_000 - self.now, Happening::Carrier(carrier, step));
            }
            Kind::Drops if self.dice.one_in(2) => {
                self.report(carrier, &deferred(Scope::Session));
                self.lose_session(carrier);
            }
            Kind::Silent => self.go_on(carrier, 600_000, Some(Phase::AfterDot)),
            Kind::Slow => self.go_on(carrier, 3_000, Some(Phase::AfterDot)),
            Kind::Healthy | Kind::Drops | Kind::Strips | Kind::Refuses(_) | Kind::Mute => {
                self.go_on(carrier, 1, Some(Phase::AfterDot));
            }
        }
    }

    pub(super) fn lose_session(&mut self, carrier: u64) {
        self.ask(|core, at| core.reopening(carrier, at));
        if let Some(sim) = self.carriers.get_mut(&carrier) {
            sim.session = false;
        }
        self.go_on(carrier, 1, Some(Phase::Taking));
    }

    /// The reply to the final dot, or its absence.
    pub(super) fn conclude(&mut self, carrier: u64, kind: Kind) {
        let (_, id, numbers) = self.carriers[&carrier].job.clone().expect("a message under way");
        match kind {
            Kind::Refuses(for_good) => {
                let outcome = if for_good { failed() } else { deferred(Scope::Recipient) };
                self.report(carrier, &outcome);
            }
            Kind::Silent => {
                self.report(carrier, &deferred(Scope::Recipient));
                return self.lose_session(carrier);
            }
            Kind::Healthy | Kind::Slow | Kind::Drops | Kind::Strips | Kind::Mute | Kind::Stalls => {
                for number in &numbers {
                    *self.delivered.entry((id, *number)).or_default() += 1;
                }
                // Only the first host is healthy in every seed: nothing the others do may delay it.
                let first = self.disk[&id].rows.get(&numbers[0]).is_some_and(|row| row.domain == 0);
                if first && self.calm {
                    self.waits.push(self.now - self.accepted[&id]);
                }
                self.report(carrier, &delivered());
            }
        }
        self.go_on(carrier, 0, Some(Phase::Taking));
    }
}
