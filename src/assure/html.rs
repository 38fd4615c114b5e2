//! The document as one page for an auditor: complete in itself, without scripts, and fit to be printed. Pure.

use std::fmt::Write as _;

use super::evidence::{Assurance, Evidence, EvidenceArea, EvidenceVerdict};
use super::text::{by_subject, summary};

/// The page.
#[must_use]
pub fn page(assurance: &Assurance) -> String {
    let mut out = String::with_capacity(256 * 1024);
    let (gateway, at) = (escaped(&assurance.gateway), escaped(&assurance.at));
    let title = format!("TLS enforcement of {gateway}, {at}");
    let parts = [
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        ),
        format!("<header>\n<p class=\"kind\">Assurance report</p>\n<h1>TLS enforcement of {gateway}</h1>\n"),
        verdict(assurance),
        facts(assurance),
        "</header>\n".to_owned(),
        conspicuous(assurance),
        overview(assurance),
        METHOD.to_owned(),
    ];
    parts.iter().for_each(|part| out.push_str(part));
    for area in EvidenceArea::ALL {
        section(&mut out, assurance, area);
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn verdict(assurance: &Assurance) -> String {
    let tally = &assurance.tally;
    let (class, words) = if tally.is_clean() {
        ("held", "Everything that was tested held.")
    } else {
        ("finding", "Not everything held, or could be tested.")
    };
    format!("<p class=\"verdict {class}\"><strong>{words}</strong> {tally}.</p>\n")
}

fn facts(assurance: &Assurance) -> String {
    let Assurance { version, at, took_ms, config, daemon, .. } = assurance;
    let seconds = took_ms.div_euclid(1000);
    let mut rows = vec![
        ("Tested on", format!("{at}, in {seconds} s")),
        ("Tested by", format!("sealpost {version}, on the gateway itself")),
        ("Configuration", config.file.clone()),
        ("SHA-256 of the file", config.sha256.clone()),
        ("SHA-256 of its connectors", config.connectors.clone()),
    ];
    match daemon {
        Some(daemon) => {
            let generation = daemon.generation.unwrap_or_default();
            rows.push(("Running daemon", format!("sealpost {}, generation {generation}", daemon.version)));
            rows.push(("SHA-256 of connectors in effect", daemon.connectors.clone()));
        }
        None => rows.push(("Running daemon", "none answered; listeners could not be tested".to_owned())),
    }
    let row =
        |(name, value): &(&str, String)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(value));
    format!("<table class=\"facts\">\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// Findings, what could not be tested, and notes.
fn conspicuous(assurance: &Assurance) -> String {
    let mut out = String::new();
    let parts = [
        (EvidenceVerdict::Finding, "Findings"),
        (EvidenceVerdict::Untested, "Not tested"),
        (EvidenceVerdict::Note, "Notes"),
    ];
    for (verdict, heading) in parts {
        let found: Vec<&Evidence> = assurance.evidence.iter().filter(|one| one.verdict == verdict).collect();
        if found.is_empty() {
            continue;
        }
        write(&mut out, &format!("<section>\n<h2>{heading}</h2>\n"));
        table(&mut out, &found, true);
        out.push_str("</section>\n");
    }
    out
}

fn overview(assurance: &Assurance) -> String {
    let mut out =
        "<section>\n<h2>Overview</h2>\n<table class=\"overview\">\n<thead><tr><th>Part</th><th>Subject</th>\
                   <th>Result</th></tr></thead>\n<tbody>\n"
            .to_owned();
    for area in EvidenceArea::ALL {
        for (subject, tests) in by_subject(&assurance.evidence, area) {
            let class = worst(&tests);
            let (subject, summary) = (escaped(subject), escaped(&summary(&tests)));
            write(
                &mut out,
                &format!(
                    "<tr><td>{}</td><td>{subject}</td><td class=\"{class}\">{summary}</td></tr>\n",
                    area.heading()
                ),
            );
        }
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
    out
}

fn worst(tests: &[&Evidence]) -> &'static str {
    tests.iter().map(|one| one.verdict).min().map_or("note", class)
}

fn section(out: &mut String, assurance: &Assurance, area: EvidenceArea) {
    let subjects = by_subject(&assurance.evidence, area);
    if subjects.is_empty() {
        return;
    }
    write(out, &format!("<section>\n<h2>{}: every test</h2>\n", area.heading()));
    for (subject, tests) in subjects {
        write(out, &format!("<h3>{}</h3>\n", escaped(subject)));
        table(out, &tests, false);
    }
    out.push_str("</section>\n");
}

fn table(out: &mut String, tests: &[&Evidence], names: bool) {
    let subject = if names { "<th>Subject</th>" } else { "" };
    write(
        out,
        &format!(
            "<table class=\"tests\">\n<thead><tr><th>Verdict</th>{subject}<th>Required</th><th>Done</th><th>Seen</th></tr>\
             </thead>\n<tbody>\n"
        ),
    );
    for one in tests {
        let subject = if names {
            format!("<td>{}: {}</td>", one.area.heading(), escaped(&one.subject))
        } else {
            String::new()
        };
        let (required, done, seen) = (escaped(&one.required), escaped(&one.done), escaped(&one.seen));
        let (class, word) = (class(one.verdict), one.verdict.word());
        write(
            out,
            &format!(
                "<tr><td class=\"{class}\">{word}</td>{subject}<td>{required}</td><td>{done}</td><td>{seen}</td></tr>\n"
            ),
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

fn class(verdict: EvidenceVerdict) -> &'static str {
    match verdict {
        EvidenceVerdict::Finding => "finding",
        EvidenceVerdict::Untested => "untested",
        EvidenceVerdict::Note => "note",
        EvidenceVerdict::Held => "held",
    }
}

fn write(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _written = out.write_str(text);
}

/// Text in HTML: nothing of it is markup, and no control character passes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

const METHOD: &str = "<section>\n<h2>What was done</h2>\n<p>All tests were made on the gateway itself. No partner was \
contacted, no name was looked up, and no message left.</p>\n<ul>\n<li><b>Configuration.</b> The files were compared with \
what the running daemon has in effect, and each connector was looked at: forced TLS that is in audit, off or overridden \
enforces nothing.</li>\n<li><b>Listeners.</b> Each address on which the daemon listens was visited: TLS must be \
offered, logins must be refused without it, and TLS 1.0 and 1.1 must be refused.</li>\n<li><b>Inbound mail.</b> For each \
domain that a forced connector binds, sessions without TLS, without a certificate and with forged certificates gave an \
address of the domain in MAIL FROM. It must be refused. No recipient was named and no content was sent.</li>\n<li><b>Outbound \
mail.</b> The code that delivers mail, with the settings, trust anchors and certificates of each forced connector, was led to \
hostile servers. A test authority was added to the trust anchors, so that each server is wrong in one respect only, \
and one server is right as a control. To the others no command of an envelope (MAIL, RCPT, DATA) and no login may be sent: \
the verdict is made from what the server received, not from what the sender reports.</li>\n</ul>\n</section>\n";

const STYLE: &str = "\
:root{--ink:#1d2430;--soft:#5b6575;--line:#d9dee5;--ground:#f6f7f9;--good:#1c6b3f;--bad:#a4161a;--open:#8a5a00}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:76rem;padding:2.5rem 1.5rem 4rem;color:var(--ink);background:#fff;\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
h1{margin:.1rem 0 1rem;font-size:1.75rem;line-height:1.2;font-weight:600}\
h2{margin:2.5rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line);font-size:1.2rem;font-weight:600}\
h3{margin:1.5rem 0 .4rem;font-size:1rem;font-weight:600}\
.kind{margin:0;color:var(--soft);font-size:.8rem;letter-spacing:.06em;text-transform:uppercase}\
.verdict{margin:0 0 1.25rem;padding:.8rem 1rem;border-left:4px solid;background:var(--ground)}\
p.held{border-color:var(--good);color:inherit;font-weight:400}p.finding{border-color:var(--bad);color:inherit;font-weight:400}\
table{width:100%;border-collapse:collapse;font-size:.875rem}\
th,td{padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;\
overflow-wrap:break-word}\
thead th{color:var(--soft);font-weight:500;border-bottom-color:var(--soft)}\
.facts th{width:16rem;color:var(--soft);font-weight:500}\
.facts td{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\
.tests{table-layout:fixed}.tests th:first-child{width:6.5rem}.tests td:first-child{white-space:nowrap}\
.tests th:last-child{width:38%}\
td.held{color:var(--good)}td.finding{color:var(--bad);font-weight:600}td.untested{color:var(--open);font-weight:600}\
td.note{color:var(--soft)}\
.overview td:first-child{width:10rem;color:var(--soft)}\
ul{padding-left:1.2rem}li{margin:.3rem 0}\
@page{size:A4 landscape;margin:15mm}@media print{body{max-width:none;padding:0;font-size:10pt}h2,h3{break-after:avoid}tr{break-inside:avoid}thead{display:table-header-group}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_no_markup() {
        assert_eq!(
            escaped("<script>'a' & \"b\"\u{1b}[0m"),
            "&lt;script&gt;&#39;a&#39; &amp; &quot;b&quot; [0m"
        );
    }
}
