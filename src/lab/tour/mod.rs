//! The tour: a gateway with a console, mail in both directions, and partners that break and recover for as long as somebody looks.
//! The gateway is the shipped daemon with an ordinary configuration; what is shown of it is what it says itself.

mod host;
mod script;
mod settings;
mod stage;
mod tell;
mod traffic;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::stage::TourStage;
use self::tell::{TourNews, turned, welcome};
use self::traffic::TourTraffic;
use super::fault::LabFault;
use crate::daemon::RelayDaemon;
use crate::mail::Clock;
use crate::{config, daemon};

/// How the tour is run.
#[derive(Debug, Clone)]
pub struct TourOptions {
    /// The folder for everything on disk, new or empty, which stays; `None`: a temporary one.
    pub state: Option<PathBuf>,
    /// How many seconds of the tour pass in one second.
    pub pace: u32,
    /// How the user calls this program.
    pub program: String,
}

/// Runs the tour until Ctrl-C or SIGTERM, or until what `say` writes to is closed. Everything has ended when it returns.
///
/// # Errors
/// A [`LabFault`]: the tour could not be set up.
pub async fn run(options: TourOptions, mut say: impl FnMut(&str) -> io::Result<()>) -> Result<(), LabFault> {
    let mut stop = StopSignals::listen().map_err(LabFault::Signals)?;
    let pace = options.pace.max(1);
    let mut stage = TourStage::set(options.state.clone(), pace).await?;
    let config = config::load(&stage.config_file()).map_err(LabFault::Config)?;
    stage.free_gateway_port();
    let running = daemon::start(config).await?;
    let file = stage.config_file();
    let console = running.admin.addresses.first();
    let text = console.map(|console| welcome(*console, &stage.token, (&options.program, &file)));
    if text.is_none_or(|text| say(&text).is_ok()) {
        tokio::select! {
            () = stop.wait() => {}
            _closed = play(&stage, &running, pace, &mut say) => {}
        }
    }
    running.stop(false).await;
    drop(stage);
    Ok(())
}

/// Goes on until what it says can't be written.
async fn play(
    stage: &TourStage,
    running: &RelayDaemon,
    pace: u32,
    say: &mut impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let second = Duration::from_secs(1).checked_div(pace).unwrap_or_default();
    let mut seconds = interval(second.max(Duration::from_millis(1)));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut traffic, mut news, mut looks) = (TourTraffic::default(), TourNews::default(), JoinSet::new());
    // What is known of all of them before anything changes.
    looks.spawn(Arc::clone(&running.office.watchman).look_now(None));
    for second in 0_u32.. {
        seconds.tick().await;
        for turn in script::turns(second) {
            stage.turn(&turn);
            say(&turned(&turn, Clock::wall()))?;
            if let Some(partner) = script::PARTNERS.get(turn.scene.partner) {
                // As an operator would who hears of it: `[watch]` alone looks again after ten minutes at the soonest.
                looks
                    .spawn(Arc::clone(&running.office.watchman).look_now(Some(partner.connector.to_owned())));
            }
        }
        while looks.try_join_next().is_some() {}
        for letter in script::letters(second) {
            traffic.send(stage, &letter);
        }
        for line in news.lines(&running.office.alert_office.alerts(), Clock::wall()) {
            say(&line)?;
        }
    }
    Ok(())
}

/// What ends the tour.
struct StopSignals([Signal; 2]);

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
