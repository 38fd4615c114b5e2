//! `--keep`: keeps the lab running and explains how to use it.

use super::plan::{GATEWAY, ON_PREMISES, OUTBOUND, OWN_SENDER, PARTNER, address};
use super::result::LabResult;
use super::stage::Stage;

/// Prints the result and the instructions, and waits for Ctrl-C.
pub(super) async fn until_interrupted(stage: &Stage, result: &LabResult, json: bool) {
    println!("{}", if json { result.to_json() } else { result.table() });
    // Standard output is only for the JSON.
    eprintln!("{}", words(stage));
    if let Err(fault) = tokio::signal::ctrl_c().await {
        eprintln!("lab: ends at once, since Ctrl-C can't be waited for: {fault}");
    }
}

fn words(stage: &Stage) -> String {
    let gateway = stage.gateway();
    let (host, port) = (gateway.ip(), gateway.port());
    let config = stage.config_file();
    let (config, folder) = (config.display(), stage.folder().display());
    let on_premises = address(ON_PREMISES.1);
    let to = OUTBOUND.first().map(|case| case.to()).unwrap_or_default();
    let partners: String = OUTBOUND
        .iter()
        .map(|case| {
            format!(
                "  {:<28} {}:{port}  {:?}, {:?}\n",
                case.domain,
                case.address(),
                case.behaviour,
                case.shown
            )
        })
        .collect();
    format!(
        "The lab runs on. Ctrl-C ends it; {folder} stays.\n\
         Gateway       {gateway} ({})\n\
         On premises   {on_premises}:{port}\n\
         DNS           {}\n\
         Partners (behaviour, certificate)\n{partners}\
         More mail:\n\
         \x20 swaks --server {host}:{port} --from {OWN_SENDER} --to {to}\n\
         \x20 swaks --server {host}:{port} --from eve@{} --to {OWN_SENDER} -tls --tls-cert {folder}/tls/fabrikam.crt --tls-key {folder}/tls/fabrikam.key\n\
         \x20 python3 -c 'import smtplib; smtplib.SMTP(\"{host}\", {port}).sendmail(\"{OWN_SENDER}\", [\"{to}\"], \"Subject: hello\\n\\nhello\\n\")'\n\
         \x20 sealpost queue list --config {config}",
        GATEWAY.0, stage.dns, PARTNER.0,
    )
}
