//! Actions on several messages: a page says what would be affected, and the form on it does that and nothing else.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::door::is_ours;
use super::fields::{FormFields, value};
use super::notice::ActionNotice;
use super::page::{counted, failed, number, page, refused, seal, table};
use super::queue::{CHOSEN_MAX, ChosenAction, QueueQuery, action_named, is_final, row};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ActionTally, ListQuery, MatchCount, MessageView, QueueAction, Refusal};
use crate::mail::{Clock, QueueId};
use crate::trace::clean;

/// Says what would be affected.
pub(super) async fn confirm(
    State(console): State<Console>,
    visitor: Visitor,
    Form(fields): Form<FormFields>,
) -> Response {
    if let Err(fault) = visitor.may_act(value(&fields, "seal")) {
        return refused(&visitor, &fault);
    }
    let query = QueueQuery::of_fields(&fields);
    let Some((action, name, label, words)) = action(&fields) else {
        return failed(&visitor, StatusCode::NOT_FOUND, "Unknown action.");
    };
    let chosen = match chosen(&console, &fields, &query).await {
        Ok(chosen) => chosen,
        Err(fault) => return refused(&visitor, &fault),
    };
    let back = query.address();
    let ChosenMessages { messages: chosen, surplus } = chosen;
    if chosen.is_empty() {
        return console.done(&visitor, &back, ActionNotice::new("no message is selected"));
    }
    let now = Clock::wall();
    let recipients: usize = chosen.iter().map(|message| message.recipients.len()).sum();
    let more = chosen.len().saturating_sub(EXAMPLES_MAX);
    let body = html! {
        @if let Some(surplus) = &surplus {
            p.warn role="alert" {
                "These are " (surplus.words(chosen.len())) " that match" @if query.is_continued() { " from that page on" } ": one action takes no more. The others stay as they are; "
                (for_the_rest(&query, name, &chosen))
            }
        }
        p.requirement { (count(chosen.len(), "message")) " for " (count(recipients, "recipient")) @if let Some(of) = lanes(&chosen) { ": " (of) } "." }
        p class=[is_final(action).then_some("bad")] { (words) }
        (table(if more > 0 { "The first of them" } else { "All of them" }, &["Message", "Accepted", "From", "To", "State"], &html! {
            @for message in chosen.iter().take(EXAMPLES_MAX) { (row(message, now, false)) }
        }))
        @if more > 0 { p { "And " (number(u64::try_from(more).unwrap_or(u64::MAX))) " more." } }
        form method="post" action="/queue/act" {
            (seal(&visitor))
            input type="hidden" name="action" value=(name);
            input type="hidden" name="back" value=(back);
            @if let Some(surplus) = &surplus { input type="hidden" name="surplus" value=(surplus.field()); }
            @for message in &chosen { input type="hidden" name="id" value=(message.id); }
            div.deeds {
                button class=[is_final(action).then_some("danger")] { (label) ": " (count(chosen.len(), "message")) }
                a.button href=(back) { "Cancel" }
            }
        }
    };
    page(&visitor, "/queue", &format!("{label}?"), &body)
}

/// How the messages are reached that one action does not take. The verb needs a filter, and knows no page to begin at.
fn for_the_rest(query: &QueueQuery, name: &str, taken: &[MessageView]) -> Markup {
    html! {
        @if query.is_filtered() && !query.is_continued() { code { "sealpost queue " (name) } " with the same filter takes them all." }
        @else if let Some(last) = taken.last() { "repeat it for the rest, from " a href=(query.next(&last.id.to_string())) { "the page after them" } " on." }
    }
}

/// Does it.
pub(super) async fn act(
    State(console): State<Console>,
    visitor: Visitor,
    Form(fields): Form<FormFields>,
) -> Response {
    let asker = match visitor.may_act(value(&fields, "seal")) {
        Ok(asker) => asker,
        Err(fault) => return refused(&visitor, &fault),
    };
    let Some((action, ..)) = action(&fields) else {
        return failed(&visitor, StatusCode::NOT_FOUND, "Unknown action.");
    };
    let ids = match ids(&fields) {
        Ok(ids) => ids,
        Err(why) => return failed(&visitor, StatusCode::BAD_REQUEST, &why),
    };
    let (tally, meant) = match console.control.act_on_each(&ids, action, &asker).await {
        Ok(done) => done,
        Err(fault) => return refused(&visitor, &fault),
    };
    let back = Some(value(&fields, "back")).filter(|back| is_ours(back)).unwrap_or("/queue");
    let mut words = in_words(action, &tally);
    if let Some(surplus) = MatchSurplus::of_field(value(&fields, "surplus")) {
        words.push_str(&format!("; these were {} that matched", surplus.words(ids.len())));
    }
    let notice = ActionNotice::new(&words);
    let notice = if action == QueueAction::Hold && tally.messages > 0 {
        let again = [("action", "release".to_owned())].into_iter();
        let again = again.chain(meant.iter().map(|id| ("id", id.to_string()))).collect();
        notice.followed_by("Undo".to_owned(), "/queue/act".to_owned(), back).sending(again)
    } else {
        notice
    };
    console.done(&visitor, back, notice)
}

/// What it came to, and why some were left.
fn in_words(action: QueueAction, tally: &ActionTally) -> String {
    let mut words = action.done_with(tally.messages, tally.paused_recipients, &tally.paused);
    if tally.left > 0 {
        let left = match tally.left {
            1 => "1 message is as it was".to_owned(),
            left => format!("{left} messages are as they were"),
        };
        let why: Vec<&str> = tally.reasons.iter().take(REASONS_MAX).map(String::as_str).collect();
        words.push_str(&format!("; {left}: {}", why.join("; ")));
    }
    words
}

/// The messages that are meant, as they are now.
struct ChosenMessages {
    messages: Vec<MessageView>,
    surplus: Option<MatchSurplus>,
}

/// That more messages match than one action takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MatchSurplus {
    /// How many match, those that are taken included.
    matching: u64,
    /// Whether there are no more than these.
    is_all: bool,
}

async fn chosen(
    console: &Console,
    fields: &FormFields,
    query: &QueueQuery,
) -> Result<ChosenMessages, Refusal> {
    if value(fields, "which") != "matching" {
        let ids = ids(fields).map_err(|why| Refusal(StatusCode::BAD_REQUEST, why))?;
        return Ok(ChosenMessages { messages: console.control.queued(&ids).await, surplus: None });
    }
    let query = ListQuery { limit: Some(CHOSEN_MAX), ..query.list() };
    let listed = console.control.list(query.clone()).await?;
    let taken = u64::try_from(listed.messages.len()).unwrap_or(u64::MAX);
    let surplus = match listed.next {
        None => None,
        Some(next) => {
            let more = console.control.count(&ListQuery { after: Some(next.to_string()), ..query }).await?;
            let MatchCount { messages: beyond, is_all } = more;
            let surplus = MatchSurplus { matching: taken.saturating_add(beyond), is_all };
            (beyond > 0 || !is_all).then_some(surplus)
        }
    };
    Ok(ChosenMessages { messages: listed.messages, surplus })
}

impl MatchSurplus {
    /// Which of them are taken, in words.
    fn words(self, taken: usize) -> String {
        let taken = number(u64::try_from(taken).unwrap_or(u64::MAX));
        let than = if self.is_all { "" } else { "more than " };
        format!("the first {taken} of {than}{} messages", number(self.matching))
    }

    /// What the form hands on, so that the result can say it too.
    fn field(self) -> String {
        format!("{}{}", self.matching, if self.is_all { "" } else { "+" })
    }

    fn of_field(text: &str) -> Option<Self> {
        let (number, is_all) = text.strip_suffix('+').map_or((text, true), |number| (number, false));
        number.parse().ok().map(|matching| Self { matching, is_all })
    }
}

fn ids(fields: &FormFields) -> Result<Vec<QueueId>, String> {
    let all = fields.iter().filter(|(name, _)| name == "id").map(|(_, id)| id);
    let mut ids = Vec::new();
    for id in all {
        ids.push(id.parse::<QueueId>().map_err(|_| format!("\"{}\" is not a queue ID.", clean(id)))?);
    }
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > CHOSEN_MAX {
        return Err(format!("These are more than {CHOSEN_MAX} messages."));
    }
    Ok(ids)
}

fn action(fields: &FormFields) -> Option<ChosenAction> {
    action_named(value(fields, "action"))
}

/// How many recipients wait for which destinations.
fn lanes(chosen: &[MessageView]) -> Option<String> {
    let mut lanes = BTreeMap::<&str, usize>::new();
    for recipient in chosen.iter().flat_map(|message| &message.recipients) {
        let count = lanes.entry(&recipient.lane).or_default();
        *count = count.saturating_add(1);
    }
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = lanes.len().saturating_sub(LANES_MAX);
    let shown = lanes
        .iter()
        .take(LANES_MAX)
        .map(|(lane, count)| format!("{count} by {}", lane.trim_end_matches('/')));
    let mut shown: Vec<String> = shown.collect();
    shown.extend((more > 0).then(|| format!("and {more} more destinations")));
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn count(count: usize, what: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), what)
}

const EXAMPLES_MAX: usize = 10;
const LANES_MAX: usize = 5;
const REASONS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_said_with_its_reason() {
        let tally = ActionTally {
            messages: 2,
            left: 1,
            reasons: vec!["X: it is being delivered".to_owned()],
            ..ActionTally::default()
        };
        assert_eq!(
            in_words(QueueAction::Hold, &tally),
            "2 messages are held until they are released; 1 message is as it was: X: it is being delivered"
        );
    }

    #[test]
    fn what_one_action_does_not_take_is_said_with_its_number() {
        for (field, words) in [
            ("1234", Some("the first 500 of 1,234 messages")),
            ("500000+", Some("the first 500 of more than 500,000 messages")),
            ("", None),
            ("+", None),
            ("-1", None),
            ("many", None),
        ] {
            let surplus = MatchSurplus::of_field(field);
            assert_eq!(surplus.map(|one| one.words(500)).as_deref(), words, "{field}");
            assert_eq!(
                surplus.map(MatchSurplus::field).unwrap_or_default(),
                if words.is_some() { field } else { "" }
            );
        }
    }

    #[test]
    fn a_form_names_each_message_once_and_not_too_many() {
        let id = QueueId::first_of(1).to_string();
        let twice = [("id", &*id), ("id", &*id), ("action", "hold")];
        let fields: FormFields =
            twice.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(ids(&fields).map(|ids| ids.len()), Ok(1));
        assert_eq!(ids(&vec![("id".into(), "x y".into())]), Err("\"x y\" is not a queue ID.".to_owned()));
        let many = (0..=500_u64)
            .map(|number| ("id".to_owned(), QueueId::first_of(number + 1).to_string()))
            .collect();
        assert_eq!(ids(&many), Err("These are more than 500 messages.".to_owned()));
        assert_eq!(action(&fields).map(|(action, ..)| action), Some(QueueAction::Hold));
    }
}
