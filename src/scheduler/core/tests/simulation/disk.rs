//! The disk of the simulation: what is committed, leased, fetched and settled.

use super::*;

impl Sea {
    /// A message is committed, or refused because the disk failed.
    pub(super) fn store(&mut self, from: &str, to: &[usize]) {
        if self.disk_fails {
            return;
        }
        self.ids += 1;
        let id = self.ids;
        let message = StoredMessage {
            id: QueueId::from_number(id),
            reverse_path: ReversePath::parse(from).unwrap(),
            body: BodyType::SevenBit,
            utf8: false,
            dsn: MessageDsn::default(),
            size: 100,
            accepted_at: UnixMillis(self.wall()),
            origin: Origin::default(),
        };
        let rows = to.iter().zip(0..).map(|(domain, number)| {
            let lane = self.lane_of(*domain);
            let next_at = self.wall();
            let (attempts, delay_told, rerouted) = (0, false, None);
            (number, Row { lane, domain: *domain, next_at, attempts, delay_told, rerouted })
        });
        let rows: BTreeMap<u32, Row> = rows.collect();
        self.acknowledged.extend(rows.keys().map(|number| (id, *number)));
        self.accepted.insert(id, self.now);
        self.lease(id, rows.keys().copied().collect());
        self.disk.insert(id, Stored { message: Arc::new(message), rows });
        let delay = i64::try_from(self.dice.roll(3)).unwrap();
        self.at(delay, Happening::Accepted(id));
    }

    pub(super) fn lane_of(&self, domain: usize) -> LaneKey {
        let name = if domain == self.forced { "forced" } else { "out" };
        LaneKey(format!("{name}/d{domain}.example").into())
    }

    pub(super) fn recipient(&self, id: i64, number: u32) -> QueuedRecipient {
        let row = &self.disk[&id].rows[&number];
        QueuedRecipient {
            number,
            forward_path: Mailbox::parse(&format!("bob@d{}.example", row.domain)).unwrap(),
            dsn: RecipientDsn::default(),
            attempts: row.attempts,
            delay_told: row.delay_told,
            rerouted: row.rerouted.clone(),
        }
    }

    pub(super) fn accepted(&mut self, id: i64) {
        let Some(stored) = self.disk.get(&id).cloned() else { return };
        // After a restart the leases are gone, and the messages are fetched from disk.
        if !stored.rows.keys().all(|number| self.leases.contains(&(id, *number))) {
            return;
        }
        let mut lanes: BTreeMap<LaneKey, Vec<u32>> = BTreeMap::new();
        for (number, row) in &stored.rows {
            lanes.entry(row.lane.clone()).or_default().push(*number);
        }
        let parts = lanes.into_iter().map(|(lane, numbers)| Leased {
            message: Arc::clone(&stored.message),
            recipients: numbers.iter().map(|number| self.recipient(id, *number)).collect(),
            lane,
            content: Some(crate::mail::Content::Held(vec![0; 100].into())),
            lease: Token(id, numbers),
        });
        let parts: Vec<_> = parts.collect();
        self.ask(|core, at| ((), core.offer(parts, at)));
    }

    pub(super) fn fetched(&mut self, fetch: &Fetch) {
        if self.disk_fails {
            return self.ask(|core, at| ((), core.fetched(&fetch.lane, None, at)));
        }
        let latest = self.wall() + i64::try_from(longest_wait(&self.table).as_millis()).unwrap();
        let due = |row: &Row| row.next_at <= self.wall() || row.next_at > latest;
        let (mut found, mut next_at) = (Vec::new(), None);
        for (id, stored) in &self.disk {
            let free: Vec<(u32, &Row)> = stored
                .rows
                .iter()
                .filter(|(number, row)| row.lane == fetch.lane && !self.leases.contains(&(*id, **number)))
                .map(|(number, row)| (*number, row))
                .collect();
            let numbers: Vec<u32> = free.iter().filter(|(_, row)| due(row)).map(|(n, _)| *n).collect();
            if !numbers.is_empty() && found.len() < fetch.limit {
                found.push((*id, numbers));
            } else {
                let first = free.iter().map(|(_, row)| row.next_at).min();
                next_at = [next_at, first].into_iter().flatten().min();
            }
        }
        let dates = self.dates();
        let leased = found.into_iter().map(|(id, numbers)| {
            let message = Arc::clone(&self.disk[&id].message);
            let recipients = numbers.iter().map(|number| self.recipient(id, *number)).collect();
            let lease = self.lease(id, numbers);
            Leased { message, recipients, lane: fetch.lane.clone(), content: None, lease }
        });
        let leased: Vec<_> = leased.collect();
        let next_at = next_at.map(|time| dates.to_steady(UnixMillis(time)));
        self.ask(|core, at| ((), core.fetched(&fetch.lane, Some((leased, next_at)), at)));
    }

    /// Expired mail of a blocked lane, failed without an attempt of its own.
    pub(super) fn swept(&mut self, sweep: &Sweep) {
        let dates = self.dates();
        let mut works = Vec::new();
        let ids: Vec<i64> = if self.disk_fails { Vec::new() } else { self.disk.keys().copied().collect() };
        for id in ids {
            let stored = self.disk[&id].clone();
            if dates.age(stored.message.accepted_at) < sweep.retry.expire {
                continue;
            }
            let free = |(number, row): &(&u32, &Row)| {
                row.lane == sweep.lane && !self.leases.contains(&(id, **number))
            };
            let numbers: Vec<u32> = stored.rows.iter().filter(free).map(|(number, _)| *number).collect();
            if numbers.is_empty() {
                continue;
            }
            let failed = RecipientVerdict::Failed(retry::expired((*sweep.trouble).clone(), &sweep.retry));
            works.push(Work {
                message: Arc::clone(&stored.message),
                verdicts: numbers.iter().map(|n| (self.recipient(id, *n), failed.clone())).collect(),
                lease: self.lease(id, numbers),
                content: None,
                lane: sweep.lane.clone(),
                expire: sweep.retry.expire,
                told: true,
            });
        }
        works.into_iter().for_each(|work| self.written(work));
        self.ask(|core, at| ((), core.swept(&sweep.lane, at)));
    }

    /// A settlement is committed, or the write fails.
    pub(super) fn written(&mut self, work: Work<Token>) {
        let id = work.message.id.to_number();
        let lane = work.lane.clone();
        let Token(_, numbers) = &work.lease;
        // A restart has ended the lease: its work is lost with the process.
        if !numbers.iter().all(|number| self.leases.contains(&(id, *number))) {
            return;
        }
        self.free(id, numbers);
        if self.disk_fails {
            let later = UnixMillis(self.now + 10_000);
            return self.ask(|core, at| ((), core.loaded(vec![(lane, later)], at)));
        }
        let dates = self.dates();
        let due = work.due();
        let mut report = false;
        for (recipient, verdict) in work.verdicts {
            let stored = self.disk.get_mut(&id).expect("a message that is settled is on disk");
            match verdict {
                RecipientVerdict::Deferred { attempts, next_at, .. } => {
                    let row = stored.rows.get_mut(&recipient.number).expect("a row");
                    (row.attempts, row.next_at, row.lane) =
                        (attempts, dates.to_wall(next_at).0, lane.clone());
                }
                RecipientVerdict::Rerouted { rerouting, lane, next_at, .. } => {
                    let row = stored.rows.get_mut(&recipient.number).expect("a row");
                    assert!(self.reroutes && row.lane.0.starts_with("forced/"), "{row:?}");
                    (row.attempts, row.next_at, row.lane) = (0, dates.to_wall(next_at).0, lane);
                    row.rerouted = Some(rerouting);
                }
                RecipientVerdict::Delivered(_) | RecipientVerdict::Failed(_) => {
                    report |= matches!(verdict, RecipientVerdict::Failed(_))
                        && !work.message.reverse_path.is_null();
                    stored.rows.remove(&recipient.number).expect("a row");
                    *self.ends.entry((id, recipient.number)).or_default() += 1;
                }
            }
        }
        if self.disk[&id].rows.is_empty() {
            self.disk.remove(&id);
        }
        if report {
            // Reports go wherever a forged reverse-path points.
            let to = usize::try_from(self.dice.roll(u64::try_from(self.kinds.len()).unwrap())).unwrap();
            self.store("", &[to]);
        }
        if !due.is_empty() {
            self.ask(|core, at| ((), core.loaded(due, at)));
        }
    }
}
