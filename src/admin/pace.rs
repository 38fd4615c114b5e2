//! How much may be asked of the admin listener: of each bearer's requests so many a second and so many at a time, of those
//! who have shown none so many at a time. Time is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the requests to the admin listener may take of the daemon, which has mail to deliver.
#[derive(Debug)]
pub struct AdminPace {
    bearers: Mutex<HashMap<Arc<str>, BearerPace>>,
    strangers: Mutex<RequestPlaces>,
}

/// What a bearer has asked lately.
#[derive(Debug)]
struct BearerPace {
    /// When all that he has asked would have been asked at the steady rate.
    even_at: Instant,
    places: RequestPlaces,
}

/// Places for requests: each that is taken is one more that shares this.
#[derive(Debug, Default)]
struct RequestPlaces(Arc<()>);

/// The place of a request that is answered; it is free again when this is dropped.
#[derive(Debug)]
pub struct AdminPlace {
    _taken: Arc<()>,
}

impl AdminPace {
    /// Nobody has asked anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bearers: Mutex::default(), strangers: Mutex::default() }
    }

    /// A place for a request of this bearer.
    ///
    /// # Errors
    /// He asks too much; after how long he may ask again.
    pub fn enter(&self, name: &Arc<str>, now: Instant) -> Result<AdminPlace, Duration> {
        let mut bearers = lock(&self.bearers);
        if !bearers.contains_key(name) {
            // Whoever is at rest is as good as unknown, so there are no more than the file has, and few that it had.
            bearers.retain(|_, one| !one.rests(now));
        }
        let bearer = bearers.entry(Arc::clone(name)).or_insert_with(|| BearerPace::at(now));
        let at = bearer.even_at.max(now);
        let even_at = at.checked_add(EVERY).unwrap_or(at);
        let ahead = even_at.saturating_duration_since(now);
        if let Some(early) = ahead.checked_sub(AHEAD_MAX).filter(|early| !early.is_zero()) {
            return Err(early);
        }
        let place = bearer.places.take(PLACES_MAX).ok_or(BUSY_PAUSE)?;
        bearer.even_at = even_at;
        Ok(place)
    }

    /// A place for whoever has shown no token: to wait with a wrong one, or to have a form read that is to outlive its session;
    /// `None`: enough are taken, and the others need the connections.
    #[must_use]
    pub fn stranger(&self) -> Option<AdminPlace> {
        lock(&self.strangers).take(STRANGERS_MAX)
    }
}

impl Default for AdminPace {
    fn default() -> Self {
        Self::new()
    }
}

impl BearerPace {
    fn at(now: Instant) -> Self {
        Self { even_at: now, places: RequestPlaces::default() }
    }

    fn rests(&self, now: Instant) -> bool {
        self.even_at <= now && self.places.taken() == 0
    }
}

impl RequestPlaces {
    fn taken(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }

    fn take(&self, max: usize) -> Option<AdminPlace> {
        (self.taken() < max).then(|| AdminPlace { _taken: Arc::clone(&self.0) })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is complete even if the thread that made it panicked later.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `Retry-After` says: whole seconds, at least one.
#[must_use]
pub fn retry_after(pause: Duration) -> u64 {
    pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)).max(1)
}

/// A bearer's requests come at this distance, in the long run: 20 a second.
const EVERY: Duration = Duration::from_millis(50);
/// How far they may be ahead of that: 200 requests.
const AHEAD_MAX: Duration = Duration::from_secs(10);
/// A bearer's requests that are answered at the same time.
const PLACES_MAX: usize = 8;
/// Wrong tokens whose answer waits a second, and forms of nobody that are read, fewer than the connections; further ones are
/// refused at once. A token has 30 characters at least: what this limits is what guessing costs us.
const STRANGERS_MAX: usize = 16;
/// How long a wrong token waits for its answer.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(1);
const BUSY_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks so many times at one moment; how many are let in.
    fn burst(pace: &AdminPace, name: &Arc<str>, now: Instant, times: usize) -> usize {
        (0..times).filter(|_| pace.enter(name, now).is_ok()).count()
    }

    #[test]
    fn a_bearer_has_a_burst_and_then_a_rate_and_the_others_have_theirs() {
        let (pace, start) = (AdminPace::new(), Instant::now());
        let (script, ada): (Arc<str>, Arc<str>) = ("script".into(), "ada".into());
        assert_eq!(burst(&pace, &script, start, 1_000), 200);
        assert_eq!(pace.enter(&script, start).map(drop), Err(EVERY));
        assert_eq!(burst(&pace, &ada, start, 3), 3, "nobody else waits for him");
        for second in 1..10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(burst(&pace, &script, now, 1_000), 20, "second {second}");
        }
        // What is not asked is not lost, but no more than a burst is kept.
        assert_eq!(burst(&pace, &script, start + Duration::from_secs(3_600), 1_000), 200);
    }

    #[test]
    fn a_bearer_has_few_answers_under_way() {
        let (pace, now, name) = (AdminPace::new(), Instant::now(), Arc::<str>::from("script"));
        let mut held: Vec<_> = (0..PLACES_MAX).map(|_| pace.enter(&name, now).expect("a place")).collect();
        assert_eq!(pace.enter(&name, now).map(drop), Err(BUSY_PAUSE));
        held.pop();
        assert!(pace.enter(&name, now).is_ok());
    }

    #[test]
    fn whoever_rests_is_forgotten_and_whoever_does_not_is_not() {
        let (pace, start) = (AdminPace::new(), Instant::now());
        let held = pace.enter(&Arc::from("held"), start).expect("a place");
        for number in 0..1_000 {
            let now = start + Duration::from_secs(number);
            assert!(pace.enter(&Arc::from(format!("name-{number}")), now).is_ok());
            // The one that holds a place, the new one, and those of the same moment.
            assert!(lock(&pace.bearers).len() <= 3, "{}", lock(&pace.bearers).len());
        }
        drop(held);
        assert_eq!(burst(&pace, &Arc::from("spent"), start, 1_000), 200);
        assert!(pace.enter(&Arc::from("other"), start).is_ok());
        assert_eq!(burst(&pace, &Arc::from("spent"), start, 1_000), 0, "a new name forgets no debt");
    }

    #[test]
    fn guesses_wait_in_few_places() {
        let pace = AdminPace::new();
        let waiting: Vec<_> = std::iter::from_fn(|| pace.stranger()).collect();
        assert_eq!(waiting.len(), STRANGERS_MAX);
        drop(waiting);
        assert!(pace.stranger().is_some());
    }

    #[test]
    fn a_pause_is_whole_seconds() {
        for (pause, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (9_950, 10)] {
            assert_eq!(retry_after(Duration::from_millis(pause)), seconds);
        }
    }
}
