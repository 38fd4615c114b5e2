//! What happens to a message while faults are switched on, by the policy and by what hosts do. Pure.

use std::collections::BTreeSet;

use super::cases::{ExpectedTreatment, HybridCase, HybridLeg, SenderMarks, SenderTls};
use super::faults::{FaultSet, HostTrouble, troubles};
use super::hosts::{LabHost, OTHER_TENANT, OWN_DOMAIN};
use super::outside::OutsideCause;
use crate::lab::plan::CaseOutcome;

/// What the policy requires for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What becomes of it.
    pub outcome: CaseOutcome,
    /// Why: the token of the decision, the enhanced status code, or the start of the reply.
    pub because: &'static str,
    /// What the last host makes of it, if it gets there and is Exchange.
    pub treated: Option<ExpectedTreatment>,
}

/// What should happen to this message while these faults are switched on.
#[must_use]
pub fn expect(case: &HybridCase, faults: &FaultSet) -> Expectation {
    let mut treated = treated(case, faults);
    if let Some(refusal) = submission(case.sender, case.tls, faults) {
        // Whoever proves nothing is anybody: what the internet may send, it may send too, as the internet.
        let is_anybody = refusal.because != NO_SESSION && is_anybodys(case);
        if !is_anybody {
            return refusal;
        }
        treated = Some(ExpectedTreatment::External(OutsideCause::NoCrossPremisesHeaders));
    }
    if case.legs.is_empty() {
        return ended(CaseOutcome::Refused, case.reply);
    }
    let mut arrival = ended(CaseOutcome::Deferred, "no-leg");
    for (number, leg) in case.legs.iter().enumerate() {
        // Whoever takes it on sends it as its own: it must then pass the gateway as a client.
        let before = number.checked_sub(1).and_then(|number| case.legs.get(number));
        if let Some(refusal) = before.and_then(|leg| submission(leg.host, SenderTls::Certificate, faults)) {
            return refusal;
        }
        let greylisted = arrival.because == GREYLISTED;
        arrival = delivery(leg, &troubles(leg.host, faults));
        if !matches!(arrival.outcome, CaseOutcome::DeliveredTls | CaseOutcome::DeliveredClear) {
            return arrival;
        }
        if greylisted {
            arrival.because = GREYLISTED;
        }
    }
    if !case.reply.is_empty() {
        return ended(CaseOutcome::Refused, case.reply);
    }
    arrival.treated = treated;
    arrival
}

/// Whether a message is expected to have another fate than without faults.
#[must_use]
pub fn is_changed(case: &HybridCase, faults: &FaultSet) -> bool {
    expect(case, faults) != expect(case, &FaultSet::new())
}

/// Whether the internet may send this: not as we do, nor as a partner with forced TLS, and only to us.
fn is_anybodys(case: &HybridCase) -> bool {
    let domain = |path: &'static str| path.rsplit_once('@').map(|(_, domain)| domain);
    let is_strangers = |domain| domain == OTHER_TENANT || LabHost::Internet.domains().contains(&domain);
    domain(case.from).is_none_or(is_strangers) && domain(case.to).is_some_and(|domain| domain == OWN_DOMAIN)
}

/// What the gateway says to a client in trouble; `None` if it takes the mail as from a sound one.
fn submission(sender: LabHost, tls: SenderTls, faults: &FaultSet) -> Option<Expectation> {
    let troubles = troubles(sender, faults);
    match tls {
        SenderTls::Plaintext => None,
        // A client without TLS 1.2 comes back in plaintext, which the internet may use.
        SenderTls::Anonymous => None,
        SenderTls::Certificate if troubles.contains(&HostTrouble::Tls11Only) => {
            Some(ended(CaseOutcome::Refused, NO_SESSION))
        }
        SenderTls::Certificate if troubles.iter().any(|trouble| trouble.is_certificate()) => {
            Some(ended(CaseOutcome::Refused, "550 5.7.1"))
        }
        SenderTls::Certificate => None,
    }
}

/// What becomes of a message that the gateway hands to a host in trouble.
fn delivery(leg: &HybridLeg, troubles: &BTreeSet<HostTrouble>) -> Expectation {
    let arrived = if leg.forced { "met" } else { "sealed" };
    let found = troubles.iter().find_map(|trouble| {
        let withheld = |because| Some(unmet(leg, because, "clear-after-starttls"));
        match trouble {
            HostTrouble::ConnectionRefused => Some(ended(CaseOutcome::Deferred, "4.4.1")),
            HostTrouble::Slow => Some(ended(CaseOutcome::Deferred, "4.4.2")),
            HostTrouble::NoStartTls => Some(unmet(leg, "starttls-not-offered", "clear-not-offered")),
            HostTrouble::StartTlsRefused => Some(unmet(leg, "starttls-refused", "clear-after-starttls")),
            HostTrouble::Tls11Only => withheld("handshake-broken"),
            // An opportunistic connector does not judge the certificate.
            _ if trouble.is_certificate() && !leg.forced => None,
            HostTrouble::MissingIntermediate => withheld("unknown-issuer"),
            HostTrouble::CertificateExpired => withheld("certificate-expired"),
            HostTrouble::CertificateRevoked => withheld("certificate-revoked"),
            HostTrouble::WrongCertificate => withheld("name-mismatch"),
            HostTrouble::TenantAttribution => Some(ended(CaseOutcome::Refused, "550 5.7.64")),
            HostTrouble::Throttled => Some(ended(CaseOutcome::Deferred, "4.7.500")),
            HostTrouble::Greylisting => Some(ended(CaseOutcome::DeliveredTls, GREYLISTED)),
            HostTrouble::HeadersStripped => None,
        }
    });
    found.unwrap_or_else(|| ended(CaseOutcome::DeliveredTls, arrived))
}

fn unmet(leg: &HybridLeg, forced: &'static str, opportunistic: &'static str) -> Expectation {
    if leg.forced {
        ended(CaseOutcome::Withheld, forced)
    } else {
        ended(CaseOutcome::DeliveredClear, opportunistic)
    }
}

fn treated(case: &HybridCase, faults: &FaultSet) -> Option<ExpectedTreatment> {
    let is_stripped =
        case.end().is_some_and(|end| troubles(end, faults).contains(&HostTrouble::HeadersStripped));
    // What the gateway lets pass: fields of the two sides about each other's mail.
    let has_marks =
        matches!(case.marks, SenderMarks::Internal | SenderMarks::Anonymous) || case.legs.len() > 1;
    match case.treated {
        Some(_) if is_stripped && has_marks => {
            Some(ExpectedTreatment::External(OutsideCause::HeadersStripped))
        }
        as_usual => as_usual,
    }
}

const NO_SESSION: &str = "no-session";
const GREYLISTED: &str = "4.7.1";

const fn ended(outcome: CaseOutcome, because: &'static str) -> Expectation {
    Expectation { outcome, because, treated: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::hybrid::cases::{CASES, named};
    use crate::lab::hybrid::faults::HostFault;

    #[track_caller]
    fn check(id: &str, faults: &[&str], expected: &str) {
        let faults = faults.iter().map(|name| HostFault::named(name).expect("a fault")).collect();
        let found = expect(named(id).expect("a case"), &faults);
        assert_eq!(format!("{} {}", found.outcome.word(), found.because), expected);
    }

    #[test]
    fn the_first_trouble_on_the_way_decides() {
        check("onprem-to-cloud", &[], "delivered_tls met");
        check("onprem-to-cloud", &["cloud.expired"], "withheld certificate-expired");
        check("onprem-to-cloud", &["cloud.expired", "cloud.no-starttls"], "withheld starttls-not-offered");
        check("onprem-to-cloud", &["onprem.expired", "cloud.expired"], "refused 550 5.7.1");
        check("onprem-to-cloud", &["onprem.slow", "partner.expired"], "delivered_tls met");
        check("internet-to-moved", &["onprem.revoked"], "withheld certificate-revoked");
        check("internet-to-moved", &["cloud.throttled"], "deferred 4.7.500");
        check("onprem-to-internet", &["internet.expired"], "delivered_tls sealed");
        check("onprem-to-internet", &["internet.tls-1.1-only"], "delivered_clear clear-after-starttls");
        check("internet-over-tls", &["internet.tls-1.1-only"], "delivered_tls met");
        check("cloud-to-partner", &["onprem.greylisting"], "delivered_tls 4.7.1");
        check("cloud-to-partner", &["onprem.greylisting", "partner.slow"], "deferred 4.4.2");
        check("cloud-report", &["cloud.expired"], "delivered_tls met");
        check("cloud-to-onprem", &["cloud.expired"], "refused 550 5.7.1");
        check("to-revoked", &[], "withheld certificate-revoked");
        check("from-expired", &[], "refused 550 5.7.1");
    }

    #[test]
    fn every_fault_of_a_host_that_is_required_changes_something() {
        for fault in HostFault::all() {
            let changed = CASES.iter().filter(|case| is_changed(case, &FaultSet::from([fault]))).count();
            let harmless = fault.host == LabHost::Internet && fault.trouble.is_certificate();
            assert_eq!(changed == 0, harmless, "{fault} changes {changed}");
        }
    }
}
