//! The lab's client against a stand-in partner on loopback.

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;
use crate::lab::capture::Capture;
use crate::lab::mint::{Authority, Mint, Validity};
use crate::lab::partner::{LabPartner, server_tls};
use crate::lab::plan::Behaviour;

const NAME: &str = "mx.good.lab.test";

struct Stage {
    mint: Mint,
    address: SocketAddr,
    capture: Arc<Capture>,
    task: AbortHandle,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stage(behaviour: Behaviour) -> Stage {
    let mint = Mint::new().expect("a mint");
    let leaf = mint.leaf(Authority::Lab, &[NAME], Validity::Current).expect("a leaf");
    let clients_by = (behaviour == Behaviour::DemandsClientCertificate).then(|| mint.root(Authority::Lab));
    let tls = server_tls(leaf, clients_by).expect("TLS");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let capture = Arc::new(Capture::default());
    let partner =
        LabPartner { name: NAME.to_owned(), behaviour, tls: Some(tls), capture: Arc::clone(&capture) };
    let task = tokio::spawn(partner.serve(listener)).abort_handle();
    Stage { mint, address, capture, task }
}

impl Stage {
    fn submission(&self, tls: Option<ClientTls>) -> Submission {
        Submission {
            source: Ipv4Addr::LOCALHOST,
            gateway: self.address,
            helo: "client.lab.test".to_owned(),
            tls,
            from: "a@contoso.lab.test".to_owned(),
            to: "b@good.lab.test".to_owned(),
            content: b"Subject: x\r\n\r\n.dot\r\n..two\r\n".to_vec(),
            originator: None,
        }
    }

    fn tls(&self, shown: Option<Authority>) -> ClientTls {
        let leaf = |by| self.mint.leaf(by, &["client.lab.test"], Validity::Current).expect("a leaf");
        let shown = shown.map(|by| ("client.lab.test", leaf(by)));
        ClientTls::new(self.mint.root(Authority::Lab), NAME, shown).expect("TLS")
    }

    fn taken(&self) -> Option<(Option<String>, Vec<u8>)> {
        self.capture.find(|_| true).map(|m| (m.tls, m.content))
    }
}

#[tokio::test]
async fn a_message_arrives_whole_over_tls_and_leaves_nothing_in_clear() {
    let stage = stage(Behaviour::Good).await;
    let submission = stage.submission(Some(stage.tls(None)));
    let handed = submission.send().await.expect("a session");
    assert!(handed.is_accepted() && handed.channel.starts_with("TLSv1.3 "), "{handed:?}");
    let (tls, content) = stage.taken().expect("a message");
    assert!(tls.is_some_and(|tls| tls.starts_with("TLSv1.3 ")));
    assert_eq!(content, submission.content);
    assert!(stage.capture.came_in_clear("STARTTLS") && !stage.capture.came_in_clear("MAIL FROM"));
}

#[tokio::test]
async fn without_starttls_the_capture_shows_what_was_in_clear() {
    let stage = stage(Behaviour::NoStartTls).await;
    let handed = stage.submission(None).send().await.expect("a session");
    assert!(handed.is_accepted(), "{handed:?}");
    assert_eq!(stage.taken().expect("a message").0, None);
    assert!(stage.capture.came_in_clear("mail from:<a@contoso.lab.test>"));
    let refused = stage.submission(Some(stage.tls(None))).send().await.expect("a session");
    assert_eq!(refused.code, 503);
}

#[tokio::test]
async fn a_broken_handshake_is_an_error_and_clear_mail_still_passes() {
    let stage = stage(Behaviour::BreaksHandshake).await;
    stage.submission(Some(stage.tls(None))).send().await.expect_err("no handshake");
    assert!(stage.taken().is_none() && !stage.capture.came_in_clear("MAIL FROM"));
    assert!(stage.submission(None).send().await.expect("a session").is_accepted());
}

#[tokio::test]
async fn a_client_certificate_is_demanded_of_the_lab_authority_alone() {
    let stage = stage(Behaviour::DemandsClientCertificate).await;
    for shown in [None, Some(Authority::Private)] {
        stage.submission(Some(stage.tls(shown))).send().await.expect_err("no session");
    }
    let handed = stage.submission(Some(stage.tls(Some(Authority::Lab)))).send().await.expect("a session");
    assert!(handed.is_accepted());
}

#[tokio::test]
async fn recipients_are_refused_by_name() {
    let stage = stage(Behaviour::RefusesRecipients).await;
    let handed = stage.submission(None).send().await.expect("a session");
    assert_eq!(handed.reply(), "550 5.1.1 <b@good.lab.test> no such user here");
    assert!(stage.capture.has_refused("b@good.lab.test"));
}
