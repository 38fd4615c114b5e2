//! Tests of the command parser; they open no session.

use super::*;

#[track_caller]
fn check(line: &str, expected: &str) {
    check_bytes(line.as_bytes(), expected);
}

#[track_caller]
fn check_bytes(line: &[u8], expected: &str) {
    let got = match Command::parse(line) {
        Ok(Command::Mail(m)) => format!(
            "MAIL {:?} {:?} {:?}{}{}{}",
            m.reverse_path,
            m.size,
            m.body,
            if m.utf8 { " utf8" } else { "" },
            m.dsn.ret.map_or_else(String::new, |ret| format!(" {ret:?}")),
            m.dsn.envid.map_or_else(String::new, |envid| format!(" {envid}")),
        ),
        Ok(Command::Rcpt(RcptTo { path: ForwardPath::Mailbox(m), dsn })) => {
            let orcpt = dsn.orcpt.map_or_else(String::new, |orcpt| format!(" {orcpt}"));
            format!("RCPT {m:?} {}{orcpt}", dsn.notify).trim_end().to_owned()
        }
        Ok(Command::Rcpt(RcptTo { path: ForwardPath::Postmaster, .. })) => "RCPT postmaster".to_owned(),
        Ok(command) => format!("{command:?}"),
        Err(fault) => fault.reply().to_string(),
    };
    assert_eq!(got, expected, "{}", String::from_utf8_lossy(line));
}

#[test]
fn verbs_are_read_in_any_case() {
    check("ehlo Mail.Contoso.example", "Ehlo(\"Mail.Contoso.example\")");
    check("HELO  x ", "Helo(\"x\")");
    check("NooP what ever", "Noop");
    check("HELP MAIL", "Help");
    check("VRFY a", "Vrfy");
    check("EXPN a", "Expn");
    check("DATA  ", "Data");
    check("starttls", "StartTls");
    check("Rset", "Rset");
    check("quit", "Quit");
}

#[test]
fn what_is_no_command_gets_its_code() {
    check("", "500 5.5.2 command not recognised");
    check("HELLO x", "500 5.5.2 command not recognised");
    check("EHLO", "501 5.5.4 syntax: EHLO domain");
    check("HELO ", "501 5.5.4 syntax: HELO domain");
    check("STARTTLS x", "501 5.5.4 syntax: STARTTLS");
    check("DATA x", "501 5.5.4 syntax: DATA");
    check("QUIT now", "501 5.5.4 syntax: QUIT");
    check("AUTH", "501 5.5.4 syntax: AUTH mechanism [initial-response]");
    check("auth plain AGEAYg==", "Auth(Auth(PLAIN, a response))");
    check("BDAT 10 last", "Bdat(Chunk { octets: 10, last: true })");
    check("BDAT 0", "Bdat(Chunk { octets: 0, last: false })");
    let chunk =
        "501 5.5.4 syntax: BDAT octets [LAST]; the connection is closed, since it is not known what follows";
    check("BDAT", chunk);
    check("BDAT ten", chunk);
    check("BDAT 10 FIRST", chunk);
    check("BDAT 10 LAST x", chunk);
    check("NO\0OP", "500 5.5.2 a control character in the line");
    check("NOOP\r", "500 5.5.2 a control character in the line");
}

#[test]
fn mail_is_read_with_its_parameters() {
    check("MAIL FROM:<>", "MAIL <> None SevenBit");
    check("mail from:<A@b.Example>", "MAIL <A@b.example> None SevenBit");
    check("MAIL FROM: <a@b.example>", "MAIL <a@b.example> None SevenBit");
    check("MAIL FROM:<a@b.example> SIZE=1000 BODY=8bitmime", "MAIL <a@b.example> Some(1000) EightBitMime");
    check("MAIL FROM:<a@b.example> body=7BIT", "MAIL <a@b.example> None SevenBit");
    check("MAIL FROM:<\"a>b\"@c.example>", "MAIL <\"a>b\"@c.example> None SevenBit");
    check("MAIL FROM:<@x.example,@y.example:a@b.example>", "MAIL <a@b.example> None SevenBit");
    check(
        "MAIL FROM:<ü@b.example> smtputf8 RET=full ENVID=a+2Bb",
        "MAIL <ü@b.example> None SevenBit utf8 Full a+2Bb",
    );
    check("MAIL FROM:<a@b.example> BODY=binarymime AUTH=<>", "MAIL <a@b.example> None BinaryMime");
    check(
        "MAIL FROM:<a@b.example> SIZE=99999999999999999999",
        "MAIL <a@b.example> Some(18446744073709551615) SevenBit",
    );
}

#[test]
fn mail_that_is_not_in_order_gets_its_code() {
    let usage = "501 5.5.4 syntax: MAIL FROM:<address> [SIZE=n] [BODY=8BITMIME]";
    check("MAIL", usage);
    check("MAIL a@b.example", usage);
    check("MAIL FROM:a@b.example", usage);
    check("MAIL FROM:<a@b.example", usage);
    check("MAIL FROM:<a@b.example>SIZE=1", usage);
    check("MAIL FROM :<a@b.example>", usage);
    check("MAIL FROM:<a@b.example> SIZE=x", "501 5.5.4 parameter SIZE is not in order");
    check("MAIL FROM:<a@b.example> SIZE", "501 5.5.4 parameter SIZE is not in order");
    check("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501 5.5.4 parameter SIZE is not in order");
    check("MAIL FROM:<a@b.example> BODY=9BIT", "501 5.5.4 parameter BODY is not in order");
    check("MAIL FROM:<a@b.example> RET=ALL", "501 5.5.4 parameter RET is not in order");
    check("MAIL FROM:<a@b.example> ENVID=a=b", "501 5.5.4 parameter ENVID is not in order");
    check(
        &format!("MAIL FROM:<a@b.example> ENVID={}", "x".repeat(101)),
        "501 5.5.4 parameter ENVID is not in order",
    );
    check("MAIL FROM:<a@b.example> SMTPUTF8=yes", "501 5.5.4 parameter SMTPUTF8 is not in order");
    check("MAIL FROM:<a@b.example> X-OTHER", "555 5.5.4 parameter X-OTHER is not recognised");
    check("MAIL FROM:<a>", "501 5.1.7 bad reverse-path: not of the form <local@domain>");
    check(
        "MAIL FROM:<ü@b.example>",
        "553 5.6.7 bad reverse-path: an address with non-ASCII characters must be UTF-8, and MAIL FROM must have said SMTPUTF8",
    );
    check_bytes(
        b"MAIL FROM:<\xff@b.example>",
        "553 5.6.7 bad reverse-path: an address with non-ASCII characters must be UTF-8, and MAIL FROM must have said SMTPUTF8",
    );
    check("MAIL FROM:<a\0@b.example>", "500 5.5.2 a control character in the line");
}

#[test]
fn rcpt_is_read() {
    check("RCPT TO:<b@c.example>", "RCPT <b@c.example>");
    check("RCPT TO: <b@[192.0.2.1]>", "RCPT <b@[192.0.2.1]>");
    check("RCPT TO:<@x.example:b@c.example>", "RCPT <b@c.example>");
    check("RCPT TO:<PostMaster>", "RCPT postmaster");
    check("RCPT TO:<\"postmaster\">", "RCPT postmaster");
    check("RCPT TO:<>", "501 5.1.3 bad forward-path: not of the form <local@domain>");
    check("RCPT TO:<b>", "501 5.1.3 bad forward-path: not of the form <local@domain>");
    check("RCPT TO:<b@c.example> NOTIFY=never", "RCPT <b@c.example> NEVER");
    check(
        "RCPT TO:<b@c.example> ORCPT=rfc822;B+2Bx@c.example NOTIFY=SUCCESS,DELAY",
        "RCPT <b@c.example> SUCCESS,DELAY rfc822;B+2Bx@c.example",
    );
    check(
        "RCPT TO:<b@c.example> ORCPT=utf-8;jürgen@c.example",
        "RCPT <b@c.example>  utf-8;j\\x{FC}rgen@c.example",
    );
    check("RCPT TO:<ü@c.example>", "RCPT <ü@c.example>");
    check("RCPT TO:<b@c.example> NOTIFY=NEVER,DELAY", "501 5.5.4 parameter NOTIFY is not in order");
    check("RCPT TO:<b@c.example> ORCPT=b@c.example", "501 5.5.4 parameter ORCPT is not in order");
    check(
        &format!("RCPT TO:<b@c.example> ORCPT=rfc822;{}", "x".repeat(500)),
        "501 5.5.4 parameter ORCPT is not in order",
    );
    check("RCPT TO:<b@c.example> SIZE=1", "555 5.5.4 parameter SIZE is not recognised");
    check("RCPT FROM:<b@c.example>", "501 5.5.4 syntax: RCPT TO:<address>");
}
