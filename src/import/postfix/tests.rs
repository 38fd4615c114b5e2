//! What the samples don't show: every parameter that counts as read is read, and what can't be understood ends the import.

use std::collections::BTreeMap;

use super::super::Translation;
use super::super::sketch::{Disk, Wishes};
use super::names::READ;
use super::translate;

/// Files in memory.
struct MemoryDisk(BTreeMap<String, String>);

impl Disk for MemoryDisk {
    fn is_file(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(|| "no such file".to_owned())
    }
}

fn import(main: &str, more: &[(&str, &str)]) -> Result<Translation, String> {
    import_with("", main, more)
}

/// With more services.
fn import_with(services: &str, main: &str, more: &[(&str, &str)]) -> Result<Translation, String> {
    let master = &format!(
        "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\nrelay unix - - y - - smtp\n{services}"
    );
    let files = [("main.cf", main), ("master.cf", master)].into_iter().chain(more.iter().copied());
    let files = files.map(|(name, text)| (format!("/etc/postfix/{name}"), text.to_owned())).collect();
    let wishes =
        Wishes { certificate_dir: "/tls".to_owned(), data_dir: "/data".to_owned(), ..Wishes::default() };
    translate("/etc/postfix", "/etc/postfix", &wishes, &MemoryDisk(files)).map_err(|fault| fault.to_string())
}

#[test]
fn every_parameter_that_counts_as_read_is_named_in_the_code() {
    let code = [
        include_str!("admit.rs"),
        include_str!("depart.rs"),
        include_str!("level.rs"),
        include_str!("main_cf.rs"),
        include_str!("mod.rs"),
        include_str!("policy.rs"),
        include_str!("restrict.rs"),
    ]
    .concat();
    // Both sides have these, and the name is put together.
    let put_together = |name: &str| {
        let part = name.trim_start_matches("smtpd_tls_").trim_start_matches("smtp_tls_");
        let part = part.trim_start_matches("ec");
        code.contains(&format!("_tls_{{kind}}{part}")) || code.contains(&format!("{{side}}_tls_{part}"))
    };
    let silent: Vec<&&str> =
        READ.iter().filter(|name| !code.contains(&format!("\"{name}\"")) && !put_together(name)).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_parameter_that_nothing_reads_is_remarked() {
    let made = import(
        "myhostname = gw.a.example\nmy_own = 10.0.0.0/8\nmynetworks = $my_own\nmilter_protocol = 6\nnew_in_2030 = x\n\
         disable_vrfy_command = yes\n",
        &[],
    )
    .expect("imported");
    let named: Vec<&str> = made.remarks.iter().map(|one| one.remark.setting.as_str()).collect();
    assert!(named.contains(&"new_in_2030") && named.contains(&"milter_protocol"), "{named:?}");
    assert!(!named.contains(&"my_own") && !named.contains(&"disable_vrfy_command"), "{named:?}");
}

#[test]
fn what_is_not_understood_ends_the_import() {
    let check = |main: &str, more: &[(&str, &str)], expected: &str| {
        assert_eq!(import(main, more).expect_err("a fault"), expected);
    };
    check(
        "smtp_tls_policy_maps = hash:/etc/postfix/none\n",
        &[],
        "/etc/postfix/none: can't be read: no such file",
    );
    check(
        "smtp_tls_policy_maps = hash:/etc/postfix/p\n",
        &[("p", "a.example secure match\n")],
        "smtp_tls_policy_maps: a.example is \"match\", which is not name=value",
    );
    check(
        "smtp_tls_security_level = strong\n",
        &[],
        "main.cf: smtp_tls_security_level is \"strong\", which is not none, may, encrypt, dane, dane-only, fingerprint, \
         verify or secure",
    );
    check(
        "smtpd_tls_security_level = always\n",
        &[],
        "main.cf: smtpd_tls_security_level is \"always\", which is not none, may or encrypt",
    );
    check("a = ${b\n", &[], "main.cf: a reference to a parameter is not understood: ${b");
}

#[test]
fn a_table_that_only_postfix_reads_is_remarked_and_nobody_gets_in() {
    let made = import(
        "smtpd_relay_restrictions = permit_tls_clientcerts, reject\nrelay_clientcerts = ldap:/etc/postfix/l\n",
        &[],
    )
    .expect("imported");
    let named: Vec<&str> = made.remarks.iter().map(|one| one.remark.setting.as_str()).collect();
    assert!(named.contains(&"relay_clientcerts"), "{named:?}");
    assert!(!made.text.contains("[[inbound]]"), "{}", made.text);
}

/// The section that begins with a heading and has a text, without comments.
fn section(made: &Translation, heading: &str, has: &str) -> String {
    let lines = made.text.lines().filter(|line| !line.starts_with('#'));
    let plain = lines.collect::<Vec<_>>().join("\n");
    let mut all = plain.split("\n[").map(str::to_owned);
    let found = all.find(|one| one.starts_with(heading) && one.contains(has));
    found.unwrap_or_else(|| panic!("no {heading} with {has}:\n{}", made.text))
}

const POLICIES: &str = "smtp_tls_security_level = may\nsmtp_tls_policy_maps = ";

#[test]
fn a_table_that_cannot_be_read_takes_no_other_with_it() {
    let p = ("p", "bank.example encrypt\n");
    let made =
        import(&format!("{POLICIES}hash:/etc/postfix/p, socketmap:inet:127.0.0.1:8461:postfix\n"), &[p])
            .expect("imported");
    assert!(section(&made, "[outbound", "bank.example").contains("forced"), "{}", made.text);
    assert!(made.remarks.iter().any(|one| one.remark.value.starts_with("socketmap:")), "{:?}", made.remarks);
    for first in [
        "socketmap:inet:127.0.0.1:8461:postfix, hash:/etc/postfix/p",
        "hash:/etc/postfix/p, ldap:/etc/postfix/l",
    ] {
        let fault = import(&format!("{POLICIES}{first}\n"), &[p]).expect_err("a fault");
        assert!(fault.starts_with("main.cf: smtp_tls_policy_maps = "), "{fault}");
    }
    let made = import(
        "transport_maps = hash:/etc/postfix/t, ldap:/etc/postfix/l\n",
        &[("t", "b.example smtp:[gw.b.example]\n")],
    )
    .expect("imported");
    assert!(section(&made, "[outbound", "b.example").contains("gw.b.example:25"), "{}", made.text);
}

#[test]
fn each_host_of_a_next_hop_has_its_policy() {
    let relay = |policies: &str, files: &[(&str, &str)]| {
        import(&format!("relayhost = [a.example]:587, [b.example]:587\n{POLICIES}{policies}\n"), files)
    };
    let both = [("p", "[a.example]:587 secure\n[b.example]:587 secure\n")];
    let made = relay("hash:/etc/postfix/p", &both).expect("imported");
    assert!(section(&made, "[outbound", "a.example:587").contains("tls = \"forced\""), "{}", made.text);
    let fault = relay("hash:/etc/postfix/p", &[("p", "[a.example]:587 encrypt\n")]).expect_err("a fault");
    assert!(fault.contains("next hop = [a.example]:587, [b.example]:587: "), "{fault}");
    for every in ["static:encrypt", "regexp:/etc/postfix/p"] {
        let made = relay(every, &[("p", "/./ encrypt\n")]).expect("imported");
        assert!(section(&made, "[outbound", "a.example:587").contains("forced"), "{}", made.text);
    }
}

#[test]
fn a_service_has_policies_of_its_own() {
    let made = import_with(
        "partner unix - - y - - smtp\n  -o smtp_tls_policy_maps=hash:/etc/postfix/p\n",
        &format!("transport_maps = hash:/etc/postfix/t\n{POLICIES}\n"),
        &[("p", "bank.example encrypt\n"), ("t", "bank.example partner:\n")],
    )
    .expect("imported");
    assert!(section(&made, "[outbound", "bank.example").contains("forced"), "{}", made.text);
}

#[test]
fn what_is_refused_stays_refused() {
    let cidr = ("c", "192.0.2.5 REJECT stolen\n192.0.2.0/24 OK\n10.6.6.0/24 REJECT\n");
    let own = "mynetworks = !/etc/postfix/f, !hash:/etc/postfix/h, 10.0.0.0/8\nsmtpd_client_restrictions = ";
    let files = [cidr, ("f", "10.8.8.8\n"), ("h", "10.9.9.9 x\n"), ("n", "bad.example REJECT\n")];
    let relaying =
        "smtpd_relay_restrictions = permit_mynetworks, check_client_access cidr:/etc/postfix/c, reject\n";
    let made = import(&format!("{own}check_client_access cidr:/etc/postfix/c\n{relaying}"), &files)
        .expect("imported");
    for (network, inside) in [
        ("192.0.2.5/32", "192.0.2.5"),
        ("10.6.6.0/24", "10.6.6.1"),
        ("10.8.8.8/32", "10.8.8.8"),
        ("10.9.9.9/32", "10.9.9.9"),
    ] {
        let address: std::net::IpAddr = inside.parse().expect("an address");
        let plain: String = made.text.lines().filter(|line| !line.starts_with('#')).collect();
        let words = plain.split(['"', ' ', ',']).filter_map(|word| word.parse::<ipnet::IpNet>().ok());
        let covering: Vec<ipnet::IpNet> = words.filter(|one| one.contains(&address)).collect();
        assert!(covering.is_empty(), "{network}: {covering:?}");
    }
    assert!(made.text.contains("10.128.0.0/9"), "{}", made.text);
    let fault = import(&format!("{own}check_client_access hash:/etc/postfix/n\n{relaying}"), &files)
        .expect_err("a fault");
    assert!(fault.contains("check_client_access = bad.example REJECT"), "{fault}");
    for hole in ["mynetworks = !ldap:/etc/postfix/l, 10.0.0.0/8\n", "mynetworks = !gw.example, 10.0.0.0/8\n"]
    {
        import(&format!("{hole}{relaying}"), &files).expect_err("a fault");
    }
    let fault = import("relay_domains = !secret.b.example, b.example\n", &[]).expect_err("a fault");
    assert!(fault.starts_with("main.cf: relay_domains = b.example: "), "{fault}");
}

#[test]
fn plaintext_is_refused_however_it_is_written() {
    let made =
        import("smtpd_tls_security_level = may\nsmtpd_client_restrictions = REJECT_plaintext_session\n", &[])
            .expect("imported");
    assert!(section(&made, "[inbound", "internet").contains("forced"), "{}", made.text);
    let senders = "smtpd_tls_security_level = may\nsmtpd_restriction_classes = tls_only\ntls_only = reject_plaintext_session\n\
                   smtpd_sender_restrictions = check_sender_access hash:/etc/postfix/s\n";
    for answer in
        ["tls_only", "REJECT_PLAINTEXT_SESSION", "reject_plaintext_session, reject_unverified_sender"]
    {
        let made = import(senders, &[("s", &format!("k.example {answer}\n"))]).expect("imported");
        assert!(section(&made, "[inbound", "k.example").contains("forced"), "{answer}: {}", made.text);
    }
    import(senders, &[("s", "ceo@k.example tls_only\n")]).expect_err("a fault");
    import("smtpd_relay_restrictions = permit_mynetworks, Rejct\n", &[]).expect_err("a fault");
    let made = import("smtpd_recipient_restrictions = Reject\n", &[]).expect("imported");
    assert!(!made.text.contains("[[inbound]]"), "{}", made.text);
}
