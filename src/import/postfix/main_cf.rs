//! `main.cf` and `master.cf` as text: parameters, services with their overrides, and the values that `$name` refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::fault::{ImportFault, LineProblem};

/// Parameters by their name, as written.
pub(super) type Assignments = BTreeMap<String, String>;

/// A service of `master.cf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) command: String,
    /// `-o name=value`.
    pub(super) overrides: Assignments,
}

/// A logical line: the number of its first line, and its text.
pub(super) struct LogicalLine {
    pub(super) number: usize,
    pub(super) text: String,
}

/// Lines with those that continue them. Comments and empty lines continue nothing and end nothing.
pub(super) fn logical_lines(file: &str, text: &str) -> Result<Vec<LogicalLine>, ImportFault> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            lines.push(LogicalLine { number, text: plain.to_owned() });
            continue;
        }
        let Some(last) = lines.last_mut() else {
            let problem = LineProblem::ContinuesNothing;
            return Err(ImportFault::Line { file: file.to_owned(), line: number, problem });
        };
        last.text.push(' ');
        last.text.push_str(plain);
    }
    Ok(lines)
}

/// The parameters of `main.cf`; the last of several counts.
pub(super) fn parameters(file: &str, text: &str) -> Result<Assignments, ImportFault> {
    let mut found = Assignments::new();
    for line in logical_lines(file, text)? {
        let Some((name, value)) = line.text.split_once('=') else {
            let problem = LineProblem::NoParameter;
            return Err(ImportFault::Line { file: file.to_owned(), line: line.number, problem });
        };
        found.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(found)
}

/// The services of `master.cf`.
pub(super) fn services(file: &str, text: &str) -> Result<Vec<Service>, ImportFault> {
    let mut found = Vec::new();
    for line in logical_lines(file, text)? {
        let mut words = line.text.split_whitespace();
        let fields: Vec<&str> = words.by_ref().take(8).collect();
        let [name, kind, _, _, _, _, _, command] = fields[..] else {
            let problem = LineProblem::NoService;
            return Err(ImportFault::Line { file: file.to_owned(), line: line.number, problem });
        };
        let rest: Vec<&str> = words.collect();
        found.push(Service {
            name: name.to_owned(),
            kind: kind.to_owned(),
            command: command.to_owned(),
            overrides: overrides(&rest.join(" ")),
        });
    }
    Ok(found)
}

/// `-o name=value`, and `-o { name = value with blanks }`.
fn overrides(arguments: &str) -> Assignments {
    let mut found = Assignments::new();
    let mut rest = arguments;
    while let Some((_, after)) = rest.split_once("-o") {
        let after = after.trim_start();
        let (item, next) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').unwrap_or((inside, "")),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        if let Some((name, value)) = item.split_once('=') {
            found.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        rest = next;
    }
    found
}

/// Parameters in effect for one service: its overrides, `main.cf`, and defaults.
pub(super) struct ParameterScope<'a> {
    pub(super) overrides: &'a Assignments,
    pub(super) main: &'a Assignments,
}

impl ParameterScope<'_> {
    /// The value of a parameter with its references resolved; empty if nothing is set.
    pub(super) fn value(&self, name: &str) -> Result<String, ImportFault> {
        let mut left = REFERENCES_MAX;
        self.resolved(name, &mut left).map(|text| text.trim().to_owned())
    }

    /// Whether it is written, here or in `main.cf`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.overrides.contains_key(name) || self.main.contains_key(name)
    }

    /// `yes` or `no`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ImportFault> {
        Ok(self.value(name)?.eq_ignore_ascii_case("yes"))
    }

    /// A list by commas and blanks; what is in braces stays together.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, ImportFault> {
        Ok(split_list(&self.value(name)?))
    }

    /// Version of the defaults.
    pub(super) fn compatibility(&self) -> Result<(u32, u32), ImportFault> {
        let written = self.main.get("compatibility_level").map_or("0", String::as_str);
        let mut parts = written.split('.').map(|part| part.trim().parse().unwrap_or(0));
        Ok((parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
    }

    fn resolved(&self, name: &str, left: &mut usize) -> Result<String, ImportFault> {
        *left = left.checked_sub(1).ok_or_else(|| ImportFault::Circle { parameter: name.to_owned() })?;
        let written = self.overrides.get(name).or_else(|| self.main.get(name)).cloned();
        let text = match written {
            Some(text) => text,
            None => self.default(name)?,
        };
        self.expand(&text, left)
    }

    /// Defaults that matter for what is read.
    fn default(&self, name: &str) -> Result<String, ImportFault> {
        let level = self.compatibility()?;
        let text = match name {
            "mydomain" => {
                let host = self.main.get("myhostname").map_or("", String::as_str);
                host.split_once('.').map_or("localdomain", |(_, domain)| domain)
            }
            "myorigin" | "smtp_helo_name" => "$myhostname",
            "mydestination" => "$myhostname, localhost.$mydomain, localhost",
            "relay_domains" if level < (2, 0) => "$mydestination",
            "inet_interfaces" | "inet_protocols" => "all",
            "smtpd_relay_restrictions" if level >= (1, 0) => {
                "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"
            }
            "parent_domain_matches_subdomains" => {
                "debug_peer_list, fast_flush_domains, mynetworks, permit_mx_backup_networks, \
                 qmqpd_authorized_clients, relay_domains, smtpd_access_maps"
            }
            "smtp_tls_secure_cert_match" => "nexthop, dot-nexthop",
            "smtp_tls_verify_cert_match" => "hostname",
            "smtp_tls_fingerprint_digest" | "smtpd_tls_fingerprint_digest" if level >= (3, 6) => "sha256",
            "smtp_tls_fingerprint_digest" | "smtpd_tls_fingerprint_digest" => "md5",
            "smtp_tls_enforce_peername" => "yes",
            "default_transport" => "smtp",
            "relay_transport" => "relay",
            "config_directory" => CONFIG_DIRECTORY,
            _ => "",
        };
        Ok(text.to_owned())
    }

    /// `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}`, `${{a} == {b} ? {x} : {y}}`.
    fn expand(&self, text: &str, left: &mut usize) -> Result<String, ImportFault> {
        let mut made = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            made.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                made.push('$');
                rest = after;
                continue;
            }
            if let Some(opened) = after.strip_prefix(['{', '(']) {
                let (inside, next) = closed(opened).ok_or_else(|| not_understood(after))?;
                made.push_str(&self.reference(inside, left)?);
                rest = next;
                continue;
            }
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, next) = after.split_at_checked(end).unwrap_or((after, ""));
            if name.is_empty() {
                return Err(not_understood(after));
            }
            made.push_str(&self.resolved(name, left)?);
            rest = next;
        }
        made.push_str(rest);
        Ok(made)
    }

    fn reference(&self, inside: &str, left: &mut usize) -> Result<String, ImportFault> {
        let inside = inside.trim();
        if inside.starts_with('{') {
            return self.comparison(inside, left);
        }
        let end = inside.find(['?', ':']);
        let Some((name, rest)) = end.and_then(|at| inside.split_at_checked(at)) else {
            return self.resolved(inside, left);
        };
        let is_set = !self.resolved(name.trim(), left)?.trim().is_empty();
        let (wanted, text) = (rest.starts_with('?'), rest.trim_start_matches(['?', ':']));
        let (yes, no) = alternatives(text);
        match (is_set == wanted, no) {
            (true, _) => self.expand(yes, left),
            (false, Some(no)) => self.expand(no, left),
            (false, None) => Ok(String::new()),
        }
    }

    fn comparison(&self, inside: &str, left: &mut usize) -> Result<String, ImportFault> {
        let fault = || not_understood(inside);
        let (first, rest) = inside.strip_prefix('{').and_then(closed).ok_or_else(fault)?;
        let (operator, rest) = rest.split_once('{').ok_or_else(fault)?;
        let (second, rest) = closed(rest).ok_or_else(fault)?;
        let (first, second) = (self.expand(first.trim(), left)?, self.expand(second.trim(), left)?);
        let numbers = first.trim().parse::<f64>().ok().zip(second.trim().parse::<f64>().ok());
        let order =
            numbers.and_then(|(a, b)| a.partial_cmp(&b)).unwrap_or_else(|| first.trim().cmp(second.trim()));
        let holds = match operator.trim().trim_end_matches("level") {
            "==" => order.is_eq(),
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            _ => return Err(fault()),
        };
        let text = rest.trim_start().strip_prefix('?').ok_or_else(fault)?;
        let (yes, no) = alternatives(text);
        self.expand(if holds { yes } else { no.unwrap_or_default() }, left)
    }
}

/// `text`, `{text}`, or `{text}:{other}`.
fn alternatives(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    let Some((yes, rest)) = text.strip_prefix('{').and_then(closed) else { return (text, None) };
    let no = rest.trim_start().strip_prefix(':').map(str::trim);
    (yes.trim(), no.map(|no| no.strip_prefix('{').and_then(closed).map_or(no, |(no, _)| no.trim())))
}

/// What is before the brace that closes an opened one, and what is behind it.
fn closed(opened: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    for (at, letter) in opened.char_indices() {
        match letter {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((opened.get(..at)?, opened.get(at + 1..)?));
        }
    }
    None
}

fn not_understood(text: &str) -> ImportFault {
    let shown: String = text.chars().take(60).collect();
    ImportFault::Reference { text: format!("${shown}") }
}

/// A list by commas and blanks.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut depth = 0_usize;
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (letter == ',' || letter.is_whitespace()) {
            if !item.is_empty() {
                items.push(std::mem::take(&mut item));
            }
        } else {
            item.push(letter);
        }
    }
    if !item.is_empty() {
        items.push(item);
    }
    items
}

/// Names that values refer to; what others use needs no counterpart of its own.
pub(super) fn referred(values: &[&Assignments]) -> BTreeSet<String> {
    let all = values.iter().flat_map(|written| written.values());
    let parts = all.flat_map(|value| value.split('$').skip(1));
    let names = parts.map(|part| {
        let plain = part.trim_start_matches(['{', '(']);
        plain.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    });
    names.collect()
}

/// Where Postfix keeps its configuration, unless it says otherwise.
pub(super) const CONFIG_DIRECTORY: &str = "/etc/postfix";

const REFERENCES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "# comment\nmyhostname = gw.a.example\nlist = a,\n  b\n# between\n\n\tc\nover = 1\nover = 2\n\
        mixed = $myhostname:${mydomain} $(list)$$\nset = ${list?{yes}:{no}}\nunset = ${nothing:none} ${nothing?x}\n\
        compare = ${{$over} >= {2} ? {new} : {old}}\ncircle = $other\nother = ${circle}\nlast = ${list?some}\n";

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let main = parameters("main.cf", MAIN).expect("parameters");
        let scope = ParameterScope { overrides: &Assignments::new(), main: &main };
        assert_eq!(scope.value(name).unwrap_or_else(|fault| fault.to_string()), expected, "{name}");
    }

    #[test]
    fn values_are_resolved() {
        check("list", "a, b c");
        check("over", "2");
        check("mixed", "gw.a.example:a.example a, b c$");
        check("set", "yes");
        check("last", "some");
        check("unset", "none");
        check("compare", "new");
        check("mydestination", "gw.a.example, localhost.a.example, localhost");
        check("circle", "main.cf: circle refers to itself, or to more than 100 others");
    }

    #[test]
    fn services_have_their_overrides() {
        let text = "smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n\
                    \x20 -o { smtpd_relay_restrictions = permit_mynetworks, reject }\n";
        let found = services("master.cf", text).expect("services");
        assert_eq!(found.len(), 2);
        let with = &found[1].overrides;
        assert_eq!(with.get("smtpd_tls_security_level").map(String::as_str), Some("encrypt"));
        assert_eq!(
            with.get("smtpd_relay_restrictions").map(String::as_str),
            Some("permit_mynetworks, reject")
        );
    }

    #[test]
    fn broken_lines_say_where() {
        let fault = |text| parameters("main.cf", text).expect_err("a fault").to_string();
        assert_eq!(fault("a = b\nnonsense\n"), "main.cf: line 2: not of the form \"name = value\"");
        assert_eq!(
            fault("  a = b\n"),
            "main.cf: line 1: begins with a blank, and there is nothing before it to continue"
        );
        let fault = services("master.cf", "smtp inet n\n").expect_err("a fault").to_string();
        assert_eq!(
            fault,
            "master.cf: line 1: not a service: there must be eight fields, from name to command"
        );
    }
}
