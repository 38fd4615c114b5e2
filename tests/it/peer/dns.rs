//! A name server on loopback that knows what a test tells it, and counts what it is asked.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, MX};
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
    failing: Vec<String>,
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

    /// Every question about this name is answered SERVFAIL, until [`Dns::mend`].
    pub(crate) fn fail(&self, name: &str) -> &Self {
        self.zone.lock().unwrap().failing.push(name.to_owned());
        self
    }

    pub(crate) fn mend(&self, name: &str) {
        self.zone.lock().unwrap().failing.retain(|failing| failing != name);
    }

    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.zone.lock().unwrap().asked.iter().filter(|(n, k)| n == name && *k == kind).count()
    }

    fn add(&self, name: &str, kind: RecordType, data: RData) -> &Self {
        self.zone.lock().unwrap().answers.entry((name.to_owned(), kind)).or_default().push(data);
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
        let reply = answer(&question, &mut zone.lock().unwrap());
        let _ = socket.send_to(&reply.to_vec().unwrap(), from).await;
    }
}

fn answer(question: &Message, zone: &mut Zone) -> Message {
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    for query in &question.queries {
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        zone.asked.push((name.clone(), query.query_type()));
        reply.add_query(query.clone());
        if zone.failing.contains(&name) {
            reply.metadata.response_code = ResponseCode::ServFail;
            continue;
        }
        for data in zone.answers.get(&(name.clone(), query.query_type())).into_iter().flatten() {
            reply.add_answer(Record::from_rdata(query.name().clone(), 1, data.clone()));
        }
        if !zone.answers.keys().any(|(known, _)| *known == name) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
    }
    reply
}
