//! The messages of the hybrid lab: who sends what to whom, which way it goes, and what Exchange makes
//! of it. Pure data.

use super::hosts::{LabHost, OWN_DOMAIN, ROUTING_DOMAIN};
use super::outside::OutsideCause;

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct HybridCase {
    /// Its name in the table.
    pub id: &'static str,
    /// The host that submits it to the gateway.
    pub sender: LabHost,
    /// How the sender uses TLS.
    pub tls: SenderTls,
    /// The reverse-path; empty for a report.
    pub from: &'static str,
    /// The forward-path.
    pub to: &'static str,
    /// What its sender's system wrote into its header section.
    pub marks: SenderMarks,
    /// The hosts that the gateway hands it to, in order; empty if the gateway refuses it.
    pub legs: &'static [HybridLeg],
    /// The beginning of the reply by which the last one refuses it, be it the gateway; else empty.
    pub reply: &'static str,
    /// What the last host makes of it, if that is Exchange.
    pub treated: Option<ExpectedTreatment>,
}

/// A step from the gateway to a host.
#[derive(Debug, Clone, Copy)]
pub struct HybridLeg {
    /// The host.
    pub host: LabHost,
    /// The connector forces TLS.
    pub forced: bool,
}

/// How a sender uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderTls {
    /// Not at all.
    Plaintext,
    /// STARTTLS without a certificate.
    Anonymous,
    /// STARTTLS with its certificate.
    Certificate,
}

/// What a sender's system writes into the header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderMarks {
    /// Nothing.
    None,
    /// Exchange's cross-premises headers: the author is one of us.
    Internal,
    /// Exchange's cross-premises headers: the author is not one of us.
    Anonymous,
    /// Those of another tenant about an author of its own.
    OtherTenant,
    /// Headers of the organisation that a send connector should have removed.
    Leaking,
    /// Forged ones: the author is one of us.
    Forged,
}

/// What Exchange makes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedTreatment {
    /// As mail of our own organisation.
    Internal,
    /// As mail from outside.
    External(OutsideCause),
}

impl HybridCase {
    /// The host where it should arrive.
    #[must_use]
    pub fn end(&self) -> Option<LabHost> {
        self.legs.last().map(|leg| leg.host)
    }

    /// The forward-paths that it has on its way.
    #[must_use]
    pub fn forward_paths(&self) -> Vec<String> {
        let moved = (self.to == MOVED).then(|| MOVED.replace(OWN_DOMAIN, ROUTING_DOMAIN));
        std::iter::once(self.to.to_owned()).chain(moved).collect()
    }

    /// The way it takes, in words.
    #[must_use]
    pub fn way(&self) -> Vec<&'static str> {
        let legs = self.legs.iter().flat_map(|leg| ["gateway", leg.host.word()]);
        let refused = self.legs.is_empty().then_some("gateway");
        std::iter::once(self.sender.word()).chain(legs).chain(refused).collect()
    }
}

/// The case of this name.
#[must_use]
pub fn named(id: &str) -> Option<&'static HybridCase> {
    CASES.iter().find(|case| case.id == id)
}

/// All messages, in the order of the table.
pub const CASES: &[HybridCase] = &[
    // Between the two sides.
    exchange("onprem-to-cloud", LabHost::Onprem, "ann@contoso.lab.test", CARL, TO_CLOUD),
    exchange("cloud-to-onprem", LabHost::Cloud, "carl@contoso.lab.test", ANN, TO_ONPREM),
    exchange("cloud-report", LabHost::Cloud, "", ANN, TO_ONPREM),
    HybridCase {
        marks: SenderMarks::Anonymous,
        treated: Some(ExpectedTreatment::External(OutsideCause::AuthorNotOurs)),
        ..exchange("onprem-redirect", LabHost::Onprem, "eve@fabrikam.lab.test", CARL, TO_CLOUD)
    },
    HybridCase {
        marks: SenderMarks::OtherTenant,
        treated: Some(ExpectedTreatment::External(OutsideCause::NoCrossPremisesHeaders)),
        ..exchange("other-tenant", LabHost::Cloud, "mallory@adatum.lab.test", ANN, TO_ONPREM)
    },
    // From and to the internet.
    outside("internet-to-onprem", "ada@world.lab.test", ANN, SenderTls::Plaintext, TO_ONPREM),
    outside("internet-over-tls", "bob@world.lab.test", ANN, SenderTls::Anonymous, TO_ONPREM),
    HybridCase {
        marks: SenderMarks::Forged,
        ..outside("internet-forged", "mallory@world.lab.test", ANN, SenderTls::Anonymous, TO_ONPREM)
    },
    outside(
        "internet-to-cloud",
        "ada@world.lab.test",
        "tina@tailspin.lab.test",
        SenderTls::Anonymous,
        TO_CLOUD,
    ),
    HybridCase {
        treated: Some(ExpectedTreatment::External(OutsideCause::AuthorNotOurs)),
        ..outside(
            "internet-to-moved",
            "ada@world.lab.test",
            "moved@contoso.lab.test",
            SenderTls::Anonymous,
            &[FORCED_ONPREM, FORCED_CLOUD],
        )
    },
    refused("internet-as-us", "boss@contoso.lab.test", ANN, "550 5.7.1"),
    refused("internet-relay", "ada@world.lab.test", "eve@fabrikam.lab.test", "550 5.7.1"),
    refused("internet-as-partner", "eve@fabrikam.lab.test", ANN, "550 5.7.10"),
    outgoing(
        "onprem-to-internet",
        "ada@world.lab.test",
        &[HybridLeg { host: LabHost::Internet, forced: false }],
    ),
    // Centralised transport: mail of Exchange Online goes by way of Exchange Server.
    HybridCase {
        treated: None,
        ..exchange(
            "cloud-to-internet",
            LabHost::Cloud,
            "carl@contoso.lab.test",
            "ada@world.lab.test",
            &[FORCED_ONPREM, HybridLeg { host: LabHost::Internet, forced: false }],
        )
    },
    HybridCase {
        treated: None,
        ..exchange(
            "cloud-to-partner",
            LabHost::Cloud,
            "carl@contoso.lab.test",
            "eve@fabrikam.lab.test",
            &[FORCED_ONPREM, forced(LabHost::Partner)],
        )
    },
    HybridCase {
        marks: SenderMarks::OtherTenant,
        treated: None,
        reply: "550 5.7.54",
        ..exchange(
            "other-tenant-relay",
            LabHost::Cloud,
            "mallory@adatum.lab.test",
            "ada@world.lab.test",
            TO_ONPREM,
        )
    },
    // The partner, forced in both directions.
    outgoing("onprem-to-partner", "eve@fabrikam.lab.test", &[forced(LabHost::Partner)]),
    partner("partner-to-onprem", LabHost::Partner, "bill@fabrikam.lab.test", ""),
    HybridCase {
        marks: SenderMarks::Forged,
        ..partner("partner-forged", LabHost::Partner, "mallory@fabrikam.lab.test", "")
    },
    // A partner during the renewal of its key: the old and the new one are both accepted.
    outgoing("to-renewal-old", "bob@old.renewal.lab.test", &[forced(LabHost::RenewalOld)]),
    outgoing("to-renewal-new", "bob@new.renewal.lab.test", &[forced(LabHost::RenewalNew)]),
    partner("from-renewal-old", LabHost::RenewalOld, "bob@old.renewal.lab.test", ""),
    partner("from-renewal-new", LabHost::RenewalNew, "bob@new.renewal.lab.test", ""),
    // Partners whose certificates will not do.
    outgoing("to-wrong-name", "bob@wrong-name.partners.lab.test", &[forced(LabHost::WrongName)]),
    outgoing(
        "to-no-intermediate",
        "bob@no-intermediate.partners.lab.test",
        &[forced(LabHost::NoIntermediate)],
    ),
    outgoing("to-revoked", "bob@revoked.partners.lab.test", &[forced(LabHost::Revoked)]),
    outgoing("to-expired", "bob@expired.partners.lab.test", &[forced(LabHost::Expired)]),
    partner("from-wrong-name", LabHost::WrongName, "bob@wrong-name.partners.lab.test", NO_MATCH),
    partner(
        "from-no-intermediate",
        LabHost::NoIntermediate,
        "bob@no-intermediate.partners.lab.test",
        NO_MATCH,
    ),
    partner("from-revoked", LabHost::Revoked, "bob@revoked.partners.lab.test", NO_MATCH),
    partner("from-expired", LabHost::Expired, "bob@expired.partners.lab.test", NO_MATCH),
];

const ANN: &str = "ann@contoso.lab.test";
const CARL: &str = "carl@contoso.mail.onmicrosoft.lab.test";
/// The mailbox that moved: Exchange Server sends its mail on to Exchange Online.
pub const MOVED: &str = "moved@contoso.lab.test";
const NO_MATCH: &str = "550 5.7.1";

const FORCED_ONPREM: HybridLeg = forced(LabHost::Onprem);
const FORCED_CLOUD: HybridLeg = forced(LabHost::Cloud);
const TO_ONPREM: &[HybridLeg] = &[FORCED_ONPREM];
const TO_CLOUD: &[HybridLeg] = &[FORCED_CLOUD];

const fn forced(host: LabHost) -> HybridLeg {
    HybridLeg { host, forced: true }
}

const fn exchange(
    id: &'static str,
    sender: LabHost,
    from: &'static str,
    to: &'static str,
    legs: &'static [HybridLeg],
) -> HybridCase {
    HybridCase {
        id,
        sender,
        tls: SenderTls::Certificate,
        from,
        to,
        marks: SenderMarks::Internal,
        legs,
        reply: "",
        treated: Some(ExpectedTreatment::Internal),
    }
}

const fn outside(
    id: &'static str,
    from: &'static str,
    to: &'static str,
    tls: SenderTls,
    legs: &'static [HybridLeg],
) -> HybridCase {
    let treated = Some(ExpectedTreatment::External(OutsideCause::NoCrossPremisesHeaders));
    HybridCase {
        id,
        sender: LabHost::Internet,
        tls,
        from,
        to,
        marks: SenderMarks::None,
        legs,
        reply: "",
        treated,
    }
}

const fn refused(id: &'static str, from: &'static str, to: &'static str, reply: &'static str) -> HybridCase {
    HybridCase { reply, treated: None, ..outside(id, from, to, SenderTls::Plaintext, &[]) }
}

const fn outgoing(id: &'static str, to: &'static str, legs: &'static [HybridLeg]) -> HybridCase {
    HybridCase { marks: SenderMarks::Leaking, treated: None, ..exchange(id, LabHost::Onprem, ANN, to, legs) }
}

/// `reply`: what the gateway answers; empty if it accepts the message.
const fn partner(id: &'static str, sender: LabHost, from: &'static str, reply: &'static str) -> HybridCase {
    let legs = if reply.is_empty() { TO_ONPREM } else { &[] };
    let treated = if reply.is_empty() {
        Some(ExpectedTreatment::External(OutsideCause::NoCrossPremisesHeaders))
    } else {
        None
    };
    HybridCase { marks: SenderMarks::None, treated, reply, ..exchange(id, sender, from, ANN, legs) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_envelope_is_one_message() {
        // What a stand-in refuses is recognised by the envelope alone.
        let envelopes: BTreeSet<_> = CASES.iter().map(|case| (case.from, case.to)).collect();
        let ids: BTreeSet<_> = CASES.iter().map(|case| case.id).collect();
        assert_eq!((envelopes.len(), ids.len()), (CASES.len(), CASES.len()));
    }

    #[test]
    fn what_is_refused_goes_nowhere_and_what_exchange_gets_is_judged() {
        for case in CASES {
            assert!(!case.legs.is_empty() || !case.reply.is_empty(), "{}", case.id);
            let is_kept = case.reply.is_empty() && case.end().is_some_and(LabHost::is_exchange);
            assert_eq!(is_kept, case.treated.is_some(), "{}", case.id);
        }
    }
}
