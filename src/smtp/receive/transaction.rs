//! One transaction: MAIL, RCPT, DATA and content. `connector` decides what is accepted from whom.

use std::sync::Arc;

use super::header::{HeaderSink, HeaderStage};
use super::{Action, OpenTransaction, Phase, ReceivedMessage, Refusal, Session, Transaction};
use crate::connector::{
    Admission, Arrival, BareLf, ChainVerdict, ClientKind, HeaderHandling, Inbound, PeerCertificate, Reveal,
    StaleProof, TlsFacts, TransactionGuard, admit, arrival_field, choose, is_ours, unassessed,
};
use crate::echo::EchoCall;
use crate::mail::{
    BodyType, Domain, Enhanced, Envelope, Extension, Mailbox, MailboxDomain, MessageDsn, PathFault, Protocol,
    Received, Recipient, RecipientDsn, Reply, ReversePath, read_trace,
};
use crate::smtp::command::{CommandFault, ForwardPath, MailFrom, RcptTo};
use crate::smtp::data::{ContentFault, ContentLimits, ContentSink, Scanner};
use crate::smtp::extension::XOORG;

impl Session {
    pub(super) fn on_mail(&mut self, mail: MailFrom) -> Option<Action> {
        if self.client.is_none() {
            return self.out_of_order("MAIL", "say EHLO first");
        }
        if matches!(self.phase, Phase::Envelope(_) | Phase::Chunks(_)) {
            return self.out_of_order("MAIL", "a transaction is under way; RSET ends it");
        }
        if let Some(fault) = self.not_offered(&mail) {
            return self.refuse_mail(mail.reverse_path, fault.reply(), None);
        }
        let declared = mail.size.unwrap_or(0);
        let limit = self.rules.content.message_bytes_max;
        if declared > limit {
            let reply =
                Reply::new(552, Enhanced(5, 3, 4), format!("the message is larger than {limit} octets"));
            return self.refuse_mail(mail.reverse_path, reply, None);
        }
        if let Err(reply) = self.rules.room.takes(declared) {
            return self.refuse_mail(mail.reverse_path, reply, None);
        }
        // The table in effect says by which trust anchors the client's chain must be assessed.
        if self.table.renew() {
            self.admission = None;
        }
        if let Some(facts) = self.unassessed_again.take() {
            self.channel.tls = Some(facts);
            self.admission = None;
        }
        let wanted = unassessed(self.table.table(), &self.channel, &mail.reverse_path);
        if !wanted.is_empty() {
            self.phase = Phase::Assess(Box::new(mail));
            return Some(Action::Assess(wanted));
        }
        self.admit(mail)
    }

    /// What was said of the client's chain no longer holds: from the next MAIL on these facts do, and it is assessed again.
    pub fn on_new_lists(&mut self, facts: Arc<TlsFacts>) {
        self.unassessed_again = Some(facts);
    }

    /// The client's chain was assessed; `None`: it could not be.
    pub fn on_assessed(&mut self, facts: Option<Arc<TlsFacts>>) -> Action {
        let Phase::Assess(mail) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            return self.close(&Reply::new(451, Enhanced(4, 3, 0), "out of order"));
        };
        if let Some(facts) = facts {
            self.channel.tls = Some(facts);
            self.admission = None;
        }
        self.admit(*mail).unwrap_or(Action::NeedInput)
    }

    fn admit(&mut self, mail: MailFrom) -> Option<Action> {
        let declared = mail.size.unwrap_or(0);
        let guard = match self.renew_for(&mail.reverse_path) {
            Ok(guard) => guard,
            Err(stale) => {
                let why = match stale {
                    StaleProof::Certificate => "and with it what client certificates are judged by",
                    StaleProof::Login => "and the login is no longer valid",
                };
                return Some(self.close_outdated(mail.reverse_path, why, None));
            }
        };
        if !unassessed(self.table.table(), &self.channel, &mail.reverse_path).is_empty() {
            // There was no turn for it, or the table has just changed.
            let text = "your certificate can't be checked now; try again later";
            return self.refuse_mail(mail.reverse_path, Reply::new(451, Enhanced(4, 3, 2), text), None);
        }
        let admission = self.admission_of(&mail.reverse_path);
        self.attribute(match &admission {
            Admission::Refused(refused) => &refused.decision,
            Admission::Admitted(admitted) => &admitted.decision,
        });
        match admission {
            // A session that begins now may fare better, or be refused for good.
            Admission::Refused(refused) if self.table.has_changed() => Some(self.close_outdated(
                mail.reverse_path,
                "since this session began",
                Some(refused.decision),
            )),
            Admission::Refused(refused) => {
                self.refuse_mail(mail.reverse_path, refused.reply, Some(refused.decision))
            }
            Admission::Admitted(admitted) => {
                if let (Some(fault), false) = (&mail.excused, admitted.connector.lenient) {
                    let reply = fault.reply();
                    return self.refuse_mail(mail.reverse_path, reply, Some(admitted.decision));
                }
                // It was offered because of the name that the client shows. Whoever did not prove it, and is admitted by
                // another connector, has said nothing by it.
                let believed = admitted.connector.headers == HeaderHandling::Promote;
                let named = mail.originator.filter(|_| believed);
                if let Err(reply) = self.within_limits(&admitted.connector, declared) {
                    return self.refuse_mail(mail.reverse_path, reply, Some(admitted.decision));
                }
                let envelope = Envelope {
                    reverse_path: mail.reverse_path,
                    recipients: Vec::new(),
                    body: mail.body,
                    utf8: mail.utf8,
                    dsn: mail.dsn,
                };
                let header = HeaderStage::new(&admitted.connector, &self.rules.name, named.as_ref());
                let originator = named.or_else(|| self.organisation(&admitted.connector, &envelope));
                self.tally.turn_over();
                self.phase = Phase::Envelope(Box::new(Transaction {
                    envelope,
                    header,
                    originator,
                    ways: Vec::new(),
                    echo: None,
                    connector: admitted.connector,
                    decision: admitted.decision,
                    declared,
                    refused: 0,
                    _guard: guard,
                }));
                self.answer(250, Enhanced(2, 1, 0), "reverse-path ok")
            }
        }
    }

    /// The fault for the first MAIL parameter of an extension that is not offered.
    fn not_offered(&self, mail: &MailFrom) -> Option<CommandFault> {
        let offered = self.offered();
        let asked = [
            (mail.utf8, Extension::SmtpUtf8),
            (mail.dsn != MessageDsn::default(), Extension::Dsn),
            (mail.body == BodyType::EightBitMime, Extension::EightBitMime),
            (mail.body == BodyType::BinaryMime, Extension::BinaryMime),
        ];
        let withheld = asked.into_iter().find(|(asked, extension)| *asked && !offered.offers(*extension));
        let auth = mail.auth && !offered.auth;
        let originator = mail.originator.is_some() && !offered.originator;
        withheld
            .map(|(_, extension)| CommandFault::Withheld(extension))
            .or_else(|| auth.then(|| CommandFault::UnknownParameter("AUTH".to_owned())))
            .or_else(|| originator.then(|| CommandFault::UnknownParameter(XOORG.to_owned())))
    }

    /// Our organisation, as next hops are told it, where one of our own systems sends mail of one of our domains.
    fn organisation(&self, connector: &Inbound, envelope: &Envelope) -> Option<Domain> {
        let table = self.table.table();
        let mailbox = envelope.reverse_path.mailbox().filter(|_| connector.kind == ClientKind::Own)?;
        let told = table.promotes_onward() && is_ours(table, &self.rules.postmaster, mailbox);
        mailbox.domain_name().filter(|_| told).cloned()
    }

    pub(super) fn on_rcpt(&mut self, rcpt: RcptTo) -> Option<Action> {
        if rcpt.dsn != RecipientDsn::default() && !self.offered().offers(Extension::Dsn) {
            return self.refuse("RCPT", CommandFault::Withheld(Extension::Dsn).reply(), None);
        }
        if self.is_echo(&rcpt.path) {
            return self.take_echo(rcpt.path);
        }
        let Phase::Envelope(transaction) = &mut self.phase else {
            return self.out_of_order("RCPT", "MAIL comes first");
        };
        let own = transaction.connector.limits.recipients_max;
        let recipients_max = own.unwrap_or(usize::MAX).min(self.rules.recipients_max);
        if transaction.envelope.recipients.len() >= recipients_max {
            // RFC 5321 §4.5.3.1.10: recipients accepted so far stay accepted.
            return self.refuse(
                "RCPT",
                Reply::new(452, Enhanced(4, 5, 3), "too many recipients; send the rest apart"),
                None,
            );
        }
        let asked_for = !matches!(rcpt.path, ForwardPath::Postmaster);
        let (mailbox, relayed, known) = match rcpt.path {
            // RFC 5321 §4.5.1: mail for postmaster is always accepted, through any connector.
            ForwardPath::Postmaster => (self.rules.postmaster.clone(), true, true),
            ForwardPath::Mailbox(mailbox) if !mailbox.is_ascii() && !transaction.envelope.utf8 => {
                let reply = CommandFault::ForwardPath(PathFault::NonAscii).reply();
                return self.refuse_rcpt(mailbox, reply);
            }
            ForwardPath::Mailbox(mailbox) => {
                let is_null = transaction.envelope.reverse_path.mailbox().is_none();
                let relayed =
                    transaction.connector.relays(self.table.table(), is_null, mailbox.domain_name());
                let known = transaction.connector.knows(&mailbox);
                (mailbox, relayed, known)
            }
        };
        let reply = if relayed && !known {
            Reply::new(550, Enhanced(5, 1, 1), format!("{mailbox}: no such recipient"))
        } else if relayed {
            let arrival = Arrival::By(&transaction.connector.name);
            match choose(self.table.table(), mailbox.domain_name(), arrival) {
                Some(choice) => {
                    let asks = asked_for && transaction.connector.asks_for(&mailbox);
                    let recipient = Recipient { forward_path: mailbox, dsn: rcpt.dsn };
                    let way = choice.connector;
                    return if asks { self.ask_for(recipient, way) } else { self.take(recipient, way) };
                }
                None => {
                    Reply::new(550, NO_ROUTE, format!("no outbound connector serves {}", mailbox.domain()))
                }
            }
        } else {
            not_relayed(transaction, &mailbox)
        };
        self.refuse_rcpt(mailbox, reply)
    }

    pub(super) fn refuse_rcpt(&mut self, mailbox: Mailbox, reply: Reply) -> Option<Action> {
        let (mut reverse_path, mut decision) = (None, None);
        if let Phase::Envelope(transaction) = &mut self.phase {
            transaction.refused = transaction.refused.saturating_add(1);
            // A route that is missing is no fault of the client.
            if reply.enhanced != Some(NO_ROUTE) {
                let who = || transaction.decision.client_text();
                self.rules.brakes.refused(&transaction.connector, who);
            }
            reverse_path = Some(transaction.envelope.reverse_path.clone());
            decision = Some(Arc::clone(&transaction.decision));
        }
        self.note(Refusal { stage: "RCPT", reverse_path, forward_path: Some(mailbox), reply, decision })
    }

    /// Content sent without waiting for the 354 (a violation of RFC 2920 §3.1) is read as content: the
    /// 354 is certain once it is pending, so what follows can't be meant as anything else. If DATA is
    /// refused, what follows is commands, as usual.
    pub(super) fn on_data(&mut self, sink: &mut dyn ContentSink) -> Option<Action> {
        let transaction = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Envelope(transaction) => transaction,
            phase @ (Phase::Ready
            | Phase::Content(..)
            | Phase::Chunk(..)
            | Phase::Chunks(_)
            | Phase::Commit(_)
            | Phase::Auth(_)
            | Phase::Asked(..)
            | Phase::Verify
            | Phase::Assess(_)
            | Phase::Handshake(_)
            | Phase::Closed) => {
                let text = if matches!(phase, Phase::Chunks(_)) {
                    "the message comes by BDAT" // RFC 3030 §2
                } else {
                    "MAIL and RCPT come first"
                };
                self.phase = phase;
                return self.out_of_order("DATA", text);
            }
        };
        if transaction.envelope.body == BodyType::BinaryMime {
            self.phase = Phase::Envelope(transaction);
            // RFC 3030 §3: line ends and dot-stuffing would corrupt it.
            return self.out_of_order("DATA", "BODY=BINARYMIME needs BDAT");
        }
        if !transaction.has_recipient() {
            let refused = transaction.refused > 0;
            self.phase = Phase::Envelope(transaction);
            if refused {
                // RFC 5321 §3.3 and RFC 2920 §3.1: the client may have sent DATA together with its
                // RCPTs.
                return self.refuse("DATA", Reply::new(554, Enhanced(5, 5, 1), "no valid recipients"), None);
            }
            return self.out_of_order("DATA", "RCPT comes first");
        }
        // Other messages may have started since MAIL and taken the room.
        if let Err(reply) = self.rules.room.takes(transaction.declared) {
            self.phase = Phase::Envelope(transaction);
            return self.refuse("DATA", reply, None);
        }
        let opened = self.open_content(&transaction, sink);
        let limits = self.content_limits(&transaction);
        let scanner = match transaction.connector.bare_lf {
            BareLf::Refuse => Scanner::new(limits),
            BareLf::Normalize => Scanner::new(limits).normalizing(),
        };
        self.phase = Phase::Content(transaction, scanner, opened);
        self.say(&Reply::bare(354, "send the message, end with CRLF.CRLF"));
        None
    }

    pub(super) fn on_content(
        &mut self,
        rest: &[u8],
        (mut transaction, mut scanner, opened): (Box<Transaction>, Scanner, OpenTransaction),
        sink: &mut dyn ContentSink,
    ) -> (usize, Option<Action>) {
        let mut through = transaction.sink(&self.rules.name, sink);
        let fed = scanner.feed(rest, &mut through);
        if !fed.ended {
            self.phase = Phase::Content(transaction, scanner, opened);
            return (fed.used, None);
        }
        through.finish();
        let action = self.conclude(*transaction, opened, (scanner.header(), scanner.fault()), sink);
        (fed.used, action)
    }

    /// Opens the content: assigns the queue ID and writes the trace line on top.
    pub(super) fn open_content(
        &self,
        transaction: &Transaction,
        sink: &mut dyn ContentSink,
    ) -> OpenTransaction {
        let (id, at) = sink.open(transaction.declared);
        let opened = OpenTransaction { id, at };
        if transaction.connector.arrival_header {
            let (tls, user) = (self.channel.tls.as_deref(), self.channel.user.as_deref());
            let how = (tls, user.map(|user| &*user.name));
            let field = arrival_field(&self.rules.name, &transaction.connector, &transaction.decision, how);
            sink.write(field.as_bytes());
        }
        sink.write(self.received(transaction, opened).as_bytes());
        opened
    }

    pub(super) fn content_limits(&self, transaction: &Transaction) -> ContentLimits {
        let mut limits = self.rules.content;
        if let Some(own) = transaction.connector.limits.message_bytes_max {
            limits.message_bytes_max = limits.message_bytes_max.min(own);
        }
        limits
    }

    /// The content is complete, or was refused before its end.
    pub(super) fn conclude(
        &mut self,
        transaction: Transaction,
        opened: OpenTransaction,
        (header, fault): (&[u8], Option<ContentFault>),
        sink: &mut dyn ContentSink,
    ) -> Option<Action> {
        self.phase = Phase::Ready;
        let trace = read_trace(header, &self.rules.name);
        let refused = match fault {
            Some(fault) => Some(fault.reply()),
            None if trace.hops >= self.rules.hops_max => {
                // RFC 5321 §6.3: this many hops indicate a loop.
                sink.discard();
                let text = "too many Received lines: mail loop";
                Some(Reply::new(554, Enhanced(5, 4, 6), text))
            }
            None if trace.own_hops >= self.rules.own_hops_max => {
                sink.discard();
                let (name, count) = (&self.rules.name, trace.own_hops);
                let text = format!("mail loop: the message has passed {name} {count} times before");
                Some(Reply::new(554, Enhanced(5, 4, 6), text))
            }
            None => None,
        };
        if let Some(reply) = refused {
            return self.refuse_content(transaction, reply);
        }
        let echo = transaction.echo.map(|address| Box::new(EchoCall::read(address, header)));
        self.phase = Phase::Commit(opened.id);
        Some(Action::Commit(Box::new(ReceivedMessage {
            id: opened.id,
            envelope: transaction.envelope,
            ways: transaction.ways,
            echo,
            connector: transaction.connector,
            decision: transaction.decision,
            findings: transaction.header.into_findings(),
            originator: transaction.originator,
            message_id: trace.message_id,
            subject: trace.subject,
            at: opened.at,
        })))
    }

    /// Registers the transaction, and goes by the table in effect from here on: in this order, so that a stricter
    /// table either waits for the transaction or decides it.
    ///
    /// # Errors
    /// What the client must prove again, in another session.
    fn renew_for(&mut self, path: &ReversePath) -> Result<TransactionGuard, StaleProof> {
        let guard = self.table.enter(&self.channel, path);
        if self.table.renew() {
            self.admission = None;
        }
        self.table.stale_proof(&self.channel, path).map_or(Ok(guard), Err)
    }

    /// Refuses a message's content, which ends its transaction.
    pub(super) fn refuse_content(&mut self, transaction: Transaction, reply: Reply) -> Option<Action> {
        self.note(Refusal {
            stage: "content",
            reverse_path: Some(transaction.envelope.reverse_path),
            forward_path: None,
            reply,
            decision: Some(transaction.decision),
        })
    }

    /// The admission of a reverse-path. It depends only on the domain, the table and what is fixed for the
    /// session, so a client that sends many messages is looked up once.
    fn admission_of(&mut self, path: &ReversePath) -> Admission {
        let domain: Option<&MailboxDomain> = path.mailbox().map(|m| m.domain());
        if let Some((known, admission)) = &self.admission
            && known.as_ref() == domain
        {
            return admission.clone();
        }
        let admission = admit(self.table.table(), &self.channel, path);
        self.admission = Some((domain.cloned(), admission.clone()));
        admission
    }

    /// The connector's brake, and its own limits: message size, messages per minute, concurrent sessions.
    fn within_limits(&mut self, connector: &Inbound, declared: u64) -> Result<(), Reply> {
        self.rules.brakes.admit(connector)?;
        match connector.limits.message_bytes_max {
            Some(limit) if declared > limit => {
                let text = format!("the message is larger than {limit} octets");
                return Err(Reply::new(552, Enhanced(5, 3, 4), text));
            }
            Some(_) | None => {}
        }
        self.share.enter(connector)
    }

    /// This host's trace line (RFC 5321 §4.4). It gives the protocol and what the handshake showed, but
    /// not the connector's name, which is internal.
    fn received(&self, transaction: &Transaction, opened: OpenTransaction) -> String {
        let (helo, extended) =
            self.client.as_ref().map_or(("unknown", false), |c| (c.name.as_str(), c.extended));
        let protocol = Protocol {
            extended,
            sealed: self.channel.tls.is_some(),
            authenticated: self.channel.user.is_some(),
            utf8: transaction.envelope.utf8,
        };
        let tls = self.channel.tls.as_deref().map(tls_comment);
        let only_recipient = match transaction.envelope.recipients.as_slice() {
            [one] if transaction.echo.is_none() => Some(&one.forward_path),
            _ => None,
        };
        Received {
            helo,
            peer: self.channel.peer,
            by: self.rules.name.as_str(),
            protocol,
            tls: tls.as_deref(),
            id: opened.id,
            only_recipient,
            at: opened.at,
        }
        .to_field()
    }

    fn refuse_mail(
        &mut self,
        path: ReversePath,
        reply: Reply,
        decision: Option<Arc<crate::connector::Decision>>,
    ) -> Option<Action> {
        self.note(Refusal { stage: "MAIL", reverse_path: Some(path), forward_path: None, reply, decision })
    }

    pub(super) fn out_of_order(&mut self, stage: &'static str, text: &'static str) -> Option<Action> {
        self.refuse(stage, Reply::new(503, Enhanced(5, 5, 1), text), None)
    }
}

impl Transaction {
    /// The way of its content to the sink.
    pub(super) fn sink<'a>(&'a mut self, own: &'a Domain, sink: &'a mut dyn ContentSink) -> HeaderSink<'a> {
        HeaderSink { stage: &mut self.header, connector: &self.connector, own, sink }
    }
}

/// The refusal of a recipient to whom the connector does not relay.
fn not_relayed(transaction: &Transaction, mailbox: &Mailbox) -> Reply {
    let text = match transaction.connector.reveal {
        Reveal::Full | Reveal::Partner => {
            format!("connector {}", transaction.connector.relay_refusal(mailbox))
        }
        Reveal::Code => format!("mail for {} is not accepted from you", mailbox.domain()),
    };
    Reply::new(550, Enhanced(5, 7, 1), text)
}

/// No outbound connector serves the recipient.
const NO_ROUTE: Enhanced = Enhanced(5, 4, 4);

/// TLS version, cipher suite and group, and one word on how the client's certificate was judged.
fn tls_comment(facts: &TlsFacts) -> String {
    let channel = facts.channel_text();
    match &facts.peer {
        PeerCertificate::NotShown => channel,
        PeerCertificate::Unreadable(_) => format!("{channel} verify=unreadable"),
        PeerCertificate::Shown(certificate) => {
            let trusted =
                certificate.proved && certificate.chain.values().any(|v| *v == ChainVerdict::Trusted);
            let word = match (certificate.chain.is_empty(), trusted) {
                (true, _) => "unchecked",
                (false, true) => "ok",
                (false, false) => "failed",
            };
            format!("{channel} verify={word}")
        }
    }
}
