//! What a message requires of the way it leaves, whatever connector serves its recipients.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::requirement::Requirement;

/// What is required for sending accepted mail on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Onward {
    /// It is sent by whichever connector serves the recipient.
    #[default]
    Any,
    /// It is sent only over sessions under an enforced, forced requirement.
    Sealed,
    /// As [`Self::Sealed`], and the requirement proves by name or key who the host is.
    Identity,
}

impl Onward {
    /// The configuration word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Sealed => "sealed",
            Self::Identity => "identity",
        }
    }

    /// Whether a session under this requirement may carry the mail.
    #[must_use]
    pub fn is_met_by(self, requirement: &Requirement) -> bool {
        match (self, requirement) {
            (Self::Any, _) | (Self::Sealed, Requirement::Forced(_)) => true,
            (Self::Identity, Requirement::Forced(forced)) => forced.identifies(),
            (
                Self::Sealed | Self::Identity,
                Requirement::Off | Requirement::Opportunistic(_) | Requirement::Audit(_),
            ) => false,
        }
    }
}

/// What is required of the way a message leaves, whatever connector serves its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnwardDemand {
    /// How much is required.
    pub level: Onward,
    /// The rules that raised it, separated by commas; `None`: it is what the inbound connector says.
    pub raised_by: Option<Arc<str>>,
    /// How much of it the inbound connector itself requires.
    pub own: Onward,
}

impl OnwardDemand {
    /// What a connector requires of all its mail.
    #[must_use]
    pub fn of_connector(own: Onward) -> Self {
        Self { level: own, raised_by: None, own }
    }

    /// Whether rules require more than the connector does.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.level > self.own
    }

    /// What is required of the way of a report: what the connector says of all its mail. What a rule demands of one
    /// message does not hold for it, so it must repeat nothing of that message.
    #[must_use]
    pub fn for_reports(&self) -> Self {
        Self::of_connector(self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::samples::{chain, identity};
    use crate::connector::{Forced, Pin};

    #[test]
    fn reports_leave_as_the_connector_says_and_not_as_a_rule_does() {
        let demand = |own, level| OnwardDemand { level, raised_by: Some("tag".into()), own };
        for (own, level, is_raised) in [
            (Onward::Any, Onward::Sealed, true),
            (Onward::Sealed, Onward::Identity, true),
            (Onward::Sealed, Onward::Sealed, false),
        ] {
            assert_eq!(demand(own, level).for_reports(), OnwardDemand::of_connector(own));
            assert_eq!(demand(own, level).is_raised(), is_raised);
        }
    }

    #[test]
    fn what_meets_more_meets_less() {
        let pin = Pin { sha256: [7; 32], from: None, until: None };
        let pinned = Forced { pins: vec![pin], ..Forced::encryption() };
        let cases = [
            (Requirement::Off, Onward::Any),
            (Requirement::Opportunistic(None), Onward::Any),
            (Requirement::Audit(identity(&["a.test"])), Onward::Any),
            (Requirement::Forced(Forced::encryption()), Onward::Sealed),
            (Requirement::Forced(chain()), Onward::Sealed),
            (Requirement::Forced(identity(&["a.test"])), Onward::Identity),
            (Requirement::Forced(pinned), Onward::Identity),
        ];
        for (requirement, most) in cases {
            for demand in [Onward::Any, Onward::Sealed, Onward::Identity] {
                assert_eq!(demand.is_met_by(&requirement), demand <= most, "{requirement}: {demand:?}");
            }
        }
    }
}
