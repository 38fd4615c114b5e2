//! Header fields of Exchange at connectors: removed, passed or promoted, and every other octet as it was. Real verifiers
//! judge signatures.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::peer::client::{Client, wire};
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::Kind;
use crate::peer::mix::without_received;
use crate::peer::sink::{Arrived, Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, Site, outbound};
use crate::peer::{left_out, tools};

/// Our Exchange Online, known by its certificate.
const CLOUD: &str = "[[inbound]]\nname = \"cloud\"\nkind = \"own\"\ntls = \"forced\"\npeer_names = [\"mail.partner.test\"]\n\
    trust = [\"partners\"]\nto_domains = [\"*\"]\nheaders = \"promote\"\n";
const FIELDS: &str = "X-MS-Exchange-Organization-SCL: -1\r\nx-ms-exchange-forest-routing:\r\n folded\r\n";
const CROSS: &str = "X-MS-Exchange-CrossPremises-AuthAs: Internal\r\n";
const REST: &str = "From: ada@a.test\r\nSubject: a\r\n\tb\r\nX-MS-Exchange-SenderADCheck: 1\r\n\r\nX-MS-Exchange-Organization-SCL: body\r\n..x\r\n";

/// Next hops for three domains: strip.test behind the firewall, keep.test, and up.test, which is promoted to.
struct Hops {
    strip: Sink,
    keep: Sink,
    up: Sink,
}

impl Hops {
    async fn start(site: &Site) -> Self {
        Self {
            strip: Sink::start(Manner::clear().replying("ehlo", "250-sink.test\r\n250 SIZE 0")).await,
            keep: Sink::start(Manner::clear()).await,
            up: site.good_sink().await,
        }
    }

    async fn daemon(&self, site: &Site, more: &str) -> Daemon {
        let only = format!("{OPPORTUNISTIC}connections = 1\n");
        let config = format!(
            "{LISTENER}{ANYONE}{CLOUD}{more}\n{}{}{}",
            outbound("strip", "strip.test", self.strip.address, &only),
            outbound("keep", "keep.test", self.keep.address, &format!("{only}headers = \"preserve\"\n")),
            outbound("up", "up.test", self.up.address, &format!("{IDENTITY}headers = \"promote\"\n")),
        );
        site.configure_all(&config);
        Daemon::start(&site.home).await
    }
}

async fn cloud(site: &Site, daemon: &Daemon) -> Client {
    let pair = site.partners.pair(&[PARTNER], Kind::Good);
    Client::sealed(daemon.at("in"), &site.ours.client(Some(&pair)), NAME).await
}

async fn hand(client: &mut Client, to: &str, content: &[u8]) {
    for line in ["MAIL FROM:<ada@a.test>", &format!("RCPT TO:<bob@{to}>"), "DATA"] {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
    client.write(&wire(content)).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
}

/// The message as it came, but for our Received field.
fn body(arrived: &Arrived) -> String {
    String::from_utf8(without_received(&arrived.content).unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_firewall_strips_both_ways_and_nothing_else() {
    let site = Site::new();
    let hops = Hops::start(&site).await;
    let daemon = hops.daemon(&site, "").await;
    let mut stranger = Client::hello(daemon.at("in")).await;
    let (mail, long) = (format!("{FIELDS}{CROSS}{REST}"), format!("{}\r\n", "x".repeat(70)).repeat(3_000));
    hand(&mut stranger, "keep.test", mail.as_bytes()).await;
    hand(&mut stranger, "keep.test", format!("{mail}{long}").as_bytes()).await;
    let arrived = hops.keep.messages(2).await;
    assert_eq!((body(&arrived[0]), body(&arrived[1])), (REST.to_owned(), format!("{REST}{long}")), "inbound");
    // Our own Exchange passes them on to its own kind, and the firewall is outbound.
    let mut own = cloud(&site, &daemon).await;
    let promoted = format!("{CROSS}{REST}");
    hand(&mut own, "strip.test", promoted.as_bytes()).await;
    hand(&mut own, "strip.test", format!("{promoted}{long}").as_bytes()).await;
    let arrived = hops.strip.messages(2).await;
    assert_eq!(
        (body(&arrived[0]), body(&arrived[1])),
        (REST.to_owned(), format!("{REST}{long}")),
        "outbound"
    );
    let sizes: Vec<String> = hops.strip.read(|log| {
        log.commands
            .iter()
            .filter_map(|line| line.split_once("SIZE=").map(|(_, size)| size.to_owned()))
            .collect()
    });
    let expected: Vec<String> =
        arrived.iter().map(|arrived| (wire(&arrived.content).len() - 3).to_string()).collect();
    assert_eq!(sizes, expected, "SIZE is that of what is sent");
    daemon.queue_empty().await;
    let names = "stripped_fields=\"X-MS-Exchange-Organization-SCL, x-ms-exchange-forest-routing, X-MS-Exchange-CrossPremises-AuthAs\"";
    daemon.logged_times(&format!("stripped=3 {names}"), 2).await;
    daemon.logged_times(" promoted=1", 2).await;
    daemon.logged_times("stripped=2 stripped_fields=", 2).await;
}

/// RFC 5321 §4.5.2: the dot before a line is not content, so a field behind one is a field.
#[tokio::test(flavor = "multi_thread")]
async fn a_dot_hides_no_field() {
    let site = Site::new();
    let hops = Hops::start(&site).await;
    let raise =
        "\n[[raise]]\nname = \"tag\"\nsubject_tag = \"[secure]\"\nremove = true\nconnectors = [\"anyone\"]\n";
    let daemon = hops.daemon(&site, raise).await;
    let own = format!(".Received: from a by {NAME}\r\n").repeat(100);
    let results = format!("Authentication-Results: {NAME}; x-tls=pass");
    let mut delivered = 0;
    for (content, expected) in [
        (
            ".X-MS-Exchange-Organization-AuthAs: Internal\r\n. folded\r\nA: b\r\n\r\n.x\r\n",
            Some("A: b\r\n\r\nx\r\n"),
        ),
        (
            &format!("A: b\r\n.{results}\r\n.X-MS-Exchange-Forest-A: c\r\n\r\n..x\r\n"),
            Some("A: b\r\n\r\n.x\r\n"),
        ),
        (".Subject: [secure] a\r\n\r\nx\r\n", Some("Subject: a\r\n\r\nx\r\n")),
        // Content of this name is no field of Exchange's.
        ("..X-MS-Exchange-Forest-A: c\r\n\r\nx\r\n", Some(".X-MS-Exchange-Forest-A: c\r\n\r\nx\r\n")),
        (&format!("{own}\r\nx\r\n"), None),
    ] {
        let mut stranger = Client::hello(daemon.at("in")).await;
        for line in ["MAIL FROM:<ada@a.test>", "RCPT TO:<bob@up.test>", "DATA"] {
            assert!(stranger.say(line).await.code < 400);
        }
        stranger.write(format!("{content}.\r\n").as_bytes()).await.unwrap();
        let reply = stranger.reply().await;
        let Some(expected) = expected else {
            assert!(reply.text.contains("mail loop"), "{}", reply.text);
            continue;
        };
        assert_eq!(reply.code, 250, "{}", reply.text);
        delivered += 1;
        assert_eq!(body(&hops.up.messages(delivered).await[delivered - 1]), expected);
    }
    daemon.queue_empty().await;
    daemon.logged("raised_by=tag").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_premises_fields_are_promoted_by_certificate_and_go_on_so() {
    let site = Site::new();
    let hops = Hops::start(&site).await;
    let daemon = hops.daemon(&site, "").await;
    let mut own = cloud(&site, &daemon).await;
    // Two chunks, cut within the field.
    let (start, end) = CROSS.split_at(10);
    for line in ["MAIL FROM:<ada@a.test>", "RCPT TO:<bob@keep.test>"] {
        assert_eq!(own.say(line).await.code, 250);
    }
    let last = format!("{end}{FIELDS}{REST}");
    own.write(format!("BDAT {}\r\n{start}BDAT {} LAST\r\n{last}", start.len(), last.len()).as_bytes())
        .await
        .unwrap();
    assert_eq!((own.reply().await.code, own.reply().await.code), (250, 250));
    let mark = format!("X-MS-Exchange-Organization-Cross-Premises-Headers-Promoted: {NAME}\r\n");
    let came = body(&hops.keep.messages(1).await[0]);
    assert_eq!(came, format!("{mark}X-MS-Exchange-Organization-AuthAs: Internal\r\n{REST}"));
    hand(&mut own, "up.test", format!("{CROSS}{REST}").as_bytes()).await;
    let mark = format!("X-OrganizationHeadersPreserved: {NAME}\r\n");
    assert_eq!(body(&hops.up.messages(1).await[0]), format!("{mark}{CROSS}{REST}"));
    // Without the certificate it is a stranger.
    let mut stranger = Client::hello(daemon.at("in")).await;
    hand(&mut stranger, "keep.test", format!("{CROSS}{REST}").as_bytes()).await;
    assert_eq!(body(&hops.keep.messages(2).await[1]), REST);
}

#[tokio::test(flavor = "multi_thread")]
async fn xoorg_is_offered_and_passed_on_where_fields_are_promoted() {
    let site = Site::new();
    let mut hops = Hops::start(&site).await;
    let answer = "250-sink.test\r\n250 XOORG";
    let manner = Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server());
    hops.up = Sink::start(manner.replying("tls:ehlo", answer)).await;
    let daemon = hops.daemon(&site, "originators = [\"contoso.test\"]\n").await;
    let mut stranger = Client::sealed(daemon.at("in"), &site.ours.client(None), NAME).await;
    assert!(!stranger.say("EHLO client.test").await.text.contains("XOORG"));
    assert!(stranger.say("MAIL FROM:<ada@a.test> XOORG=contoso.test").await.text.starts_with("555 5.5.4"));
    let mut own = cloud(&site, &daemon).await;
    assert!(own.say("EHLO client.test").await.text.contains("XOORG"));
    assert!(own.say("MAIL FROM:<ada@a.test> XOORG=-").await.text.starts_with("501"));
    let say = async |own: &mut Client, mail: &str, to: &str| {
        for line in [mail, &format!("RCPT TO:<bob@{to}>"), "DATA"] {
            let reply = own.say(line).await;
            assert!(reply.code < 400, "{line}: {}", reply.text);
        }
        own.write(&wire(format!("{CROSS}{REST}").as_bytes())).await.unwrap();
        assert_eq!(own.reply().await.code, 250);
    };
    say(&mut own, "MAIL FROM:<ada@contoso.test> XOORG=Contoso.TEST", "up.test").await;
    assert!(hops.up.messages(1).await[0].mail.ends_with("ada@contoso.test"));
    // Another customer of the same cloud shows the same certificate.
    say(&mut own, "MAIL FROM:<eve@evil.test> XOORG=evil.test", "up.test").await;
    // Nobody says it, and it is our own system that sends mail of our domain.
    say(&mut own, "MAIL FROM:<ada@sealpost.test>", "up.test").await;
    say(&mut own, "MAIL FROM:<ada@contoso.test> XOORG=contoso.test", "keep.test").await;
    let arrived = hops.up.messages(3).await;
    let promoted: Vec<bool> =
        arrived.iter().map(|one| body(one).contains("X-OrganizationHeadersPreserved")).collect();
    assert_eq!(promoted, [true, false, false], "only of the organisation that is named");
    hops.keep.messages(1).await;
    let told = |sink: &Sink| -> Vec<String> {
        sink.read(|log| log.commands.iter().filter(|line| line.starts_with("MAIL")).cloned().collect())
    };
    let of = |mail: &[String]| -> Vec<String> {
        mail.iter().map(|line| line.split_once("XOORG=").map_or("-", |(_, name)| name).to_owned()).collect()
    };
    assert_eq!(of(&told(&hops.up)), ["contoso.test", "evil.test", "sealpost.test"]);
    assert_eq!(of(&told(&hops.keep)), ["-"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_hop_is_told_how_mail_came_and_forged_copies_go() {
    let site = Site::new();
    let hops = Hops::start(&site).await;
    let daemon = hops.daemon(&site, "arrival_header = true\n").await;
    let forged = format!("Authentication-Results: (x) {NAME}; x-tls=pass\r\n");
    let other = "Authentication-Results: mx.a.test; spf=pass\r\n";
    let mut own = cloud(&site, &daemon).await;
    hand(&mut own, "keep.test", format!("{forged}{other}{REST}").as_bytes()).await;
    let came = String::from_utf8(hops.keep.messages(1).await.remove(0).content).unwrap();
    let field = format!(
        "Authentication-Results: {NAME};\r\n\tx-tls=pass policy.connector=cloud policy.tls=TLSv1.3 policy.by=by-certificate\r\n\
         \t policy.name={PARTNER}\r\nReceived: from"
    );
    assert!(came.starts_with(&field), "{came}");
    assert_eq!(came.matches(NAME).count(), 2, "ours, and our Received: {came}");
    assert!(came.ends_with(&format!("{other}{REST}")), "{came}");
    let mut stranger = Client::hello(daemon.at("in")).await;
    hand(&mut stranger, "keep.test", format!("{forged}{other}{REST}").as_bytes()).await;
    assert_eq!(
        body(&hops.keep.messages(2).await[1]),
        format!("{other}{REST}"),
        "nobody else writes in our name"
    );
}

const SIGN: &str = "import sys, dkim\nkey, message = (open(path, 'rb').read() for path in sys.argv[1:3])\n\
    sys.stdout.buffer.write(dkim.sign(message, b'sel', b'a.test', key, include_headers=[b'from', b'subject', b'mime-version', b'content-type']) + message)";
const VERIFY: &str = "import sys, base64, dkim\nkey, message = (open(path, 'rb').read() for path in sys.argv[1:3])\n\
    record = b'v=DKIM1; k=rsa; p=' + base64.b64encode(key)\n\
    sys.exit(0 if dkim.verify(message, dnsfunc=lambda name, timeout=5: record) else 1)";

/// Runs a program in a folder; what it wrote.
async fn run(folder: &Path, program: &str, arguments: &str) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
    let output = tools::run(command).await;
    assert!(output.status.success(), "{program} {arguments}: {}", tools::said(&output));
    output.stdout
}

async fn python(folder: &Path, script: &str, key: &str, message: &str) -> std::process::Output {
    let mut command = tools::python("dkim").unwrap();
    command.args(["-c", script, key, message]).current_dir(folder).stdin(Stdio::null());
    tools::run(command).await
}

/// A message with an S/MIME signature, and a DKIM signature over that; its keys are left in the folder.
async fn signed(folder: &Path, text: &str) -> Vec<u8> {
    let key = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=ada@a.test -days 30";
    run(folder, "openssl", key).await;
    run(folder, "openssl", "rsa -in key.pem -traditional -out dkim.pem").await;
    run(folder, "openssl", "rsa -in key.pem -pubout -outform DER -out key.der").await;
    std::fs::write(folder.join("text"), format!("Content-Type: text/plain\r\n\r\n{text}")).unwrap();
    let sign = "cms -sign -crlfeol -in text -signer cert.pem -inkey key.pem -from ada@a.test -to bob@b.test -subject signed";
    let message = run(folder, "openssl", sign).await;
    let message = String::from_utf8(message).unwrap().replace("\r\n", "\n").replace('\n', "\r\n");
    std::fs::write(folder.join("message"), message).unwrap();
    let output = python(folder, SIGN, "dkim.pem", "message").await;
    assert!(output.status.success(), "{}", tools::said(&output));
    output.stdout
}

/// Whether both signatures of a message are valid.
async fn is_valid(folder: &Path, content: &[u8]) -> (bool, bool) {
    std::fs::write(folder.join("arrived"), content).unwrap();
    let by_dkim = python(folder, VERIFY, "key.der", "arrived").await.status.success();
    let mut command = Command::new("openssl");
    command
        .args(["cms", "-verify", "-purpose", "any", "-CAfile", "cert.pem", "-in", "arrived", "-out", "out"]);
    let output = tools::run({
        command.current_dir(folder).stdin(Stdio::null());
        command
    })
    .await;
    (by_dkim, output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_stay_valid_behind_the_firewall_and_promotion() {
    let test = "headers::signatures_stay_valid_behind_the_firewall_and_promotion";
    if tools::python("dkim").is_none() || tools::program("openssl").is_none() {
        return left_out(test, "dkimpy was not unpacked, or there is no openssl");
    }
    let site = Site::new();
    let hops = Hops::start(&site).await;
    let daemon = hops.daemon(&site, "arrival_header = true\n").await;
    let mut own = cloud(&site, &daemon).await;
    let mut stranger = Client::hello(daemon.at("in")).await;
    for (count, text) in
        ["short\r\n.dot\r\n".to_owned(), "0123456789\r\n.\r\n".repeat(10_000)].into_iter().enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let mail = signed(folder.path(), &text).await;
        let mail = [FIELDS.as_bytes(), CROSS.as_bytes(), mail.as_slice()].concat();
        hand(&mut stranger, "strip.test", &mail).await;
        hand(&mut own, "strip.test", &mail).await;
        hand(&mut own, "up.test", &mail).await;
        let mut arrived = hops.strip.messages(2 * count + 2).await.split_off(2 * count);
        arrived.extend(hops.up.messages(count + 1).await.split_off(count));
        for one in &arrived {
            let start = String::from_utf8_lossy(&one.content[..2_000]).into_owned();
            assert_eq!(is_valid(folder.path(), &one.content).await, (true, true), "{start}");
            assert!(!start.contains("X-MS-Exchange-Organization") && !start.contains("Forest"), "{start}");
        }
        // The verifiers do look.
        let broken =
            String::from_utf8_lossy(&arrived[0].content).replace("short", "shirt").replace("0123", "0132");
        assert_eq!(is_valid(folder.path(), broken.as_bytes()).await, (false, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_all_customers_of_a_cloud_present_makes_nobody_our_own() {
    let site = Site::new();
    let keep = Sink::start(Manner::clear()).await;
    let name = "mail.protection.outlook.com";
    let cloud = CLOUD.replace("headers = \"promote\"\n", "").replace("mail.partner.test", name);
    let out =
        outbound("keep", "keep.test", keep.address, &format!("{OPPORTUNISTIC}headers = \"preserve\"\n"));
    site.configure_all(&format!("{LISTENER}{cloud}\n{out}"));
    let daemon = Daemon::start(&site.home).await;
    let config = site.ours.client(Some(&site.partners.pair(&[name], Kind::Good)));
    let mut customer = Client::sealed(daemon.at("in"), &config, NAME).await;
    let forged = format!("Authentication-Results: {NAME}; x-tls=pass\r\n{FIELDS}{CROSS}{REST}");
    hand(&mut customer, "keep.test", forged.as_bytes()).await;
    assert_eq!(body(&keep.messages(1).await[0]), REST);
}

#[test]
fn promotion_needs_a_certificate_that_says_who() {
    let site = Site::new();
    let says = |connector: &str, expected: &str| {
        site.configure(connector);
        let said = tools::said(&site.home.run(&["check"], &[]));
        assert_eq!(
            said.contains("needs a certificate that says who the other side is"),
            expected == "error",
            "{said}"
        );
        assert!(expected == "error" || said.contains(expected), "{expected}: {said}");
    };
    let sink = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let out = |tls: &str| outbound("up", "up.test", sink, &format!("{tls}headers = \"promote\"\n"));
    says(&out(IDENTITY), "");
    says(&out(OPPORTUNISTIC), "error");
    says(&out("tls = \"forced\"\nrequire = \"encryption\"\n"), "error");
    says(&out("tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n"), "error");
    says(&out(&format!("{IDENTITY}mode = \"audit\"\n")), "error");
    says(&out(&format!("{IDENTITY}mode = \"off\"\n")), "");
    says(CLOUD, "");
    says(
        &CLOUD
            .replace("tls = \"forced\"", "from_networks = [\"127.0.0.0/8\"]\ntls = \"opportunistic\"")
            .replace("peer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n", ""),
        "error",
    );
    let hotmail = CLOUD.replace("mail.partner.test", "mail.protection.outlook.com");
    says(&hotmail, "every customer of protection.outlook.com could mark mail as internal");
    says(
        &CLOUD.replace("\"promote\"", "\"firewall\"\noriginators = [\"a.test\"]"),
        "originators would be ignored",
    );
}
