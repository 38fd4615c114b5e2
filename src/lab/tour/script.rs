//! What happens on the tour: who the partners are, who writes to whom, and when a partner breaks and recovers. Pure: time is
//! an argument, in seconds of the tour.

use std::net::Ipv4Addr;

use super::super::hybrid::faults::HostTrouble;

/// Somebody with a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TourPartner {
    /// The name, as the configuration and the console have it.
    pub(super) name: &'static str,
    /// The domain; the mail server is `mx.` followed by it.
    pub(super) domain: &'static str,
    /// The outbound connector that serves it.
    pub(super) connector: &'static str,
    octet: u8,
    /// Seconds between two messages to it, and from it.
    every: (u32, u32),
    subjects: &'static [&'static str],
    /// Whether its certificates are of an authority of its own.
    pub(super) has_own_authority: bool,
    /// Whether its mail server knows STARTTLS at all.
    pub(super) knows_tls: bool,
}

/// What is wrong with a partner for some time of each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TourScene {
    /// Its place in [`PARTNERS`].
    pub(super) partner: usize,
    pub(super) trouble: HostTrouble,
    from: u32,
    until: u32,
}

/// A partner breaks, or recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TourTurn {
    pub(super) scene: TourScene,
    /// `false`: it recovers.
    pub(super) breaks: bool,
}

/// A message that is sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TourLetter {
    /// The place of the partner in [`PARTNERS`].
    pub(super) partner: usize,
    pub(super) way: LetterWay,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) subject: String,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LetterWay {
    /// From us to the partner.
    Out,
    /// From the partner to us.
    In,
    /// From a stranger who says that he is the partner.
    Forged,
}

impl TourPartner {
    pub(super) fn host(&self) -> String {
        format!("mx.{}", self.domain)
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        address(self.octet)
    }

    fn is_forced(&self) -> bool {
        !["carrier", INTERNET].contains(&self.connector)
    }
}

impl TourScene {
    /// What to say of its beginning and its end.
    pub(super) fn words(&self, breaks: bool) -> String {
        let is_forced = PARTNERS.get(self.partner).is_some_and(TourPartner::is_forced);
        let words = match (breaks, self.trouble) {
            (true, HostTrouble::NoStartTls) if !is_forced => {
                "does not offer STARTTLS: mail goes in plaintext"
            }
            (true, trouble) => return format!("{}: mail waits", trouble.does()),
            (false, HostTrouble::ConnectionRefused) => "listens again",
            (false, HostTrouble::Slow) => "answers again",
            (false, HostTrouble::NoStartTls) => "offers STARTTLS again",
            (false, trouble) if trouble.is_certificate() => "presents a valid certificate again",
            (false, _) => "works again",
        };
        words.to_owned()
    }
}

/// What turns at this second.
pub(super) fn turns(second: u32) -> impl Iterator<Item = TourTurn> {
    let at = second % ROUND;
    let turn = move |scene: &TourScene| {
        let turn = |breaks| TourTurn { scene: *scene, breaks };
        (scene.from == at).then(|| turn(true)).or_else(|| (scene.until == at).then(|| turn(false)))
    };
    SCENES.iter().filter_map(turn)
}

/// What is sent at this second.
pub(super) fn letters(second: u32) -> Vec<TourLetter> {
    let mut letters = Vec::new();
    for (place, (partner, offset)) in PARTNERS.iter().zip(0_u32..).enumerate() {
        let at = second.saturating_add(offset);
        let ((out, into), count) = (partner.every, at.checked_div(partner.every.0).unwrap_or_default());
        let theirs = format!("{}@{}", pick(PEOPLE, at), partner.domain);
        let ours = format!("{}@{OWN_DOMAIN}", pick(PEOPLE, count));
        let subject = format!("{} {}", pick(partner.subjects, count), count.saturating_add(1_001));
        if at.is_multiple_of(out) {
            let (from, to, subject) = (ours.clone(), theirs.clone(), subject.clone());
            letters.push(TourLetter { partner: place, way: LetterWay::Out, from, to, subject });
        }
        if at.is_multiple_of(into) {
            let (from, to, subject) = (theirs, ours, format!("Re: {subject}"));
            letters.push(TourLetter { partner: place, way: LetterWay::In, from, to, subject });
        }
    }
    if second % FORGED_EVERY == FORGED_AT {
        let (from, to) = (format!("director@{FORGED_DOMAIN}"), format!("accounts@{OWN_DOMAIN}"));
        let subject = "New bank details, urgent".to_owned();
        letters.push(TourLetter { partner: 0, way: LetterWay::Forged, from, to, subject });
    }
    letters
}

fn pick(from: &[&'static str], number: u32) -> &'static str {
    let at = usize::try_from(number).unwrap_or_default().checked_rem(from.len()).unwrap_or_default();
    from.get(at).copied().unwrap_or_default()
}

/// An address of the tour, by its last octet.
pub(super) const fn address(octet: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 32, octet)
}

const fn partner(
    name: &'static str,
    domain: &'static str,
    connector: &'static str,
    (octet, every): (u8, (u32, u32)),
    subjects: &'static [&'static str],
) -> TourPartner {
    TourPartner { name, domain, connector, octet, every, subjects, has_own_authority: false, knows_tls: true }
}

const fn scene(partner: usize, trouble: HostTrouble, from: u32, until: u32) -> TourScene {
    TourScene { partner, trouble, from, until }
}

/// Our domain.
pub(super) const OWN_DOMAIN: &str = "contoso.example";
/// Our mail server behind the gateway, and the last octet of its address.
pub(super) const MAIL_SERVER: (&str, u8) = ("mail.contoso.example", 20);
/// The gateway, and the last octet of its address.
pub(super) const GATEWAY: (&str, u8) = ("gw.contoso.example", 10);
/// The outbound connector for everybody else.
pub(super) const INTERNET: &str = "internet";
/// The last octet of the name server's address.
pub(super) const NAME_SERVER: u8 = 53;
/// Where a stranger is who says that he is a partner: the last octet of his address.
pub(super) const STRANGER: u8 = 99;

/// The partners, and two domains of the internet.
pub(super) const PARTNERS: &[TourPartner] = &[
    partner("city-bank", FORGED_DOMAIN, "bank", (31, (4, 7)), &["Statement", "Invoice", "Payment advice"]),
    partner("clinic", "clinic.example", "clinic", (32, (5, 9)), &["Patient letter", "Laboratory report"]),
    partner("insurance", "insurer.example", "insurer", (33, (6, 10)), &["Claim", "Policy"]),
    TourPartner {
        has_own_authority: true,
        ..partner("court", "court.example", "court", (34, (9, 13)), &["Case", "Hearing"])
    },
    partner("carrier", "carrier.example", "carrier", (35, (5, 8)), &["Consignment", "Pick-up"]),
    partner("a shop", "shop.example", INTERNET, (36, (3, 4)), &["Order", "Offer", "Delivery note"]),
    TourPartner {
        knows_tls: false,
        ..partner("an old server", "oldtimes.example", INTERNET, (37, (12, 11)), &["Newsletter"])
    },
];

/// One round of the tour.
const SCENES: &[TourScene] = &[
    scene(0, HostTrouble::CertificateExpired, 20, 85),
    scene(2, HostTrouble::NoStartTls, 60, 115),
    scene(1, HostTrouble::WrongCertificate, 105, 165),
    scene(3, HostTrouble::ConnectionRefused, 145, 205),
    scene(4, HostTrouble::NoStartTls, 190, 240),
    scene(2, HostTrouble::Slow, 225, 280),
];
/// Seconds of a round.
const ROUND: u32 = 300;
/// Whose name a stranger uses.
const FORGED_DOMAIN: &str = "bank.example";
const FORGED_EVERY: u32 = 150;
const FORGED_AT: u32 = 100;
const PEOPLE: &[&str] = &["ann", "ben", "carla", "david", "eva", "felix", "grace"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_scene_ends_within_its_round_and_one_partner_has_one_trouble_at_a_time() {
        let mut broken = BTreeSet::new();
        let mut seen = 0;
        for second in 0..ROUND {
            for turn in turns(second) {
                let partner = turn.scene.partner;
                assert!(PARTNERS.len() > partner && PARTNERS[partner].knows_tls);
                assert!(if turn.breaks { broken.insert(partner) } else { broken.remove(&partner) });
                assert!(!turn.scene.words(turn.breaks).is_empty());
                seen += 1;
            }
            assert!(broken.len() <= 2, "at {second} too many are broken to follow");
        }
        assert!(broken.is_empty());
        assert_eq!(seen, 2 * SCENES.len());
        assert_eq!(turns(20).collect::<Vec<_>>(), turns(ROUND + 20).collect::<Vec<_>>());
    }

    #[test]
    fn within_a_minute_there_is_mail_of_every_partner_both_ways_and_something_fails() {
        let minute: Vec<TourLetter> = (0..60).flat_map(letters).collect();
        assert!((60..180).contains(&minute.len()), "{}", minute.len());
        for place in 0..PARTNERS.len() {
            for way in [LetterWay::Out, LetterWay::In] {
                assert!(minute.iter().any(|one| one.partner == place && one.way == way), "{place} {way:?}");
            }
        }
        assert!((0..ROUND).flat_map(letters).any(|one| one.way == LetterWay::Forged));
        assert!((0..30).flat_map(turns).any(|turn| turn.breaks));
        let broken = |one: &TourLetter| one.partner == 0 && one.way == LetterWay::Out;
        assert!((20..40).flat_map(letters).any(|one| broken(&one)));
    }

    #[test]
    fn partners_have_addresses_of_their_own() {
        let octets: BTreeSet<_> = PARTNERS.iter().map(|one| one.octet).collect();
        assert_eq!(octets.len(), PARTNERS.len());
    }
}
