use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::print::{complain, say};
use super::{ConfigArg, EXIT_CONFIG, EXIT_OS, EXIT_TEMPORARY, Failure, revive};
use crate::admin::Operator as _;
use crate::config::{self, Config, LogFormat, LogSettings};
use crate::daemon::{self, Running, StartFault};

/// Runs the relay until SIGTERM or SIGINT; SIGHUP reloads.
pub(super) fn run(args: &ConfigArg) -> Result<ExitCode, Failure> {
    let config = config::load(&args.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))?;
    let flush_at_end = start_log(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(EXIT_OS, format!("the runtime can't be started: {e}")))?;
    let ended = runtime.block_on(serve(config));
    // A flush that hangs on a dying disk must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended? {
        Ended::Stopped => Ok(ExitCode::SUCCESS),
        Ended::Broken { unwritten } => {
            drop(flush_at_end);
            Err(revive::anew(&unwritten))
        }
    }
}

/// How serving ended.
enum Ended {
    /// Somebody said so.
    Stopped,
    /// The spool broke, and the process is to start anew; this could not be written to its mark.
    Broken { unwritten: String },
}

async fn serve(config: Config) -> Result<Ended, Failure> {
    let os = |e: std::io::Error| Failure::new(EXIT_OS, format!("signals can't be waited for: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(os)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(os)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(os)?;
    let loaded = loaded(&config);
    let faults = tokio::select! {
        faults = revive::trial(&config) => faults,
        _ = terminate.recv() => return Ok(Ended::Stopped),
        _ = interrupt.recv() => return Ok(Ended::Stopped),
    };
    let (file, listen) = (config.file.clone(), config.listen.clone());
    let data_dir = config.data_dir.clone();
    let started = daemon::start_after(config, faults).await;
    if let (Err(StartFault::Spool(fault)), true) = (&started, faults > 0) {
        return Ok(Ended::Broken { unwritten: revive::still_broken(&data_dir, faults, fault) });
    }
    let running = started.map_err(|fault| {
        let exit = match &fault {
            StartFault::Spool(_) => EXIT_TEMPORARY,
            StartFault::Tls { .. } | StartFault::Paused(..) => EXIT_CONFIG,
            StartFault::Listen(_) | StartFault::Control(_) | StartFault::Dns(_) => EXIT_OS,
        };
        Failure::new(exit, fault)
    })?;
    say(&ready_line(&running, &loaded));
    notify(&[sd_notify::NotifyState::Ready]);
    let broken = running.broken();
    tokio::pin!(broken);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // By itself: a reload waits for transactions in clear, and SIGTERM waits for nothing. What
            // came of it is in the log.
            _ = hangup.recv() => drop(tokio::spawn(running.reloader().reload())),
            fault = &mut broken => {
                complain(&format!("{fault}; starting anew from what is on disk"));
                tracing::error!(%fault, "the spool has stopped; starting anew");
                revive::reloading();
                // Who waits is answered 451, and what is being delivered ends.
                let spool = running.stop().await;
                tokio::select! {
                    () = revive::until_valid(&file, &listen) => {}
                    _ = terminate.recv() => return Ok(Ended::Stopped),
                    _ = interrupt.recv() => return Ok(Ended::Stopped),
                }
                return Ok(Ended::Broken { unwritten: spool.unwritten() });
            }
        }
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    drop(running.stop().await);
    tracing::info!("stopped");
    Ok(Ended::Stopped)
}

fn loaded(config: &Config) -> String {
    let forced = config.outbound.iter().filter(|c| c.forced().is_some()).count();
    format!(
        "{} inbound and {} outbound connectors ({forced} forced) from {}",
        config.inbound.len(),
        config.outbound.len(),
        config.file.display(),
    )
}

fn ready_line(running: &Running, loaded: &str) -> String {
    let listening: Vec<String> = running.listening.iter().map(|(name, at)| format!("{name} {at}")).collect();
    let queued = running.found.messages;
    format!(
        "sealpost {}: listening on {}; {loaded}; {queued} messages queued",
        env!("CARGO_PKG_VERSION"),
        listening.join(", "),
    )
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        tracing::warn!(%fault, "the service manager can't be told");
    }
}

/// Logs go to standard error through a thread of their own, which writes what has gathered. Lines
/// are dropped where whoever reads them has stopped: mail must not stop with it.
fn start_log(settings: &LogSettings) -> Result<tracing_appender::non_blocking::WorkerGuard, Failure> {
    let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(16_384)
        .finish(std::io::stderr());
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|e| Failure::new(EXIT_CONFIG, format!("[log] level = {:?}: {e}", settings.level)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    let started = match settings.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Failure::new(EXIT_OS, format!("the log can't be started: {e}")))?;
    Ok(guard)
}
