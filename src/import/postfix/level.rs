//! TLS security levels of Postfix, with their attributes, to what a connector asks of TLS.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::sketch::{ForcedSketch, NO_KEY, Proof, TlsSketch};
use super::main_cf::{ParameterScope, split_list};
use crate::connector::DomainPattern;

/// A security level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecurityLevel {
    None,
    May,
    Encrypt,
    Dane,
    DaneOnly,
    Fingerprint,
    Verify,
    Secure,
}

/// A level and what narrows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsPolicy {
    pub(super) level: SecurityLevel,
    /// Names or fingerprints, instead of those of `main.cf`.
    matches: Option<Vec<String>>,
    protocols: Option<String>,
    anchors: Option<String>,
    server_name: Option<String>,
    unknown: Vec<(String, String)>,
}

/// What the TLS of a connector becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LevelMeaning {
    pub(super) tls: TlsSketch,
    pub(super) remember: bool,
    pub(super) sni: Option<String>,
    pub(super) remarks: Vec<Leftover>,
}

impl SecurityLevel {
    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "dane" => Self::Dane,
            "dane-only" => Self::DaneOnly,
            "fingerprint" => Self::Fingerprint,
            "verify" => Self::Verify,
            "secure" => Self::Secure,
            _ => return None,
        })
    }

    /// As Postfix writes it.
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::May => "may",
            Self::Encrypt => "encrypt",
            Self::Dane => "dane",
            Self::DaneOnly => "dane-only",
            Self::Fingerprint => "fingerprint",
            Self::Verify => "verify",
            Self::Secure => "secure",
        }
    }
}

impl TlsPolicy {
    fn of(level: SecurityLevel) -> Self {
        Self { level, matches: None, protocols: None, anchors: None, server_name: None, unknown: Vec::new() }
    }

    /// `secure match=a.example:.b.example protocols=>=TLSv1.2`.
    pub(super) fn parse(place: &str, key: &str, value: &str) -> Result<Self, ImportFault> {
        let fault = |value: &str, expected| ImportFault::Value {
            place: place.to_owned(),
            field: key.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let items = split_list(value);
        let (word, attributes) = items.split_first().ok_or_else(|| fault(value, LEVELS))?;
        let level = SecurityLevel::parse(word).ok_or_else(|| fault(word, LEVELS))?;
        let mut policy = Self::of(level);
        for attribute in attributes {
            let plain = attribute.trim_matches(['{', '}']);
            let (name, value) = plain.split_once('=').ok_or_else(|| fault(attribute, "name=value"))?;
            let (name, value) = (name.trim(), value.trim().to_owned());
            match name {
                // Fingerprints have colons of their own.
                "match" if level == SecurityLevel::Fingerprint => {
                    policy.matches.get_or_insert_default().extend(value.split('|').map(str::to_owned));
                }
                "match" => policy.matches.get_or_insert_default().extend(value.split(':').map(str::to_owned)),
                "protocols" => policy.protocols = Some(value),
                "tafile" => policy.anchors = Some(value),
                "servername" => policy.server_name = Some(value),
                // Ours are AEAD with forward secrecy, which every grade admits.
                "ciphers" if ["high", "medium", "low", "export"].contains(&value.as_str()) => {}
                "connection_reuse" => {}
                _ => policy.unknown.push((name.to_owned(), value)),
            }
        }
        Ok(policy)
    }

    /// The level of `main.cf` or of a service.
    pub(super) fn usual(scope: &ParameterScope<'_>) -> Result<Self, ImportFault> {
        let written = scope.value("smtp_tls_security_level")?;
        if !written.is_empty() {
            return Self::parse("main.cf", "smtp_tls_security_level", &written);
        }
        // The parameters before Postfix 2.3.
        Ok(Self::of(match (scope.flag("smtp_enforce_tls")?, scope.flag("smtp_use_tls")?) {
            (true, _) if scope.flag("smtp_tls_enforce_peername")? => SecurityLevel::Verify,
            (true, _) => SecurityLevel::Encrypt,
            (false, true) => SecurityLevel::May,
            (false, false) => SecurityLevel::None,
        }))
    }

    /// A value of `smtp_tls_per_site`.
    pub(super) fn per_site(place: &str, key: &str, value: &str) -> Result<Self, ImportFault> {
        Ok(Self::of(match value.to_ascii_uppercase().as_str() {
            "NONE" => SecurityLevel::None,
            "MAY" => SecurityLevel::May,
            "MUST_NOPEERMATCH" => SecurityLevel::Encrypt,
            "MUST" => SecurityLevel::Verify,
            _ => {
                return Err(ImportFault::Value {
                    place: place.to_owned(),
                    field: key.to_owned(),
                    value: value.to_owned(),
                    expected: "NONE, MAY, MUST or MUST_NOPEERMATCH",
                });
            }
        }))
    }

    /// What a connector asks, for mail exchangers of `pattern` or for smart hosts of a name.
    pub(super) fn outcome(
        &self,
        scope: &ParameterScope<'_>,
        pattern: &DomainPattern,
        host: Option<&str>,
        anchors: &Anchors,
    ) -> Result<LevelMeaning, ImportFault> {
        let mut outcome = LevelMeaning::default();
        let mut demand = ForcedSketch::default();
        let shown = self.level.word();
        let remark = |outcome: &mut LevelMeaning, why: &str, instead: &str| {
            outcome.remarks.push(Leftover::new("TLS security level", shown, why, instead));
        };
        outcome.tls = match self.level {
            SecurityLevel::None => TlsSketch::Off,
            SecurityLevel::May => TlsSketch::Opportunistic,
            SecurityLevel::Dane => {
                outcome.remember = true;
                remark(
                    &mut outcome,
                    "TLSA records are not looked up, so a domain that publishes them is not held to them",
                    "write tls = \"forced\" with peer_names or pins for such domains",
                );
                TlsSketch::Opportunistic
            }
            SecurityLevel::Encrypt => TlsSketch::Forced(demand),
            SecurityLevel::DaneOnly => {
                remark(
                    &mut outcome,
                    "TLSA records are not looked up; the certificate must present the domain's name instead",
                    "write the names of its hosts in peer_names, or their pins",
                );
                demand.require = Proof::Identity(Vec::new());
                TlsSketch::Forced(demand)
            }
            SecurityLevel::Fingerprint => {
                let digest = scope.value("smtp_tls_fingerprint_digest")?;
                let written = match &self.matches {
                    Some(matches) => matches.clone(),
                    None => scope.list("smtp_tls_fingerprint_cert_match")?,
                };
                demand.pins = pins("match", &written, &digest, &mut outcome.remarks);
                TlsSketch::Forced(demand)
            }
            SecurityLevel::Verify | SecurityLevel::Secure => {
                let names = self.names(scope, pattern, host, &mut outcome)?;
                demand.require = Proof::Identity(names);
                self.trust(anchors, &mut demand, &mut outcome);
                TlsSketch::Forced(demand)
            }
        };
        self.version(scope, &mut outcome)?;
        self.server_name(host, &mut outcome);
        for (name, value) in &self.unknown {
            let why = "this attribute has no counterpart";
            outcome.remarks.push(Leftover::new(
                name,
                value,
                why,
                "ours are TLS 1.2 and 1.3 with AEAD suites only",
            ));
        }
        Ok(outcome)
    }

    /// The names of which the certificate must present one.
    fn names(
        &self,
        scope: &ParameterScope<'_>,
        pattern: &DomainPattern,
        host: Option<&str>,
        outcome: &mut LevelMeaning,
    ) -> Result<Vec<String>, ImportFault> {
        let written = match (&self.matches, self.level) {
            (Some(matches), _) => matches.clone(),
            (None, SecurityLevel::Secure) => scope.list("smtp_tls_secure_cert_match")?,
            (None, _) => scope.list("smtp_tls_verify_cert_match")?,
        };
        // The next hop's name for TLS: a host as written, or the recipient's domain, which only one domain can be.
        let next_hop = match (host, pattern) {
            (Some(host), _) => Some(host.to_owned()),
            (None, DomainPattern::Exact(domain)) => Some(domain.to_string()),
            (None, DomainPattern::Below(_) | DomainPattern::Any) => None,
        };
        let mut names = Vec::new();
        let mut add = |name: String| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        for word in &written {
            match (word.as_str(), &next_hop) {
                ("nexthop", Some(name)) => add(name.clone()),
                ("dot-nexthop", Some(name)) => add(format!("*.{name}")),
                ("hostname", Some(name)) if host.is_some() => add(name.clone()),
                ("nexthop" | "dot-nexthop" | "hostname", None) => {}
                ("hostname", Some(name)) => {
                    add(name.clone());
                    add(format!("*.{name}"));
                }
                (word, _) => match word.strip_prefix('.') {
                    Some(rest) => add(format!("*.{rest}")),
                    None => add(word.to_owned()),
                },
            }
        }
        let remark = |setting: &str, why: &str, instead: &str| Leftover::new("match", setting, why, instead);
        if written.iter().any(|word| word == "hostname") && host.is_none() {
            outcome.remarks.push(remark(
                "hostname",
                "the name of a mail exchanger from DNS is not taken: whoever can change the answer chooses it",
                "write the names that its hosts present in peer_names; until then the domain itself must be presented",
            ));
        } else if next_hop.is_none() && written.iter().any(|word| word == "dot-nexthop") && names.is_empty() {
            outcome.remarks.push(remark(
                "nexthop, dot-nexthop",
                "the recipient's domain must be presented here, a name below it is not enough",
                "give such domains connectors of their own with peer_names",
            ));
        }
        if names.iter().any(|name| name.starts_with("*.")) && self.matches.is_some() {
            outcome.remarks.push(remark(
                &written.join(":"),
                "a leading dot stands for names of any depth there, \"*.\" here for one label",
                "add the deeper names to peer_names if its hosts have such",
            ));
        }
        // What Sealpost expects by itself need not be written.
        let usual = [next_hop.unwrap_or_default()];
        Ok(if names == usual { Vec::new() } else { names })
    }

    fn trust(&self, anchors: &Anchors, demand: &mut ForcedSketch, outcome: &mut LevelMeaning) {
        let of = match &self.anchors {
            Some(path) => anchors.of_policy.iter().find(|(known, _)| known == path).map(|(_, set)| set),
            None => Some(&anchors.usual),
        };
        match of {
            Some(AnchorSet::System) => {}
            Some(AnchorSet::File(id)) => demand.trust = vec![id.clone()],
            Some(AnchorSet::Unset) => outcome.remarks.push(Leftover::new(
                "smtp_tls_CAfile, smtp_tls_CApath",
                "empty",
                "without trust anchors nothing is delivered at this level",
                "the operating system's are used now; write trust if others are meant",
            )),
            Some(AnchorSet::Missing(id)) => {
                demand.pins = vec![NO_KEY.to_owned()];
                outcome.remarks.push(Leftover::new(
                    "trust anchors",
                    id,
                    "their file is missing, so a pin that no key has keeps the mail back",
                    format!("put the file there, write trust = [\"{id}\"], and remove the pin"),
                ));
            }
            None => demand.pins = vec![NO_KEY.to_owned()],
        }
    }

    /// TLS 1.2 is the oldest version here, so only a floor above it is written.
    fn version(&self, scope: &ParameterScope<'_>, outcome: &mut LevelMeaning) -> Result<(), ImportFault> {
        let forced = matches!(outcome.tls, TlsSketch::Forced(_));
        let parameter = if forced { "smtp_tls_mandatory_protocols" } else { "smtp_tls_protocols" };
        let written = match &self.protocols {
            Some(protocols) => protocols.clone(),
            None => scope.value(parameter)?,
        };
        let setting = if self.protocols.is_some() { "protocols" } else { parameter };
        let range = Versions::parse(&written);
        if let (TlsSketch::Forced(demand), true) = (&mut outcome.tls, range.only_13) {
            demand.only_13 = true;
        } else if range.only_13 && outcome.tls == TlsSketch::Opportunistic {
            outcome.remarks.push(Leftover::new(
                setting,
                &written,
                "opportunistic TLS takes every version it has rather than plaintext",
                "write tls = \"forced\" with min_version = \"1.3\" to require it",
            ));
        }
        if range.not_13 {
            outcome.remarks.push(Leftover::new(
                setting,
                &written,
                "TLS 1.3 can't be turned off",
                "nothing, unless a host fails with it",
            ));
        }
        Ok(())
    }

    fn server_name(&self, host: Option<&str>, outcome: &mut LevelMeaning) {
        match self.server_name.as_deref() {
            None | Some("hostname") => {}
            Some("nexthop") if host.is_some() => {}
            Some("nexthop") => outcome.remarks.push(Leftover::new(
                "servername",
                "nexthop",
                "the name of the host is sent, not the recipient's domain",
                "write sni if its hosts need the domain",
            )),
            Some(name) => outcome.sni = Some(name.to_owned()),
        }
    }
}

/// Where the trust anchors of verified levels are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum AnchorSet {
    System,
    File(String),
    Missing(String),
    #[default]
    Unset,
}

/// The anchors of `main.cf`, and those that policies name by `tafile=`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Anchors {
    pub(super) usual: AnchorSet,
    pub(super) of_policy: Vec<(String, AnchorSet)>,
}

impl TlsPolicy {
    /// The file of `tafile=`.
    pub(super) fn anchors(&self) -> Option<&String> {
        self.anchors.as_ref()
    }
}

/// Which versions of a `protocols` list matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Versions {
    only_13: bool,
    not_13: bool,
}

impl Versions {
    fn parse(text: &str) -> Self {
        let items: Vec<String> = text
            .split([',', ':', ' '])
            .map(str::to_ascii_lowercase)
            .filter(|item| !item.is_empty())
            .collect();
        let has = |wanted: &str| items.iter().any(|item| item == wanted);
        let named: Vec<&String> = items.iter().filter(|item| !item.starts_with(['!', '>', '<'])).collect();
        let only = |version: &str| !named.is_empty() && named.iter().all(|item| *item == version);
        let without = |version: &str| !named.is_empty() && !named.iter().any(|item| *item == version);
        Self {
            only_13: has(">=tlsv1.3") || has("!tlsv1.2") || only("tlsv1.3"),
            not_13: has("<=tlsv1.2") || has("!tlsv1.3") || without("tlsv1.3"),
        }
    }
}

/// Fingerprints as pins. Of a key with SHA-256 they are the same octets; of a whole certificate they are not, and then no
/// key has such a pin: nothing becomes looser.
pub(super) fn pins(
    setting: &str,
    written: &[String],
    digest: &str,
    remarks: &mut Vec<Leftover>,
) -> Vec<String> {
    let mut pins = Vec::new();
    if written.is_empty() {
        let why = "no fingerprint is written, so nothing matches";
        remarks.push(Leftover::new(setting, "empty", why, "write the pin that `sealpost cert show` prints"));
    }
    for fingerprint in written {
        let octets = octets(fingerprint).filter(|octets| octets.len() == 32 && digest == "sha256");
        if let Some(octets) = octets {
            pins.push(format!("sha256/{}", base64(&octets)));
        } else {
            remarks.push(Leftover::new(
                setting,
                fingerprint,
                format!("pins are SHA-256 of the public key, and this is a fingerprint by {digest}"),
                "write the pin that `sealpost cert show` prints, in place of the one that no key has",
            ));
        }
    }
    if !pins.is_empty() {
        remarks.push(Leftover::new(
            setting,
            written.join(", "),
            "Postfix compares the fingerprint of the certificate and of its key, a pin is that of the key",
            "if it is the certificate's, write the pin that `sealpost cert show` prints; until then nothing matches it",
        ));
    }
    if pins.is_empty() {
        pins.push(NO_KEY.to_owned());
    }
    pins
}

/// `AB:CD:…`.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum * 16 + digit));
    pairs.map(|octet| u8::try_from(octet).ok()).collect()
}

fn base64(octets: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(octets)
}

const LEVELS: &str = "none, may, encrypt, dane, dane-only, fingerprint, verify or secure";

#[cfg(test)]
mod tests {
    use super::super::main_cf::{Assignments, parameters};
    use super::*;

    #[track_caller]
    fn check(value: &str, pattern: &str, host: Option<&str>, expected: &str) {
        let main = parameters("main.cf", "compatibility_level = 3.6\n").expect("parameters");
        let scope = ParameterScope { overrides: &Assignments::new(), main: &main };
        let pattern = DomainPattern::parse(pattern).expect("a pattern");
        let anchors = Anchors { usual: AnchorSet::System, of_policy: Vec::new() };
        let made = TlsPolicy::parse("tls_policy", "key", value)
            .and_then(|policy| policy.outcome(&scope, &pattern, host, &anchors))
            .map(|made| {
                let tls = match made.tls {
                    TlsSketch::Off => "off".to_owned(),
                    TlsSketch::Opportunistic => "opportunistic".to_owned(),
                    TlsSketch::Forced(demand) => {
                        let require = match demand.require {
                            Proof::Encryption => "encryption".to_owned(),
                            Proof::Chain => "chain".to_owned(),
                            Proof::Identity(names) => format!("identity {}", names.join(" ")),
                        };
                        let version = if demand.only_13 { " 1.3" } else { "" };
                        format!("{}{version} {}", require.trim(), demand.pins.join(" ")).trim().to_owned()
                    }
                };
                format!("{tls}; {} remarks", made.remarks.len())
            });
        assert_eq!(made.unwrap_or_else(|fault| fault.to_string()), expected, "{value}");
    }

    #[test]
    fn each_level_is_as_strict_here() {
        check("none", "a.example", None, "off; 0 remarks");
        check("may", "a.example", None, "opportunistic; 0 remarks");
        check("encrypt ciphers=high", "a.example", None, "encryption; 0 remarks");
        check("dane", "a.example", None, "opportunistic; 1 remarks");
        check("dane-only", "a.example", None, "identity; 1 remarks");
        check("secure", "a.example", None, "identity a.example *.a.example; 0 remarks");
        check("secure", "*.a.example", None, "identity; 1 remarks");
        check("secure", "*", Some("mx.b.example"), "identity mx.b.example *.mx.b.example; 0 remarks");
        check(
            "secure match=mx.b.example:.c.example",
            "a.example",
            None,
            "identity mx.b.example *.c.example; 1 remarks",
        );
        check("verify", "a.example", None, "identity a.example *.a.example; 1 remarks");
        check("verify", "*", Some("mx.b.example"), "identity; 0 remarks");
        check("encrypt protocols=>=TLSv1.3", "a.example", None, "encryption 1.3; 0 remarks");
        check("encrypt protocols=!SSLv2:!SSLv3:!TLSv1", "a.example", None, "encryption; 0 remarks");
        check("encrypt protocols=TLSv1.2", "a.example", None, "encryption; 1 remarks");
        check("may protocols=TLSv1.3", "a.example", None, "opportunistic; 1 remarks");
        check("encrypt exclude=aNULL", "a.example", None, "encryption; 1 remarks");
        let sha256 = vec!["0F"; 32].join(":");
        check(
            &format!("fingerprint match={sha256}"),
            "a.example",
            None,
            "encryption sha256/Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=; 1 remarks",
        );
        check(
            "fingerprint match=00:11|22:33",
            "a.example",
            None,
            "encryption sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; 2 remarks",
        );
        check(
            "fingerprint",
            "a.example",
            None,
            "encryption sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; 1 remarks",
        );
        check(
            "secured",
            "a.example",
            None,
            "tls_policy: key is \"secured\", which is not none, may, encrypt, dane, dane-only, fingerprint, verify or secure",
        );
    }
}
