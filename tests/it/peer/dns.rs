//! A name server on loopback that knows what a test tells it, and counts what it is asked.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The server; it stops when dropped.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    answers: HashMap<(String, RecordType), Vec<RData>>,
    known: HashSet<String>,
    failing: Vec<String>,
    silent_below: Vec<String>,
    /// What questions with an OPT record are answered, and how many were.
    without_edns: Option<ResponseCode>,
    refused_edns: usize,
    /// A parent below which nothing is answered until so many names were asked about.
    gathering: Option<(String, usize)>,
    gathered: HashSet<String>,
    waiting: Vec<(Message, SocketAddr)>,
    /// Parents, and the exchanger of every name below them.
    mx_below: Vec<(String, Name)>,
    /// How long answers last, in seconds; 0: one second, and nothing is said of what there is not.
    lasts: u32,
    asked: Vec<(String, RecordType)>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Self { address, zone, task }
    }

    pub(crate) fn mx(&self, domain: &str, preference: u16, host: &str) -> &Self {
        let name = if host == "." { Name::root() } else { Name::from_ascii(format!("{host}.")).unwrap() };
        self.add(domain, RecordType::MX, RData::MX(MX::new(preference, name)))
    }

    pub(crate) fn a(&self, host: &str, address: Ipv4Addr) -> &Self {
        self.add(host, RecordType::A, RData::A(A(address)))
    }

    pub(crate) fn aaaa(&self, host: &str, address: Ipv6Addr) -> &Self {
        self.add(host, RecordType::AAAA, RData::AAAA(AAAA(address)))
    }

    pub(crate) fn cname(&self, name: &str, other: &str) -> &Self {
        let other = Name::from_ascii(format!("{other}.")).unwrap();
        for kind in [RecordType::A, RecordType::AAAA] {
            self.add(name, kind, RData::CNAME(CNAME(other.clone())));
        }
        self
    }

    /// Knows no EDNS: a question with an OPT record is refused with this.
    pub(crate) fn refuse_edns(&self, code: ResponseCode) -> &Self {
        self.zone.lock().unwrap().without_edns = Some(code);
        self
    }

    pub(crate) fn refused_edns(&self) -> usize {
        self.zone.lock().unwrap().refused_edns
    }

    /// Nothing about names below this one is answered until so many of them were asked about.
    pub(crate) fn gather(&self, parent: &str, count: usize) -> &Self {
        self.zone.lock().unwrap().gathering = Some((format!(".{parent}"), count));
        self
    }

    /// Every name below this one has this exchanger.
    pub(crate) fn mx_below(&self, name: &str, host: &str) -> &Self {
        let host = Name::from_ascii(format!("{host}.")).unwrap();
        self.zone.lock().unwrap().mx_below.push((format!(".{name}"), host));
        self
    }

    /// Answers may be kept so long, as those of most domains may; those without data, too (RFC 2308).
    pub(crate) fn lasting(&self, seconds: u32) -> &Self {
        self.zone.lock().unwrap().lasts = seconds;
        self
    }

    /// Every question about this name is answered SERVFAIL, until [`Dns::mend`].
    pub(crate) fn fail(&self, name: &str) -> &Self {
        self.zone.lock().unwrap().failing.push(name.to_owned());
        self
    }

    /// No question about a name below this one is answered.
    pub(crate) fn silent_below(&self, name: &str) -> &Self {
        self.zone.lock().unwrap().silent_below.push(format!(".{name}"));
        self
    }

    pub(crate) fn mend(&self, name: &str) {
        self.zone.lock().unwrap().failing.retain(|failing| failing != name);
    }

    /// How many questions came, whatever they were about.
    pub(crate) fn questions(&self) -> usize {
        self.zone.lock().unwrap().asked.len()
    }

    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.zone.lock().unwrap().asked.iter().filter(|(n, k)| n == name && *k == kind).count()
    }

    fn add(&self, name: &str, kind: RecordType, data: RData) -> &Self {
        let mut zone = self.zone.lock().unwrap();
        zone.known.insert(name.to_owned());
        zone.answers.entry((name.to_owned(), kind)).or_default().push(data);
        drop(zone);
        self
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        let replies = {
            let mut zone = zone.lock().unwrap();
            let due = zone.gathered(question, from);
            due.iter()
                .filter_map(|(question, from)| Some((answer(question, &mut zone)?, *from)))
                .collect::<Vec<_>>()
        };
        for (reply, from) in replies {
            let _ = socket.send_to(&reply.to_vec().unwrap(), from).await;
        }
    }
}

impl Zone {
    /// The questions to answer now that this one has come.
    fn gathered(&mut self, question: Message, from: SocketAddr) -> Vec<(Message, SocketAddr)> {
        let Some((parent, count)) = &self.gathering else { return vec![(question, from)] };
        let name = question.queries[0].name().to_ascii().trim_end_matches('.').to_lowercase();
        if !name.ends_with(parent) {
            return vec![(question, from)];
        }
        self.gathered.insert(name);
        self.waiting.push((question, from));
        if self.gathered.len() < *count { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }
}

fn answer(question: &Message, zone: &mut Zone) -> Option<Message> {
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if let Some(code) = zone.without_edns.filter(|_| question.edns.is_some()) {
        zone.refused_edns += 1;
        reply.metadata.response_code = code;
        reply.add_queries(question.queries.iter().cloned());
        return Some(reply);
    }
    for query in &question.queries {
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        zone.asked.push((name.clone(), query.query_type()));
        reply.add_query(query.clone());
        if zone.silent_below.iter().any(|parent| name.ends_with(parent)) {
            return None;
        }
        if zone.failing.contains(&name) {
            reply.metadata.response_code = ResponseCode::ServFail;
            continue;
        }
        let lasts = zone.lasts.max(1);
        let asked = query.name();
        for data in zone.answers.get(&(name.clone(), query.query_type())).into_iter().flatten() {
            reply.add_answer(Record::from_rdata(asked.clone(), lasts, data.clone()));
        }
        let below = zone.mx_below.iter().find(|(parent, _)| name.ends_with(parent));
        if let Some((_, host)) = below.filter(|_| query.query_type() == RecordType::MX) {
            let data = RData::MX(MX::new(10, host.clone()));
            reply.add_answer(Record::from_rdata(asked.clone(), lasts, data));
        }
        if below.is_none() && !zone.known.contains(&name) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        if zone.lasts > 0 && reply.answers.is_empty() {
            let soa = SOA::new(asked.clone(), asked.clone(), 1, 3_600, 600, 86_400, lasts);
            reply.add_authority(Record::from_rdata(asked.clone(), lasts, RData::SOA(soa)));
        }
    }
    Some(reply)
}
