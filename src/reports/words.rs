//! What a TLS report says in plain text, for the verb and for mail.

use crate::trace::{PartnerShare, Sum, SumKey, TlsReport, TlsShare, TroubleCount};

/// The report in plain text. `titled` lays out a table with a title.
pub fn report_in_words(
    report: &TlsReport,
    titled: impl Fn(&str, &[&str], Vec<Vec<String>>) -> String,
) -> String {
    let mut parts = vec![
        format!("TLS from {} to {} (days of UTC)", report.from, report.to),
        format!("{}\n{}", share("Came in", &report.inbound), share("Went out", &report.outbound)),
    ];
    let security =
        report.by_security.iter().map(|one| vec![one.security.to_owned(), one.messages.to_string()]);
    parts.push(titled("Went out, by what secured it", &["SECURED BY", "DELIVERIES"], security.collect()));
    let partners = report.partners.iter().map(partner_row).collect();
    parts.push(titled("Partners", &["PARTNER", "CAME IN", "TLS", "WENT OUT", "TLS", "FAILED"], partners));
    let good = report.succeeding.iter();
    let good =
        good.map(|one| vec![one.domain.clone(), one.messages.to_string(), one.quality.to_owned()]).collect();
    parts.push(titled("Domains that always had TLS", &["DOMAIN", "DELIVERIES", "CERTIFICATE"], good));
    let headings = ["DOMAIN", "CONNECTOR", "REASON", "TIMES"];
    for (title, list) in [
        ("Attempts that failed over TLS", &report.failing),
        ("Of these, over a certificate", &report.certificates),
        ("Clients' mail that was refused by a connector", &report.refused),
        ("Sent in plaintext, because there was no TLS", &report.without_tls),
    ] {
        parts.push(titled(title, &headings, list.iter().map(trouble_row).collect()));
    }
    parts.join("\n\n")
}

/// The sums of one partner, or of a connector that belongs to none.
pub(super) fn only_of(sums: &[(SumKey, Sum)], name: &str) -> Vec<(SumKey, Sum)> {
    sums.iter().filter(|(key, _)| key.is_of(name)).cloned().collect()
}

/// Rows under their headings, each column as wide as its widest cell.
#[must_use]
pub fn aligned(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

fn share(what: &str, share: &TlsShare) -> String {
    let Some(percent) = share.percent() else { return format!("{what:<9} nothing") };
    let versions: Vec<String> =
        share.by_version.iter().map(|(version, count)| format!("{version} {count}")).collect();
    format!(
        "{what:<9} {} messages, {percent} % over TLS ({}); {} connections, {} over TLS",
        share.messages,
        versions.join(", "),
        share.connections,
        share.connections_over_tls
    )
}

fn partner_row(one: &PartnerShare) -> Vec<String> {
    let percent =
        |share: &TlsShare| share.percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    vec![
        one.name.clone(),
        one.inbound.messages.to_string(),
        percent(&one.inbound),
        one.outbound.messages.to_string(),
        percent(&one.outbound),
        one.failed.to_string(),
    ]
}

fn trouble_row(one: &TroubleCount) -> Vec<String> {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![dash(&one.domain), dash(&one.connector), one.reason.clone(), one.count.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned()], vec!["bbb".to_owned(), "c".to_owned()]];
        assert_eq!(aligned(&["x", "y"], &rows), "x    y\na    long cell\nbbb  c");
    }
}
