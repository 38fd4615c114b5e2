//! Display and conversion of small connector types. No decisions are made here.

use std::fmt;

use super::{InboundTls, NextHop, Revision, SmartHost, SmartHostName, TrustId};

impl TrustId {
    /// The trust anchors of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self("system".into())
    }
}

impl InboundTls {
    /// The configuration word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Forced(_) => "forced",
        }
    }
}

impl fmt::Display for TrustId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SmartHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Ip(ip) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx { port } => write!(f, "mx, port {port}"),
            Self::SmartHosts(hosts) => {
                f.write_str(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
