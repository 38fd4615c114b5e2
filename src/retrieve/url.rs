//! An `http` URL as certificates and the configuration have them, and the `https` one of a webhook (RFC 3986, RFC 9110 §4.2).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mail::Domain;

/// Where to send a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Name or address of the server.
    pub host: UrlHost,
    /// Its port.
    pub port: u16,
    /// Path and query, as they are sent.
    pub path: String,
    /// Whether it is https.
    pub secure: bool,
}

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlHost {
    /// A name, for DNS.
    Name(Domain),
    /// An address.
    Ip(IpAddr),
}

/// Why a URL can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Another scheme.
    #[error("{0} is not fetched: only http:// is, since what is fetched is signed itself")]
    Scheme(String),
    /// What is sent would be in plaintext.
    #[error(
        "http:// would send alerts in plaintext; write https://, or an address of this machine, such as http://127.0.0.1:8080/"
    )]
    Plaintext,
    /// Neither http nor https.
    #[error("{0} is not a way to post notices; write https://HOST/PATH")]
    NotWeb(String),
    /// It is not a URL.
    #[error("it is not a valid URL: {0}")]
    Malformed(&'static str),
}

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`UrlFault`].
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlFault::Malformed("it has no scheme; write http://HOST/PATH"));
        };
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlFault::Scheme(shown(scheme)));
        }
        Self::rest(rest, false)
    }

    /// Parses the URL of a webhook: https, or http to an address of this machine.
    ///
    /// # Errors
    /// [`UrlFault`].
    pub fn parse_webhook(text: &str) -> Result<Self, UrlFault> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlFault::Malformed("it has no scheme; write https://HOST/PATH"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Self::rest(rest, true),
            "http" => match Self::rest(rest, false)? {
                url @ Self { host: UrlHost::Ip(ip), .. } if ip.is_loopback() => Ok(url),
                _ => Err(UrlFault::Plaintext),
            },
            _ => Err(UrlFault::NotWeb(shown(scheme))),
        }
    }

    /// Everything after the scheme.
    fn rest(rest: &str, secure: bool) -> Result<Self, UrlFault> {
        if !rest.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(UrlFault::Malformed(
                "it has blanks or other characters that must be percent-encoded",
            ));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(UrlFault::Malformed("it has a user name"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (ip, after) =
                    bracketed.split_once(']').ok_or(UrlFault::Malformed("a bracket is not closed"))?;
                let ip: Ipv6Addr = ip.parse().map_err(|_| UrlFault::Malformed("its address is wrong"))?;
                (UrlHost::Ip(ip.into()), after.strip_prefix(':').or(after.is_empty().then_some("")))
            }
            None => {
                let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
                (host(name)?, Some(port))
            }
        };
        let port = match port {
            Some("") => usual_port(secure),
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(UrlFault::Malformed("its port is out of range"))?,
            Some(_) | None => return Err(UrlFault::Malformed("its port is not a number")),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host, port, path, secure })
    }

    /// Host and port as the Host field has them.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == usual_port(self.secure) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn shown(scheme: &str) -> String {
    let scheme: String = scheme.chars().filter(|c| c.is_ascii_alphanumeric()).take(16).collect();
    format!("{}://", scheme.to_ascii_lowercase())
}

fn host(name: &str) -> Result<UrlHost, UrlFault> {
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        return Ok(UrlHost::Ip(ip.into()));
    }
    // A name that ends in a number is an odd spelling of an IPv4 address to others (0x7f.1, 2130706433).
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.bytes().next().is_some_and(|octet| octet.is_ascii_digit()) {
        return Err(UrlFault::Malformed("its host is neither a name nor an address"));
    }
    Domain::parse(name).map(UrlHost::Name).map_err(|_| UrlFault::Malformed("its host is not a valid name"))
}

impl fmt::Display for UrlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = HttpUrl::parse(text)
            .map_or_else(|fault| fault.to_string(), |url| format!("{} {} {}", url.host, url.port, url.path));
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn a_url_is_host_port_and_path() {
        check("http://crl.example/a.crl", "crl.example 80 /a.crl");
        check("HTTP://CRL.Example:8080?x=1", "crl.example 8080 /?x=1");
        check("http://crl.example", "crl.example 80 /");
        check("http://crl.example/a%20b/#part", "crl.example 80 /a%20b/");
        check("http://192.0.2.7:81/x", "192.0.2.7 81 /x");
        check("http://[2001:db8::1]/", "[2001:db8::1] 80 /");
        check("http://[2001:db8::1]:81/", "[2001:db8::1] 81 /");
        check("http://crl.example:/x", "crl.example 80 /x");
    }

    #[test]
    fn a_webhook_is_posted_to_in_plaintext_on_this_machine_only() {
        let check = |text: &str, expected: &str| {
            let told = HttpUrl::parse_webhook(text).map_or_else(
                |fault| fault.to_string(),
                |url| format!("{} {} {}", url.authority(), url.port, url.path),
            );
            assert_eq!(told, expected, "{text}");
        };
        check("https://hooks.example/a?b=1", "hooks.example 443 /a?b=1");
        check("HTTPS://hooks.example:8443", "hooks.example:8443 8443 /");
        check("https://hooks.example:80/", "hooks.example:80 80 /");
        check("http://127.0.0.1:8080/x", "127.0.0.1:8080 8080 /x");
        check("http://[::1]/x", "[::1] 80 /x");
        let plaintext = UrlFault::Plaintext.to_string();
        check("http://hooks.example/", &plaintext);
        check("http://10.0.0.1/", &plaintext);
        // A name may lead elsewhere.
        check("http://localhost/", &plaintext);
        check("ftp://hooks.example/", "ftp:// is not a way to post notices; write https://HOST/PATH");
        check("hooks.example", "it is not a valid URL: it has no scheme; write https://HOST/PATH");
    }

    #[test]
    fn what_is_no_http_url_says_why() {
        let scheme = |name: &str| {
            format!("{name} is not fetched: only http:// is, since what is fetched is signed itself")
        };
        check("ldap://crl.example/cn=x", &scheme("ldap://"));
        check("https://crl.example/", &scheme("https://"));
        for (text, why) in [
            ("crl.example/x", "it has no scheme; write http://HOST/PATH"),
            ("http:///x", "its host is not a valid name"),
            ("http://a@crl.example/", "it has a user name"),
            ("http://crl.example/a b", "it has blanks or other characters that must be percent-encoded"),
            (
                "http://crl.example/\r\nHost: x",
                "it has blanks or other characters that must be percent-encoded",
            ),
            ("http://crl.example:99999/", "its port is out of range"),
            ("http://crl.example:0/", "its port is out of range"),
            ("http://crl.example:x/", "its port is not a number"),
            ("http://[::1/", "a bracket is not closed"),
            ("http://[::1]x/", "its port is not a number"),
            ("http://0x7f.1/", "its host is neither a name nor an address"),
            ("http://2130706433/", "its host is neither a name nor an address"),
        ] {
            check(text, &format!("it is not a valid URL: {why}"));
        }
    }
}
