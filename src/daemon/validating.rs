//! Tries a connector for the console, as `sealpost validate` does, and keeps the result.

use std::sync::Arc;
use std::time::Duration;

use super::prove::prove;
use super::reload::Reloader;
use super::verdict::{host_details, verdict};
use super::whom::whom;
use crate::admin::Operator;
use crate::console::{ValidatedHost, ValidationOrder, ValidationReport};
use crate::deliver::WaitList;

/// Tries every host of the connector that is ordered, by the configuration in effect without overrides.
///
/// # Errors
/// Why it can't be tried, in a sentence.
pub(super) async fn validate(
    reloader: Arc<Reloader>,
    order: ValidationOrder,
) -> Result<ValidationReport, String> {
    let ValidationOrder { name, to, ourselves, listener } = order;
    let config = reloader.base();
    let connector = config.outbound_named(&name)?;
    let whom = whom(&config, connector, to.as_deref()).map_err(|fault| fault.to_string())?;
    let to = whom.envelope.as_ref().map(|(_, to)| to.to_string());
    let ground = (ourselves, WaitList::heard_by(listener));
    let proved = prove(&config, connector, whom, ground, ADDRESS_TIME_MAX).await;
    let (seen, trouble) = match proved.map_err(|fault| fault.to_string())? {
        Ok(seen) => (seen, None),
        Err(trouble) => (Vec::new(), Some(trouble.reason)),
    };
    let verdict = verdict(connector, (&seen, trouble.as_deref()), to);
    let kept = Operator::keep_validation(Arc::clone(&reloader), name, verdict.clone()).await;
    let host = |host: &crate::deliver::HostReport| ValidatedHost {
        host: host.host.clone(),
        ok: host.ok,
        lines: host_details(host),
    };
    Ok(ValidationReport { verdict, hosts: seen.iter().map(host).collect(), not_kept: kept.err() })
}

/// The admin listener cuts off an answer that takes longer than 30 seconds in all.
const ADDRESS_TIME_MAX: Duration = Duration::from_secs(8);
