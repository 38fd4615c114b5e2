//! Plays the dialogues of `tests/data/dialogues` (its README says how they are written) over loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::peer::client::{Client, Reply};
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::site::{LISTENER, Site};

/// The hash of "secret".
const ANN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$JJzD/EwEPELLAcRd7KYYWg$bBE1BNOk5wjrJ7FGcmx9isKL71Kv1FdVnmpitQLDLiY";

/// One step, with its place in the file.
enum Step {
    Send(Vec<u8>),
    Expect(String),
    Contains(String),
    Lacks(String),
    Handshake,
    Closed,
}

struct Dialogue {
    name: String,
    listener: String,
    steps: Vec<(usize, Step)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialogue_holds_over_loopback() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialogues");
    let site = Site::new();
    configure(&site, &std::fs::read_to_string(folder.join("README.md")).unwrap());
    let daemon = Daemon::start(&site.home).await;
    let name = "gw1.contoso.example";
    let config = site.ours.client(None);
    let mut played = 0;
    let mut faults = Vec::new();
    for dialogue in dialogues(&folder) {
        played += 1;
        let at = daemon.at(&dialogue.listener);
        let opened = match dialogue.listener.as_str() {
            "implicit" => Client::wrapped(at, &config, name).await,
            _ => Client::connect(at).await,
        };
        let file = dialogue.name.clone();
        if let Err(fault) = play(dialogue, opened, &config, name).await {
            faults.push(format!("{file}: {fault}"));
        }
    }
    assert!(played >= 20, "only {played} dialogues were played");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The configuration in the README, with listeners, certificate and trust of this place.
fn configure(site: &Site, readme: &str) {
    let assumed = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let rest =
        assumed.split("[[inbound]]").skip(1).fold(String::new(), |all, part| all + "[[inbound]]" + part);
    let mut config = site.home.certificate("gw1", &site.ours.pair(&["gw1.contoso.example"], Kind::Good));
    config += &site.home.trust("bank", &site.partners);
    for tls in ["off", "starttls", "required", "implicit"] {
        let listener = LISTENER.replace("\"in\"", &format!("\"{tls}\"")).replace("\"gw\"", "\"gw1\"");
        let listener = listener.replace("tls = \"starttls\"", &format!("tls = \"{tls}\""));
        config += &if tls == "off" { listener.replace("certificate = \"gw1\"\n", "") } else { listener };
    }
    std::fs::write(site.home.path().join("users"), format!("ann:{ANN}\n")).unwrap();
    site.configure_all(&(config + &rest));
    let file = site.home.config();
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("gw.sealpost.test", "gw1.contoso.example");
    std::fs::write(file, text.replace("postmaster@sealpost.test", "postmaster@contoso.example")).unwrap();
}

/// Those that need no special spool, clock or certificate.
fn dialogues(folder: &Path) -> Vec<Dialogue> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read_to_string(path).unwrap());
        }
    }
    files.into_iter().filter_map(|(name, text)| read(name, &text)).collect()
}

fn read(name: String, text: &str) -> Option<Dialogue> {
    let mut listener = "off".to_owned();
    let mut steps: Vec<(usize, Step)> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let step = match mark {
            _ if line.trim().is_empty() || line.starts_with('#') => continue,
            _ if line.starts_with("listener:") => {
                line[9..].trim().clone_into(&mut listener);
                continue;
            }
            "C:" => Step::Send(format!("{rest}\r\n").into_bytes()),
            "C>" => Step::Send(escaped(rest)),
            "S:" => Step::Expect(rest.to_owned()),
            "S~" => Step::Contains(rest.to_owned()),
            "S!" => Step::Lacks(rest.to_owned()),
            _ => match line.trim() {
                "<handshake>" => Step::Handshake,
                "<closed>" => Step::Closed,
                // What only the pure session can be made to meet.
                "<full>" | "<failed>" | "<timeout>" | "<shutdown>" => return None,
                other => panic!("{name}: line {number}: {other:?} is no step"),
            },
        };
        match (&step, steps.last_mut()) {
            (Step::Send(more), Some((_, Step::Send(octets)))) => octets.extend_from_slice(more),
            _ => steps.push((number, step)),
        }
    }
    (listener != "broken").then_some(Dialogue { name, listener, steps })
}

fn escaped(text: &str) -> Vec<u8> {
    if let Some((before, rest)) = text.split_once('{')
        && let Some((repeat, after)) = rest.split_once('}')
    {
        return [escaped(before), repeated(repeat), escaped(after)].concat();
    }
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'\\' => match octets.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                other => other.unwrap_or(b'\\'),
            },
            octet => octet,
        });
    }
    out
}

fn repeated(text: &str) -> Vec<u8> {
    let (text, times) = text.rsplit_once('*').unwrap();
    escaped(text).repeat(times.trim().parse().unwrap())
}

async fn play(
    dialogue: Dialogue,
    mut client: Client,
    config: &Arc<ClientConfig>,
    name: &str,
) -> Result<(), String> {
    let mut last = client.greeting.clone();
    let mut greeted = false;
    for (line, step) in dialogue.steps {
        let at = |what: String| format!("line {line}: {what}");
        match step {
            // The peer may have closed already; the next expectation tells.
            Step::Send(octets) => drop(client.write(&octets).await),
            Step::Expect(expected) => {
                if greeted || dialogue_skips_greeting(&expected, &last) {
                    last = client.try_reply().await.map_err(|f| at(format!("{expected}: {f}")))?;
                }
                greeted = true;
                let final_line = last.text.lines().last().unwrap_or_default();
                if !final_line.starts_with(&expected) {
                    return Err(at(format!("expected {expected:?}: {:?}", last.text)));
                }
            }
            Step::Contains(text) if !last.text.lines().any(|l| l.contains(&text)) => {
                return Err(at(format!("no {text:?} in {:?}", last.text)));
            }
            Step::Lacks(text) if last.text.lines().any(|l| l.contains(&text)) => {
                return Err(at(format!("{text:?} in {:?}", last.text)));
            }
            Step::Contains(_) | Step::Lacks(_) => {}
            Step::Handshake => {
                // A listener that begins with TLS has been met so already.
                if dialogue.listener != "implicit" {
                    client = client.handshake(config, name).await.map_err(|f| at(f.to_string()))?;
                }
            }
            Step::Closed => {
                let rest = client.closed().await;
                let rest = String::from_utf8_lossy(&rest).into_owned();
                return if rest.is_empty() { Ok(()) } else { Err(at(format!("it still said {rest:?}"))) };
            }
        }
    }
    Ok(())
}

/// The greeting was read on connecting; the first expectation is about it.
fn dialogue_skips_greeting(expected: &str, greeting: &Reply) -> bool {
    !expected.starts_with("220") && greeting.code == 220
}
