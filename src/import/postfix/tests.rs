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
    let master = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\nrelay unix - - y - - smtp\n";
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
        "smtpd_relay_restrictions = permit_tls_clientcerts, reject\nrelay_clientcerts = ldap:/etc/postfix/l\n\
         smtp_tls_policy_maps = mysql:/etc/postfix/m\n",
        &[],
    )
    .expect("imported");
    let named: Vec<&str> = made.remarks.iter().map(|one| one.remark.setting.as_str()).collect();
    assert!(named.contains(&"relay_clientcerts") && named.contains(&"smtp_tls_policy_maps"), "{named:?}");
    assert!(!made.text.contains("[[inbound]]"), "{}", made.text);
}
