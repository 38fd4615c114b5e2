//! What the tour prints: the way in, and a line for each change. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::script::{PARTNERS, TourTurn};
use crate::alert::{AlertKind, AlertsView, EpisodeView};
use crate::mail::{UnixMillis, rfc3339};

/// Which alerts have been shown as open.
#[derive(Debug, Default)]
pub(super) struct TourNews {
    open: BTreeMap<u64, EpisodeView>,
}

/// What is printed first.
pub(super) fn welcome(console: SocketAddr, token: &str, (program, config): (&str, &Path)) -> String {
    let verb = |words: &str| format!("  {program} {words} --config {}\n", config.display());
    let mut text = format!(
        "Console  http://{console}/\nToken    {token}\n\n\
         A gateway of contoso.example and its partners, who break and recover: real mail, on this machine only.\n\
         Everything works, so pause, retry and look around. In another terminal:\n"
    );
    for words in ["queue list", "alert list", "watch report", "trace --since 10m", "report tls"] {
        let _ = write!(text, "{}", verb(words));
    }
    let _ = writeln!(text, "Ctrl-C ends it and removes everything. Times are UTC.");
    text
}

/// The line for a partner who breaks or recovers.
pub(super) fn turned(turn: &TourTurn, now: UnixMillis) -> String {
    let who = PARTNERS.get(turn.scene.partner).map_or("", |partner| partner.name);
    line(now, who, &turn.scene.words(turn.breaks))
}

impl TourNews {
    /// A line for each alert that has begun or ended since the last call.
    pub(super) fn lines(&mut self, alerts: &AlertsView, now: UnixMillis) -> Vec<String> {
        let begun: Vec<_> = alerts.open.iter().filter(|one| !self.open.contains_key(&one.episode)).collect();
        let mut lines: Vec<String> =
            begun.iter().map(|one| line(now, who(one), &format!("ALERT {}", one.what))).collect();
        let is_open = |number: &u64| alerts.open.iter().any(|one| one.episode == *number);
        let is_over = |number: &u64, _: &mut EpisodeView| !is_open(number);
        // What watching has seen is told once, and is over as soon as somebody has heard of it.
        for (_, one) in self.open.extract_if(.., is_over).filter(|(_, one)| one.kind != WATCH) {
            let failures = alerts.ended.iter().find(|ended| ended.episode == one.episode);
            let failures = failures.map_or(one.failures, |ended| ended.failures);
            let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
            lines.push(line(now, who(&one), &format!("over: {}, seen {times}", one.kind)));
        }
        self.open.extend(begun.into_iter().map(|one| (one.episode, one.clone())));
        lines
    }
}

fn who(episode: &EpisodeView) -> &str {
    if episode.kind == WATCH {
        return "watch";
    }
    episode.partner.as_deref().or(episode.connector.as_deref()).unwrap_or("gateway")
}

fn line(now: UnixMillis, who: &str, words: &str) -> String {
    format!("{}  {who:<10} {words}", rfc3339(now).get(11..19).unwrap_or_default())
}

const WATCH: &str = AlertKind::Watch.word();

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(number: u64, failures: u64) -> EpisodeView {
        EpisodeView {
            episode: number,
            kind: "partner-tls".to_owned(),
            connector: Some("bank".to_owned()),
            partner: Some("city-bank".to_owned()),
            contact: None,
            what: "mail waits".to_owned(),
            since: String::new(),
            ended: None,
            failures,
            reported: None,
        }
    }

    #[test]
    fn an_alert_is_told_when_it_begins_and_when_it_is_over() {
        let mut news = TourNews::default();
        let now = UnixMillis(1_764_331_390_000);
        let of = |open: &[EpisodeView], ended: &[EpisodeView]| AlertsView {
            open: open.to_vec(),
            ended: ended.to_vec(),
            ..AlertsView::default()
        };
        assert_eq!(news.lines(&of(&[episode(1, 1)], &[]), now), ["12:03:10  city-bank  ALERT mail waits"]);
        assert!(news.lines(&of(&[episode(1, 2)], &[]), now).is_empty());
        let over = news.lines(&of(&[], &[episode(1, 7)]), now);
        assert_eq!(over, ["12:03:10  city-bank  over: partner-tls, seen 7 times"]);
        assert!(news.lines(&of(&[], &[]), now).is_empty());
    }
}
