//! The courier against hosts that behave at random: without a socket, and the same for the same seed.
//!
//! Each seed is one world: a connector, a few hosts, messages, and three rounds of attempts; `SEALPOST_SEED=N` plays it
//! alone and shows what was said. No message may bounce for a fault of the session, nothing of an envelope may be sent
//! in plaintext under forced TLS, no host is said to lack TLS that was not asked for it, and each recipient gets its
//! message once.

use super::*;
use crate::connector::Ruling;
use crate::deliver::dial::{Dialler, Dialling, Transport};
use crate::outcome::{Cause, LinkFault, Stage};

mod host;

use host::{Host, Script, Servers};

const SEEDS: u64 = 10_000;
/// A world that needs more connections goes round in circles.
const SESSIONS_MAX: u64 = 400;
const ROUNDS: u32 = 3;

/// The network of a world.
struct Ether {
    hosts: Arc<BTreeMap<SocketAddr, Arc<Host>>>,
    servers: Arc<Servers>,
}

impl Dialler for Ether {
    fn dial<'a>(&'a self, address: SocketAddr, _: &'a [std::net::IpAddr], _: Duration) -> Dialling<'a> {
        let host = &self.hosts[&address];
        let session = host.begin_session();
        assert!(session < SESSIONS_MAX, "too many sessions");
        if host.script.unreachable {
            return Box::pin(std::future::ready(Err(LinkFault::Unreachable("session".to_owned()))));
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(Arc::clone(host).serve(theirs, session, Arc::clone(&self.servers)));
        let ours: Box<dyn Transport> = Box::new(ours);
        Box::pin(std::future::ready(Ok(ours)))
    }
}

impl Transport for tokio::io::DuplexStream {}

#[derive(Default)]
struct Desk {
    waiting: Mutex<VecDeque<Job>>,
    reports: Mutex<Vec<(Job, Vec<Outcome>)>>,
    progress: Arc<Progress>,
}

impl Jobs for Desk {
    fn reach(&self, _: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn reuse(&self, _: SocketAddr) {}

    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(false))
    }

    fn reopening(&self) -> bool {
        true
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn answer(&self, _: &RecipientQuestion, _: RecipientCheck, _: QuestionEnd) {}

    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Errand>> + Send + '_>> {
        let job = self.waiting.lock().expect("jobs").pop_front();
        Box::pin(std::future::ready(job.map(Errand::Deliver)))
    }

    fn report(&self, job: &Job, outcomes: Vec<Outcome>) {
        self.reports.lock().expect("reports").push((job.clone(), outcomes));
    }
}

/// A job for a message that says its own number.
fn numbered(ticket: u64, to: &str) -> Job {
    let content: Arc<[u8]> = format!("Subject: {ticket}\r\n\r\nhello\r\n").into_bytes().into();
    Job { content: Content::Held(content), ..job(ticket, to, 0) }
}

/// What is asked of the connector, and the jobs, by the dice.
struct Plan {
    connector: Outbound,
    hosts: Arc<BTreeMap<SocketAddr, Arc<Host>>>,
    jobs: Vec<Job>,
    carriers: usize,
    impatient: bool,
}

impl Plan {
    fn new(seed: u64) -> Self {
        use OnHandshakeFailure::{Clear, ClearLater, Defer};
        let mut dice = fastrand::Rng::with_seed(seed);
        let forced = dice.bool();
        // Silence costs real time, so few worlds have it.
        let impatient = dice.u8(..50) == 0;
        let mut hosts = BTreeMap::new();
        for number in 1..=dice.u8(1..=3) {
            let address: SocketAddr = ([192, 0, 2, number], 25).into();
            let script = Script::new(&mut dice, impatient);
            hosts.insert(address, Arc::new(Host::new(script, forced, dice.u64(..))));
        }
        let mut connector = outbound(&hosts.keys().copied().collect::<Vec<_>>());
        if forced {
            connector.tls = OutboundTls::Forced(Forced::encryption());
        }
        connector.on_failure = if dice.bool() { OnFailure::Bounce } else { OnFailure::Defer };
        connector.on_handshake_failure = dice.choice([Clear, ClearLater, Defer]).expect("one");
        let locals = ["ann", "bob", "cid", "dan", "unknown", "full", "policy", "later"];
        let jobs = (1..=dice.u64(2..=8)).map(|ticket| {
            let mut locals = locals;
            dice.shuffle(&mut locals);
            numbered(ticket, &locals[..dice.usize(1..=4)].join(" "))
        });
        let jobs = jobs.collect();
        let carriers = dice.usize(1..=2);
        Self { connector, hosts: Arc::new(hosts), jobs, carriers, impatient }
    }

    async fn play(self, servers: &Arc<Servers>) {
        let mut world = World::new(self.connector.clone(), Vec::new());
        let courier = Arc::get_mut(&mut world.courier).expect("nobody else has it");
        courier.dialler = Box::new(Ether { hosts: Arc::clone(&self.hosts), servers: Arc::clone(servers) });
        if self.impatient {
            let limits = &mut courier.settings.timeouts;
            let moment = Duration::from_millis(10);
            (limits.command, limits.data_start, limits.data_end) = (moment, moment, moment);
        }
        let mut due = self.jobs.clone();
        for _ in 0..ROUNDS {
            let desk = Arc::new(Desk::default());
            desk.waiting.lock().expect("jobs").extend(due.drain(..));
            let fake: Arc<dyn Jobs> = desk.clone();
            let carry = || Arc::clone(&world.courier).carry(world.way(), Arc::clone(&fake));
            match self.carriers {
                1 => carry().await,
                _ => drop(tokio::join!(carry(), carry())),
            }
            due.extend(desk.waiting.lock().expect("jobs").drain(..));
            for (job, outcomes) in desk.reports.lock().expect("reports").drain(..) {
                due.extend(self.judge(job, &outcomes));
            }
            world.courier.try_anew();
            self.hosts.values().for_each(|host| host.assert_right());
        }
        world.courier.close().await;
    }

    /// Checks what a job came to, and returns what is left of it.
    fn judge(&self, job: Job, outcomes: &[Outcome]) -> Option<Job> {
        assert_eq!(outcomes.len(), job.recipients.len(), "one outcome for each recipient");
        let mut left = Vec::new();
        for (recipient, outcome) in job.recipients.iter().zip(outcomes) {
            let taken = self.taken(job.ticket, recipient.forward_path.as_str());
            let delivered = matches!(outcome, Outcome::Delivered(_));
            assert_eq!(
                taken,
                usize::from(delivered),
                "{}: taken so often: {outcome:?}",
                recipient.forward_path
            );
            match outcome {
                Outcome::Delivered(record) => {
                    let in_clear = matches!(record.decision.ruling, Ruling::Plaintext(_));
                    assert!(!(in_clear && self.connector.forced().is_some()), "{outcome:?}");
                }
                Outcome::Failed(trouble) => self.check_failure(trouble),
                Outcome::Deferred(trouble) => {
                    self.check_requirement(trouble);
                    let attempts = recipient.attempts + 1;
                    left.push(QueuedRecipient { attempts, ..recipient.clone() });
                }
            }
        }
        (!left.is_empty()).then(|| Job { recipients: left.into(), ..job })
    }

    fn taken(&self, ticket: u64, recipient: &str) -> usize {
        self.hosts.values().map(|host| host.taken(ticket, recipient)).sum()
    }

    /// A message ends by a word about it, by a host that takes no mail, or as its connector says.
    fn check_failure(&self, trouble: &Trouble) {
        if trouble.cause == Cause::Requirement {
            assert_eq!(self.connector.on_failure, OnFailure::Bounce, "{trouble:?}");
            return self.check_requirement(trouble);
        }
        let reply = trouble.remote.as_ref().and_then(|remote| remote.reply.as_ref());
        let said = reply.map_or("", |reply| &reply.text);
        let of_host = trouble.cause == Cause::Refused(Stage::Greeting) && said.starts_with("host");
        assert!(said.starts_with("message") || of_host, "a message bounced: {trouble:?}");
    }

    /// Nobody is said to lack what was not asked for, or what it refused in a hello.
    fn check_requirement(&self, trouble: &Trouble) {
        let Some(decision) = trouble.decision.as_ref().filter(|_| trouble.cause == Cause::Requirement) else {
            return;
        };
        let name = decision.host.as_deref().unwrap_or_default();
        let host =
            self.hosts.iter().find(|(address, _)| name == format!("[{}]:{}", address.ip(), address.port()));
        let (_, host) = host.unwrap_or_else(|| panic!("no host: {trouble:?}"));
        assert!(host.is_to_blame_for(&decision.token()), "not its fault: {trouble:?}");
    }
}

fn play(seed: u64, servers: &Arc<Servers>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let plan = Plan::new(seed);
    let hosts = Arc::clone(&plan.hosts);
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let limit = Duration::from_secs(60);
            tokio::time::timeout(limit, plan.play(servers)).await.expect("it does not end");
        });
    }));
    if played.is_err() {
        for (address, host) in hosts.iter() {
            eprintln!("{address}: {:#?}\n{}", host.script, host.trace());
        }
        panic!("seed {seed} fails; SEALPOST_SEED={seed} plays it alone");
    }
}

fn play_all(seeds: std::ops::Range<u64>) {
    let servers = Arc::new(Servers::new());
    if let Ok(seed) = std::env::var("SEALPOST_SEED") {
        return play(seed.parse().expect("a number"), &servers);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (servers, seeds) = (&servers, seeds.clone());
            scope.spawn(move || seeds.skip(first).step_by(threads).for_each(|seed| play(seed, servers)));
        }
    });
}

#[test]
fn a_few_random_hosts_bounce_nothing() {
    play_all(0..200);
}

/// The same at length; `simulation` marks what takes its time.
#[test]
fn simulation_of_ten_thousand_worlds_of_random_hosts() {
    play_all(200..SEEDS);
}
