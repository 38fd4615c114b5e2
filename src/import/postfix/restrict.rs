//! Restriction lists of `smtpd`: may this kind of client send to this kind of recipient? Only what decides about relaying
//! and TLS is understood; the rest is remarked.

use std::collections::BTreeSet;

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::main_cf::{ParameterScope, split_list};

/// A kind of client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SmtpdClient {
    /// In `mynetworks`.
    Network,
    /// A certificate of `relay_clientcerts`.
    KnownCertificate,
    /// Any certificate of the trusted authorities.
    AnyCertificate,
    /// What a table names: its item in the list.
    Listed(String),
    /// Everybody else.
    Stranger,
}

/// A kind of recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Ours,
    Elsewhere,
}

/// One restriction, its arguments included.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Restriction {
    PermitNetworks,
    PermitKnownCertificates,
    PermitAnyCertificate,
    PermitOurs,
    RejectElsewhere,
    Permit,
    Reject,
    /// A table of clients or certificates.
    Listed(String),
    /// A table of senders.
    Senders(String),
    /// Whoever comes here without TLS is refused.
    RejectPlaintext,
    Nothing,
}

/// Whether the answer of a table refuses senders without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaintextDemand {
    None,
    /// That, and something else.
    Among,
    Only,
}

/// The lists of one service, in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Restrictions {
    lists: Vec<Vec<Restriction>>,
    pub(super) remarks: Vec<Leftover>,
}

const LISTS: &[&str] = &[
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
];

impl Restrictions {
    pub(super) fn read(scope: &ParameterScope<'_>) -> Result<Self, ImportFault> {
        let classes: BTreeSet<String> = scope.list("smtpd_restriction_classes")?.into_iter().collect();
        let mut all = Self::default();
        for name in LISTS {
            let mut list = Vec::new();
            all.items(name, &scope.list(name)?, (scope, &classes, 0), &mut list)?;
            all.lists.push(list);
        }
        all.remarks.dedup();
        Ok(all)
    }

    fn items(
        &mut self,
        setting: &str,
        items: &[String],
        (scope, classes, depth): (&ParameterScope<'_>, &BTreeSet<String>, usize),
        list: &mut Vec<Restriction>,
    ) -> Result<(), ImportFault> {
        let mut rest = items.iter();
        while let Some(item) = rest.next() {
            if classes.contains(item) && depth < CLASSES_DEEP_MAX {
                let inner = split_list(&scope.value(item)?);
                self.items(setting, &inner, (scope, classes, depth + 1), list)?;
                continue;
            }
            if classes.contains(item) {
                let (place, field) = ("main.cf".to_owned(), setting.to_owned());
                let expected = "a restriction class that ends";
                return Err(ImportFault::Value { place, field, value: item.clone(), expected });
            }
            // Names are compared without case.
            let item = &item.to_ascii_lowercase();
            let takes_argument = item.starts_with("check_")
                || item == "sleep"
                || ["reject_rbl_client", "reject_rhsbl_client", "reject_rhsbl_sender", "reject_rhsbl_helo"]
                    .contains(&item.as_str())
                || ["reject_rhsbl_recipient", "reject_rhsbl_reverse_client", "permit_dnswl_client"]
                    .contains(&item.as_str())
                || item == "permit_rhswl_client";
            let argument =
                if takes_argument { rest.next().cloned().unwrap_or_default() } else { String::new() };
            if item == "warn_if_reject" {
                // The next one only warns.
                let next = rest.next().cloned().unwrap_or_default();
                self.remark(setting, &format!("warn_if_reject {next}"), "nothing only warns", "leave it out");
                continue;
            }
            list.push(self.one(setting, item, argument)?);
        }
        Ok(())
    }

    fn one(&mut self, setting: &str, item: &str, argument: String) -> Result<Restriction, ImportFault> {
        Ok(match item {
            "permit_mynetworks" => Restriction::PermitNetworks,
            "permit_tls_clientcerts" => Restriction::PermitKnownCertificates,
            "permit_tls_all_clientcerts" => Restriction::PermitAnyCertificate,
            "permit_auth_destination" => Restriction::PermitOurs,
            "reject_unauth_destination" | "defer_unauth_destination" => Restriction::RejectElsewhere,
            "permit" => Restriction::Permit,
            // A permission would only put off the mail.
            "reject" | "defer" | "defer_if_permit" => Restriction::Reject,
            "reject_plaintext_session" => Restriction::RejectPlaintext,
            "check_client_access" | "check_ccert_access" => Restriction::Listed(format!("{item} {argument}")),
            "check_sender_access" => Restriction::Senders(argument),
            // A client that sends too early is always an error; names and addresses are always checked in form.
            "reject_unauth_pipelining" | "reject_invalid_helo_hostname" | "reject_invalid_hostname" => {
                Restriction::Nothing
            }
            "permit_sasl_authenticated" => {
                let why = "users of SASL are not known here, so nobody is admitted by a login";
                self.remark(
                    setting,
                    item,
                    why,
                    "write users_file at a connector of its own; `sealpost user` makes its lines",
                );
                Restriction::Nothing
            }
            "reject_unlisted_recipient" | "reject_unverified_recipient" => {
                let why = "recipients are known only from relay_recipient_maps";
                self.remark(setting, item, why, "write recipients_file or verify_recipients");
                Restriction::Nothing
            }
            _ if item.starts_with("permit") => {
                self.remark(
                    setting,
                    &format!("{item} {argument}"),
                    "it admits nobody here",
                    "write a connector for these clients",
                );
                Restriction::Nothing
            }
            // The table alone is the older way to write it.
            _ if item.contains(':') && setting == "smtpd_client_restrictions" => {
                Restriction::Listed(format!("check_client_access {item}"))
            }
            _ if item.contains(':') && setting == "smtpd_sender_restrictions" => {
                Restriction::Senders(item.to_owned())
            }
            _ if !REFUSING.iter().any(|begin| item.starts_with(begin)) && !item.contains(':') => {
                let (place, field) = ("main.cf".to_owned(), setting.to_owned());
                let expected = "a restriction or a restriction class";
                return Err(ImportFault::Value { place, field, value: item.to_owned(), expected });
            }
            _ => {
                let why = "mail is not filtered here, and this refuses nobody";
                self.remark(
                    setting,
                    format!("{item} {argument}").trim(),
                    why,
                    "keep the filter behind this gateway",
                );
                Restriction::Nothing
            }
        })
    }

    fn remark(&mut self, setting: &str, value: &str, why: &str, instead: &str) {
        self.remarks.push(Leftover::new(setting, value.trim(), why, instead));
    }

    /// Whether the answer of an access table refuses plaintext: by itself, or by restriction classes.
    pub(super) fn plaintext_refused(
        &self,
        scope: &ParameterScope<'_>,
        answer: &str,
    ) -> Result<PlaintextDemand, ImportFault> {
        let classes: BTreeSet<String> = scope.list("smtpd_restriction_classes")?.into_iter().collect();
        let mut items = split_list(answer);
        for _ in 0..CLASSES_DEEP_MAX {
            let mut inner = Vec::new();
            for item in items {
                match classes.contains(&item) {
                    true => inner.extend(scope.list(&item)?),
                    false => inner.push(item),
                }
            }
            items = inner;
        }
        let refuses = |item: &String| item.eq_ignore_ascii_case("reject_plaintext_session");
        Ok(match items.iter().any(refuses) {
            true if items.len() == 1 => PlaintextDemand::Only,
            true => PlaintextDemand::Among,
            false => PlaintextDemand::None,
        })
    }

    /// Whether a list refuses a client without TLS before it decides about it.
    pub(super) fn demands_tls(&self, client: &SmtpdClient) -> bool {
        let mut undecided = self.lists.iter().map(|list| undecided(list, client));
        undecided.any(|list| list.contains(&Restriction::RejectPlaintext))
    }

    /// The tables of clients that a list asks before it decides about a client.
    pub(super) fn asked_before(&self, client: &SmtpdClient) -> Vec<String> {
        let asked = self.lists.iter().flat_map(|list| undecided(list, client));
        let named = asked.filter_map(|one| {
            let Restriction::Listed(item) = one else { return None };
            Some(item.clone())
        });
        named.collect()
    }

    /// Tables of clients and of certificates that are asked.
    pub(super) fn listed(&self) -> Vec<String> {
        let mut found = Vec::new();
        for one in self.lists.iter().flatten() {
            if let Restriction::Listed(item) = one
                && !found.contains(item)
            {
                found.push(item.clone());
            }
        }
        found
    }

    /// Tables of senders that are asked.
    pub(super) fn senders(&self) -> Vec<String> {
        let all = self.lists.iter().flatten();
        let named = all.filter_map(|one| {
            let Restriction::Senders(table) = one else { return None };
            Some(table.clone())
        });
        named.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether any list asks for certificates.
    pub(super) fn asks_for(&self, client: &SmtpdClient) -> bool {
        let wanted = match client {
            SmtpdClient::KnownCertificate => Restriction::PermitKnownCertificates,
            SmtpdClient::AnyCertificate => Restriction::PermitAnyCertificate,
            SmtpdClient::Network => Restriction::PermitNetworks,
            SmtpdClient::Listed(item) => Restriction::Listed(item.clone()),
            SmtpdClient::Stranger => return true,
        };
        self.lists.iter().flatten().any(|one| *one == wanted)
    }

    /// Whether each list lets a client's mail to such a recipient pass.
    pub(super) fn passes(&self, client: &SmtpdClient, to: Destination) -> bool {
        self.lists.iter().all(|list| list_passes(list, client, to))
    }
}

fn list_passes(list: &[Restriction], client: &SmtpdClient, to: Destination) -> bool {
    list.iter().find_map(|one| decides(one, client, to)).unwrap_or(true)
}

/// The beginning of a list that has not decided about a client, for one kind of recipient or the other.
fn undecided<'l>(list: &'l [Restriction], client: &SmtpdClient) -> &'l [Restriction] {
    let is_open = |one: &Restriction| {
        [Destination::Ours, Destination::Elsewhere].iter().any(|to| decides(one, client, *to).is_none())
    };
    let end = list.iter().position(|one| !is_open(one)).unwrap_or(list.len());
    list.get(..end).unwrap_or_default()
}

fn decides(restriction: &Restriction, client: &SmtpdClient, to: Destination) -> Option<bool> {
    match restriction {
        Restriction::PermitNetworks => (*client == SmtpdClient::Network).then_some(true),
        Restriction::PermitKnownCertificates => (*client == SmtpdClient::KnownCertificate).then_some(true),
        Restriction::PermitAnyCertificate => {
            matches!(client, SmtpdClient::AnyCertificate | SmtpdClient::KnownCertificate).then_some(true)
        }
        Restriction::Listed(item) => (*client == SmtpdClient::Listed(item.clone())).then_some(true),
        Restriction::PermitOurs => (to == Destination::Ours).then_some(true),
        Restriction::RejectElsewhere => (to == Destination::Elsewhere).then_some(false),
        Restriction::Permit => Some(true),
        Restriction::Reject => Some(false),
        Restriction::Senders(_) | Restriction::RejectPlaintext | Restriction::Nothing => None,
    }
}

/// How restrictions begin that refuse some mail or none: filters.
const REFUSING: &[&str] = &["reject_", "check_", "defer_", "sleep"];

const CLASSES_DEEP_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::super::main_cf::{Assignments, parameters};
    use super::*;

    #[track_caller]
    fn check(main: &str, client: &SmtpdClient, expected: &str) {
        let main = parameters("main.cf", main).expect("parameters");
        let scope = ParameterScope { overrides: &Assignments::new(), main: &main };
        let read = Restrictions::read(&scope).expect("restrictions");
        let passes = [Destination::Ours, Destination::Elsewhere].map(|to| read.passes(client, to));
        let word = match passes {
            [true, true] => "anywhere",
            [true, false] => "ours",
            [false, true] => "elsewhere",
            [false, false] => "refused",
        };
        assert_eq!(word, expected);
    }

    #[test]
    fn lists_decide_in_order_and_all_must_agree() {
        let usual = "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n";
        check(usual, &SmtpdClient::Network, "anywhere");
        check(usual, &SmtpdClient::Stranger, "ours");
        let submission = "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
                          smtpd_recipient_restrictions = permit_mynetworks, reject\n";
        check(submission, &SmtpdClient::Network, "anywhere");
        check(submission, &SmtpdClient::Stranger, "refused");
        let order = "smtpd_relay_restrictions = reject_unauth_destination, permit_mynetworks\n";
        check(order, &SmtpdClient::Network, "ours");
        let ours = "smtpd_relay_restrictions = permit_auth_destination, permit_tls_clientcerts, reject\n";
        check(ours, &SmtpdClient::Stranger, "ours");
        check(ours, &SmtpdClient::KnownCertificate, "anywhere");
        let class = "smtpd_restriction_classes = mine\nmine = permit_mynetworks, reject\nsmtpd_relay_restrictions = mine\n";
        check(class, &SmtpdClient::Network, "anywhere");
        check(class, &SmtpdClient::Stranger, "refused");
        check("compatibility_level = 3.6\n", &SmtpdClient::Stranger, "ours");
        check("smtpd_relay_restrictions = permit\n", &SmtpdClient::Stranger, "anywhere");
        check(
            "smtpd_relay_restrictions = warn_if_reject reject, permit\n",
            &SmtpdClient::Stranger,
            "anywhere",
        );
    }
}
