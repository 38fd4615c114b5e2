//! Logs in at a smart host. The secret is read for each session, because tokens change by the hour.

use std::path::Path;

use super::classify::broken_early;
use super::connection::Connection;
use super::courier::Courier;
use crate::connector::Outbound;
use crate::mail::Enhanced;
use crate::outcome::{At, Cause, Outcome, Remote, Scope, Trouble};
use crate::smtp::{Dialogue, LoginAs, LoginEvent, Open};

/// Maximum size of a secret; tokens have a few thousand octets.
const SECRET_BYTES_MAX: usize = 16_384;

impl Courier {
    /// Logs in if the connector says so. Any failure defers mail: a changed password must not
    /// bounce it.
    pub(super) async fn log_in(
        &self,
        (connection, smtp): (&mut Connection, &mut Open),
        connector: &Outbound,
        at: &At<'_>,
    ) -> Result<(), Outcome> {
        let Some(auth) = &connector.sending.auth else { return Ok(()) };
        if !smtp.offers().auth.takes(auth.mechanism) {
            let reason = format!("{} does not offer AUTH {}", at.host, auth.mechanism.word());
            return Err(hindered((Enhanced(4, 7, 0), Cause::Login), reason, None, at));
        }
        let secret = read(&auth.secret).await.map_err(|why| {
            let reason = format!("auth_secret of connector {}: {why}", connector.name);
            hindered((Enhanced(4, 3, 5), Cause::Settings), reason, None, at)
        })?;
        let login = LoginAs { mechanism: auth.mechanism, user: &auth.user, secret: &secret };
        if let Some(script) = connection.script() {
            script.hush(true);
            script.hide(login.words());
        }
        let mut login = smtp.login(login, &mut connection.out).map_err(|fault| {
            hindered((Enhanced(4, 7, 0), Cause::Login), format!("no login: {fault}"), None, at)
        })?;
        let event = connection.event(&mut login, &self.settings.timeouts).await;
        let replies = login.replies();
        connection.script().into_iter().for_each(|script| script.hush(false));
        match event {
            Ok(LoginEvent::LoggedIn) => Ok(()),
            Ok(LoginEvent::Refused(reply) | LoginEvent::Closing(reply)) => {
                let reason = format!("{} refused the login of {}: {reply}", at.host, auth.user);
                let remote = Some(Remote { host: at.host.to_owned(), reply: Some(reply) });
                Err(hindered((Enhanced(4, 7, 8), Cause::Login), reason, remote, at))
            }
            Err(broken) => Err(broken_early(&broken.into_link(), replies, at)),
        }
    }
}

fn hindered(
    (status, cause): (Enhanced, Cause),
    reason: String,
    remote: Option<Remote>,
    at: &At<'_>,
) -> Outcome {
    let decision = at.decision.cloned();
    Outcome::Deferred(Trouble { status, cause, reason, remote, decision, scope: Scope::Lane, expired: false })
}

async fn read(path: &Path) -> Result<String, String> {
    let octets = tokio::fs::read(path).await.map_err(|e| format!("{} can't be read: {e}", path.display()))?;
    if octets.len() > SECRET_BYTES_MAX {
        return Err(format!("{} is too large for a secret", path.display()));
    }
    let text = String::from_utf8(octets).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(secret.to_owned()) }
}
