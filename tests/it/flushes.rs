//! What the kernel is asked for: a flush before each 250, and few flushes and calls under load.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, Site, outbound};
use crate::peer::tools::strace;
use crate::peer::{left_out, mix};

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_precedes_each_250() {
    let site = Site::new();
    let trace = site.home.path().join("trace");
    let wanted = "trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,rename,renameat,renameat2";
    let Some(command) = strace(&["-s", "200", "-e", wanted], &trace) else {
        return left_out("flushes::a_flush_precedes_each_250", "strace was not unpacked");
    };
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    site.configure(&outbound("out", "b.test", sink.address, OPPORTUNISTIC));
    let daemon = Daemon::start_by(&site.home, command).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for (label, size) in [("small", 500), ("large", 300_000)] {
        let message = mix::plain(label, 1, size, "ada@a.test", "bob@b.test").remove(0);
        let reply = client.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    daemon.stop().await;
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    // Between the 354 and the next 250 to the client, a flush ended well.
    let gone_on: Vec<usize> = positions(&lines, "\"354");
    assert_eq!(gone_on.len(), 2, "two messages were announced:\n{trace}");
    for (number, at) in gone_on.into_iter().enumerate() {
        let until = lines[at..].iter().position(|l| l.contains("\"250 2.0.0") || l.contains("\"250 2.6.0"));
        let until = at + until.unwrap_or_else(|| panic!("no 250 after the content:\n{trace}"));
        let flushes = lines[at..until].iter().filter(|l| flush_done(l)).count();
        // Small: the commit. Large: the file, its folder, and the commit.
        let least = if number == 0 { 1 } else { 3 };
        assert!(flushes >= least, "{flushes} flushes before the 250:\n{}", lines[at..=until].join("\n"));
    }
}

fn positions(lines: &[&str], text: &str) -> Vec<usize> {
    lines.iter().enumerate().filter(|(_, line)| line.contains(text)).map(|(at, _)| at).collect()
}

/// A call that is interrupted in the trace ends on a `resumed` line.
fn flush_done(line: &str) -> bool {
    (line.contains("fsync") || line.contains("fdatasync")) && line.ends_with("= 0")
}

#[tokio::test(flavor = "multi_thread")]
async fn few_flushes_and_calls_for_each_message() {
    const MESSAGES: usize = 3000;
    let site = Site::new();
    let trace = site.home.path().join("counts");
    let Some(command) = strace(&["-c", "-U", "name,calls"], &trace) else {
        return left_out("flushes::few_flushes_and_calls_for_each_message", "strace was not unpacked");
    };
    let sink = site.good_sink().await;
    site.configure(&outbound("out", "b.test", sink.address, IDENTITY));
    let daemon = Daemon::start_by(&site.home, command).await;
    let sent = mix::plain("load", MESSAGES, 4096, "ada@a.test", "bob@b.test");
    site.source(daemon.at("in"), 20).send_all(sent).await;
    assert!(sink.messages(MESSAGES).await.iter().all(|arrived| arrived.sealed));
    daemon.stop().await;
    let counts = std::fs::read_to_string(trace).unwrap();
    let calls = |wanted: &dyn Fn(&str) -> bool| -> usize {
        let rows = counts.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.parse::<usize>().ok()?))
        });
        rows.filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
    };
    let flushes = calls(&|name| name == "fsync" || name == "fdatasync");
    let all = calls(&|name| name != "total");
    assert!(flushes > 0 && all > MESSAGES, "the trace is not whole:\n{counts}");
    let each = |count: usize| count as f64 / MESSAGES as f64;
    println!("{:.3} flushes and {:.1} system calls for each message", each(flushes), each(all));
    // One by one there would be two, for the message and for its delivery. How many share one depends on how busy this
    // machine is: the benchmarks measure that.
    assert!(each(flushes) <= 0.75, "{:.3} flushes for each message:\n{counts}", each(flushes));
    assert!(each(all) <= 50.0, "{:.1} system calls for each message:\n{counts}", each(all));
}
