//! Charts as SVG. Their colours are classes, so that light and dark are for the style sheet to say; a table beside each
//! chart says the same.

use maud::{Markup, html};

use super::page::{number, table};
use crate::trace::{EventKind, Sum, SumKey, TlsQuality, date_of_day};

/// One day of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayOfMail {
    /// Days since 1970.
    pub day: i64,
    /// Messages that came in and deliveries, over TLS.
    pub sealed: u64,
    /// The same in plaintext.
    pub plaintext: u64,
    /// Commands and messages refused at the door.
    pub refused: u64,
}

impl DayOfMail {
    /// Every day from one to another, also those without mail.
    pub(super) fn all(sums: &[(SumKey, Sum)], (from, to): (i64, i64)) -> Vec<Self> {
        let mut days: Vec<Self> = (from..=to).map(|day| Self { day, ..Self::default() }).collect();
        for (key, sum) in sums {
            let place = usize::try_from(key.day.saturating_sub(from)).ok();
            let Some(day) = place.and_then(|place| days.get_mut(place)) else { continue };
            let count = match (key.kind, key.quality) {
                (EventKind::Refused, _) => &mut day.refused,
                (
                    EventKind::Accepted | EventKind::Delivered,
                    TlsQuality::Plaintext | TlsQuality::NoSession,
                ) => &mut day.plaintext,
                (EventKind::Accepted | EventKind::Delivered, _) => &mut day.sealed,
                _ => continue,
            };
            *count = count.saturating_add(sum.messages);
        }
        days
    }

    fn height(&self) -> u64 {
        self.sealed.saturating_add(self.plaintext).saturating_add(self.refused)
    }
}

/// Bars for days, what was sealed at the bottom.
#[must_use]
pub fn bars(days: &[DayOfMail]) -> Markup {
    let days = with_mail(days);
    let most = days.iter().map(DayOfMail::height).max().unwrap_or_default().max(1);
    let width = STEP.saturating_mul(u64::try_from(days.len()).unwrap_or(1).max(1));
    // A little of something is seen: it is what is looked for.
    let scaled = |count: u64| if count == 0 { 0 } else { (count.saturating_mul(HEIGHT) / most).max(LEAST) };
    let first = days.first().map_or(0, |day| day.day);
    let last = days.last().map_or(0, |day| day.day);
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label="Mail by day; the table below has the numbers" {
                @for quarter in 0..=4_u64 {
                    line.grid x1="0" x2=(width) y1=(quarter * HEIGHT / 4) y2=(quarter * HEIGHT / 4) {}
                }
                @for (place, day) in (0_u64..).zip(days) {
                    @let (sealed, plaintext, refused) = (scaled(day.sealed), scaled(day.plaintext), scaled(day.refused));
                    @let (left, floor) = (place.saturating_mul(STEP), HEIGHT);
                    g {
                        title { (spoken(day)) }
                        rect.sealed x=(left) width=(BAR) y=(floor.saturating_sub(sealed)) height=(sealed) {}
                        rect.plaintext x=(left) width=(BAR) y=(floor.saturating_sub(sealed).saturating_sub(plaintext)) height=(plaintext) {}
                        rect.refused x=(left) width=(BAR) y=(floor.saturating_sub(sealed).saturating_sub(plaintext).saturating_sub(refused)) height=(refused) {}
                    }
                }
            }
            div.axis { span { (date_of_day(first)) } span { "at most " (number(most)) " a day, in and out" } span { (date_of_day(last)) } }
            figcaption {
                span.key.sealed { "over TLS" } span.key.plaintext { "in plaintext" } span.key.refused { "refused at the door" }
            }
            details {
                summary { "The same as a table" }
                (table("Mail by day", &["Day", "#Over TLS", "#In plaintext", "#Refused"], &html! {
                    @for day in days.iter().rev() {
                        tr { th scope="row" { (date_of_day(day.day)) }
                            td.n { (number(day.sealed)) } td.n { (number(day.plaintext)) } td.n { (number(day.refused)) } }
                    }
                }))
            }
        }
    }
}

/// The days from the first one with mail on, but a week at least: a young site would have one bar at the edge.
fn with_mail(days: &[DayOfMail]) -> &[DayOfMail] {
    let first = days.iter().position(|day| day.height() > 0).unwrap_or_default();
    days.get(first.min(days.len().saturating_sub(WEEK))..).unwrap_or(days)
}

fn spoken(day: &DayOfMail) -> String {
    format!(
        "{}: {} over TLS, {} in plaintext, {} refused",
        date_of_day(day.day),
        number(day.sealed),
        number(day.plaintext),
        number(day.refused)
    )
}

/// Of one day, with the gap to the next.
const STEP: u64 = 10;
const BAR: u64 = 8;
const LEAST: u64 = 2;
const WEEK: usize = 7;
const HEIGHT: u64 = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::RequiredQuality;

    #[test]
    fn each_day_has_what_it_had() {
        let row = |day, kind, quality, messages| {
            let key = SumKey {
                day,
                inbound: true,
                connector: String::new(),
                partner: String::new(),
                domain: String::new(),
                kind,
                reason: String::new(),
                requirement: RequiredQuality::Nothing,
                version: String::new(),
                quality,
            };
            (key, Sum { messages, ..Sum::default() })
        };
        let sums = [
            row(10, EventKind::Accepted, TlsQuality::Named, 3),
            row(10, EventKind::Delivered, TlsQuality::Encrypted, 4),
            row(12, EventKind::Delivered, TlsQuality::Plaintext, 2),
            row(12, EventKind::Refused, TlsQuality::NoSession, 5),
            row(12, EventKind::Deferred, TlsQuality::NoSession, 9),
            row(13, EventKind::Accepted, TlsQuality::Named, 1),
        ];
        let day = |day, sealed, plaintext, refused| DayOfMail { day, sealed, plaintext, refused };
        assert_eq!(DayOfMail::all(&sums, (10, 12)), [day(10, 7, 0, 0), day(11, 0, 0, 0), day(12, 0, 2, 5)]);
        let days = DayOfMail::all(&sums, (1, 12));
        assert_eq!(
            with_mail(&days).first().map(|day| day.day),
            Some(6),
            "a week, though mail began on the tenth"
        );
        assert_eq!(with_mail(&DayOfMail::all(&sums, (1, 30))).first().map(|day| day.day), Some(10));
        assert_eq!(with_mail(&DayOfMail::all(&[], (1, 3))).len(), 3);
        let drawn = bars(&DayOfMail::all(&[], (1, 3))).into_string();
        assert!(drawn.contains("0 over TLS"), "a chart of nothing is drawn: {drawn}");
    }
}
