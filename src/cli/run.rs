//! `run`: the life of the daemon process: configuration, log, signals, start, reload and stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::low_level;
use tracing_subscriber::EnvFilter;

use super::args::ConfigArg;
use super::exit::{EXIT_CONFIG, EXIT_OS, EXIT_SOFTWARE, EXIT_TEMPORARY, Failure};
use super::print::{complain, say};
use super::revive;
use super::runtime::runtime;
use crate::admin::Operator as _;
use crate::config::{Config, LogFormat, LogSettings};
use crate::daemon::{self, Cause, Ending, RelayDaemon, Signals, StartFault, Watchdog};
use crate::spool::SpoolFault;
use crate::tracking::{Log, Loss, QuotedFields, Vitals};

/// Runs the relay until SIGTERM or SIGINT; SIGHUP reloads.
pub(super) fn run(args: &ConfigArg) -> Result<ExitCode, Failure> {
    // Until signals are handled, a reload request must not end the process, which is SIGHUP's
    // default. A failure to set a handler is reported when all of them are set.
    let _handled = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default());
    let config = revive::config(&args.config)?;
    let office = Office::open(&config.log)?;
    for warning in config.warnings.iter().chain(config.unmet.iter().map(|one| &one.fault)) {
        tracing::warn!("{warning}");
    }
    let ended = relay(config, &office);
    office.ending.at("the log");
    let _written = office.log.flush(FLUSH);
    let failure = match ended {
        Ok(ServiceEnd::Stopped) => return Ok(ExitCode::SUCCESS),
        Ok(ServiceEnd::Lost) => return Ok(ExitCode::from(EXIT_SOFTWARE)),
        // A stop may have been requested meanwhile.
        Ok(ServiceEnd::Broken(left)) if office.signals.stop_listening() => {
            left.note();
            let _written = office.log.flush(FLUSH);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ServiceEnd::Broken(left)) => revive::again(left),
        Err(failure) => failure,
    };
    office.complain(&failure.message);
    let _written = office.log.flush(FLUSH);
    Ok(ExitCode::from(failure.exit))
}

fn relay(config: Config, office: &Office) -> Result<ServiceEnd, Failure> {
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(config, office));
    office.vitals.stopping();
    office.ending.at("threads that work for the runtime");
    // A flush that hangs on a failing disk must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// What the process needs besides the relay, so that it can end whatever state the relay is in.
struct Office {
    ending: Ending,
    vitals: Vitals,
    log: Log,
    signals: Signals,
    watchdog: Watchdog,
}

impl Office {
    fn open(settings: &LogSettings) -> Result<Self, Failure> {
        let os =
            |e| Failure::new(EXIT_OS, format!("signals can't be caught, or a thread can't be started: {e}"));
        let ending = Ending::default();
        let of_loss = ending.clone();
        let vitals = Vitals::new(move |loss| of_loss.begin(Cause::Lost(loss)));
        let log = start_log(settings, &vitals)?;
        vitals.log_panics();
        let of_force = log.clone();
        let force = move |text: String| {
            complain_by(&of_force, &text);
            let _written = of_force.flush(FLUSH);
            low_level::exit(EXIT_SOFTWARE.into());
        };
        ending.enforce(PATIENCE, force).map_err(os)?;
        let of_again = log.clone();
        let again = move |signal| {
            complain_by(&of_again, "asked twice to stop: ending at once");
            let _written = of_again.flush(FLUSH);
            // The exit status shows the sender that this was not an orderly stop.
            let _ = low_level::emulate_default_handler(signal);
        };
        let signals = Signals::listen(&ending, &vitals, again).map_err(os)?;
        let watchdog = Watchdog::start(&vitals).map_err(os)?;
        Ok(Self { ending, vitals, log, signals, watchdog })
    }

    fn complain(&self, text: &str) {
        complain_by(&self.log, text);
    }

    fn spool_failed(&self, fault: SpoolFault) {
        match fault {
            SpoolFault::Lost(thread) => {
                let why = self.vitals.last_words(thread).unwrap_or_else(|| "it returned".to_owned());
                self.vitals.lost(Loss::ended(&format!("the thread {thread}"), &why));
            }
            fault @ (SpoolFault::Broken(_) | SpoolFault::Full(_) | SpoolFault::Failed(_)) => {
                self.complain(&format!("{fault}; starting again from what is on disk"));
                tracing::error!(%fault, "the spool has stopped; starting again");
                self.ending.begin(Cause::Broken);
            }
        }
    }

    /// Reports that the end has begun, and why.
    fn tell(&self) {
        match self.ending.cause() {
            Some(Cause::Broken) => return revive::reloading(),
            Some(Cause::Lost(loss)) => {
                let text = format!("{loss}; ending, to be started again");
                self.complain(&text);
                tracing::error!(what = %loss.what, why = %loss.why, "something that must go on does not");
                notify(&[sd_notify::NotifyState::Status(&text)]);
            }
            Some(Cause::Asked) | None => {}
        }
        notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("stopping");
    }

    fn ended(&self, left: revive::Left) -> ServiceEnd {
        let ended = match self.ending.cause() {
            Some(Cause::Broken) => return ServiceEnd::Broken(left),
            Some(Cause::Lost(_)) => ServiceEnd::Lost,
            Some(Cause::Asked) | None => ServiceEnd::Stopped,
        };
        left.note();
        ended
    }
}

enum ServiceEnd {
    /// A stop was requested.
    Stopped,
    /// A task or thread that must keep running has ended.
    Lost,
    /// The spool failed and the process must start again; this is what could not be written to its
    /// mark.
    Broken(revive::Left),
}

async fn serve(config: Config, office: &Office) -> Result<ServiceEnd, Failure> {
    let begun = office.ending.begun();
    let loaded = loaded(&config);
    let faults = tokio::select! {
        faults = revive::trial(&config, |text| office.complain(text)) => faults,
        () = begun.cancelled() => {
            office.tell();
            return Ok(office.ended(revive::Left::inherited(&config.data_dir)));
        }
    };
    office.ending.at("the start");
    let data_dir = config.data_dir.clone();
    let started = daemon::start_after(config, faults, &office.vitals).await;
    if let (Err(StartFault::Spool(fault)), true) = (&started, faults > 0) {
        office.complain(&format!("{fault}; starting again after a pause"));
        return Ok(ServiceEnd::Broken(revive::still_broken(&data_dir, faults, fault)));
    }
    let running = started.map_err(|fault| {
        let exit = match &fault {
            StartFault::Spool(_) => EXIT_TEMPORARY,
            StartFault::Tls { .. } | StartFault::Paused(..) => EXIT_CONFIG,
            StartFault::Listen(_) | StartFault::Control(_) | StartFault::Admin(_) | StartFault::Dns(_) => {
                EXIT_OS
            }
        };
        Failure::new(exit, fault)
    })?;
    office.watchdog.look_after(&running.scheduler);
    announce(ready_line(&running, &loaded));
    notify(&[sd_notify::NotifyState::Ready]);
    office.ending.at("no thread of the runtime has taken notice");
    let broken = running.broken();
    tokio::pin!(broken);
    loop {
        tokio::select! {
            () = begun.cancelled() => break,
            // In a task of its own: a reload waits for plaintext transactions, and SIGTERM must not
            // wait. The log has its result.
            () = office.signals.reload() => drop(tokio::spawn(running.reloader().reload())),
            fault = &mut broken => {
                office.spool_failed(fault);
                break;
            }
        }
    }
    office.ending.at("sessions and deliveries");
    office.tell();
    // If the spool has failed, waiting clients get 451, and deliveries under way end.
    let spool = running.stop(matches!(office.ending.cause(), Some(Cause::Broken | Cause::Lost(_)))).await;
    office.ending.at("the spool");
    // Read once the spool has closed: until then, finished deliveries are still recorded.
    let left = revive::Left::new(&data_dir, spool.unwritten());
    drop(spool);
    let ended = office.ended(left);
    tracing::info!("stopped");
    Ok(ended)
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

fn ready_line(running: &RelayDaemon, loaded: &str) -> String {
    let listeners = running.listening.iter().map(|(name, at)| format!("{name} {at}"));
    let admin = running.admin.addresses.iter().map(|at| format!("admin {at}"));
    let socket = running.admin.socket.iter().map(|path| format!("admin {}", path.display()));
    let listening: Vec<String> = listeners.chain(admin).chain(socket).collect();
    let queued = running.found.messages;
    format!(
        "sealpost {}: listening on {}; {loaded}; {queued} messages queued",
        env!("CARGO_PKG_VERSION"),
        listening.join(", "),
    )
}

/// Prints the ready line without waiting for the reader of standard output, which may be a full
/// pipe.
fn announce(line: String) {
    // If no thread can be started, there are worse faults to report.
    let _ = std::thread::Builder::new().name("ready-line".to_owned()).spawn(move || say(&line));
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        tracing::warn!(%fault, "the service manager can't be notified");
    }
}

/// Reports on standard error why the process ends, in order with the log and without waiting for
/// its reader.
fn complain_by(log: &Log, text: &str) {
    log.say(&format!("sealpost: {text}"));
    if log.is_over() {
        let (text, (done, over)) = (text.to_owned(), std::sync::mpsc::channel::<()>());
        std::thread::spawn(move || {
            complain(&text);
            drop(done);
        });
        let _over = over.recv_timeout(FLUSH);
    }
}

/// Starts the log: a thread of its own writes the collected lines to standard error.
fn start_log(settings: &LogSettings, vitals: &Vitals) -> Result<Log, Failure> {
    let os = |e: &dyn std::fmt::Display| Failure::new(EXIT_OS, format!("the log can't be started: {e}"));
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|e| Failure::new(EXIT_CONFIG, format!("[log] level = {:?}: {e}", settings.level)))?;
    let writer = Log::start(std::io::stderr(), vitals).map_err(|e| os(&e))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer.clone()).with_ansi(false);
    let started = match settings.format {
        LogFormat::Text => log.fmt_fields(QuotedFields).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| os(&e))?;
    Ok(writer)
}

/// How long the end waits for the reader of the log.
const FLUSH: Duration = Duration::from_secs(1);
/// From the beginning of the end until it is forced. An orderly stop takes 4.5 s, plus a second
/// each for the runtime's blocking threads and for the log.
const PATIENCE: Duration = Duration::from_secs(10);
