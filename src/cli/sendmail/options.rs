//! Parses sendmail options as scripts write them: letters, with values attached or in the next
//! word.

use std::path::PathBuf;

use crate::mail::Ret;

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Task {
    /// Submit the message on standard input (`-bm`).
    #[default]
    Message,
    /// Let the caller speak SMTP (`-bs`).
    Session,
    /// List the queue (`-bp`).
    List,
    /// Retry the whole queue (`-q`).
    Flush,
}

/// The parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) task: Task,
    pub(super) recipients: Vec<String>,
    /// `-t`.
    pub(super) recipients_of_header: bool,
    /// Whether a line with only a dot ends the message; not with `-i`.
    pub(super) dot_ends: bool,
    /// `-f`.
    pub(super) sender: Option<String>,
    /// Without `-f`, take the reverse-path from the header's From, which with `-t` is the only
    /// source.
    pub(super) sender_of_header: bool,
    /// `-F`.
    pub(super) full_name: Option<String>,
    /// `-N`, as NOTIFY.
    pub(super) notify: Option<String>,
    /// `-R`, as RET.
    pub(super) ret: Option<Ret>,
    /// `-V`, as ENVID.
    pub(super) envid: Option<String>,
    pub(super) verbose: bool,
    /// `-C`.
    pub(super) config: Option<PathBuf>,
}

/// Options with a value, in the same word or the next.
const WITH_VALUE: &str = "fFrNRVCbBdhLoOpX";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The option that is unknown, incomplete or not supported here.
    pub(super) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self { dot_ends: true, ..Self::default() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                options.recipients.extend(args.by_ref().cloned());
                break;
            }
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.recipients.push(arg.clone());
                continue;
            };
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if letter == 'q' && !rest.as_str().is_empty() {
                    return Err(format!(
                        "{arg}: the daemon tries again by itself; -q without a time tries all at once"
                    ));
                }
                if !WITH_VALUE.contains(letter) {
                    options.flag(letter)?;
                    continue;
                }
                let value = match rest.as_str() {
                    // The value of these is always in the same word.
                    "" if "bodB".contains(letter) => String::new(),
                    "" => args.next().cloned().ok_or_else(|| format!("-{letter} needs a value"))?,
                    value => value.to_owned(),
                };
                options.value(letter, value)?;
                break;
            }
        }
        options.sender_of_header = options.recipients_of_header;
        Ok(options)
    }

    fn flag(&mut self, letter: char) -> Result<(), String> {
        match letter {
            't' => self.recipients_of_header = true,
            'i' => self.dot_ends = false,
            'v' => self.verbose = true,
            // -G, -m, -n, -U, -s and -e: obsolete, or what we do anyway.
            'G' | 'm' | 'n' | 'U' | 's' | 'e' => {}
            'q' => self.task = Task::Flush,
            other => return Err(format!("-{other} is not an option of sendmail")),
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'f' | 'r' => self.sender = Some(value),
            'F' => self.full_name = Some(value),
            'C' => self.config = Some(value.into()),
            'N' => {
                let known =
                    crate::mail::Notify::parse(&value).ok_or_else(|| format!("-N {value}: no such list"))?;
                self.notify = Some(known.to_string());
            }
            'R' => {
                let word = value.to_ascii_uppercase();
                self.ret = Some(if word.starts_with('F') { Ret::Full } else { Ret::Headers });
            }
            'V' if crate::mail::is_xtext(&value) => self.envid = Some(value),
            'V' => return Err(format!("-V {value}: not xtext")),
            'b' if value.is_empty() || value == "m" => {}
            'b' if value == "s" => self.task = Task::Session,
            'b' if value == "p" => self.task = Task::List,
            'b' => return Err(format!("-b{value} is not done here; the daemon is `sealpost run`")),
            'o' if value == "i" => self.dot_ends = false,
            // Other options are for other programs.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let got = read(line).map_or_else(
            |fault| format!("fault: {fault}"),
            |o| {
                let from = o.sender.as_deref().unwrap_or("-");
                let flags = [(o.recipients_of_header, "t"), (!o.dot_ends, "i"), (o.verbose, "v")];
                let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
                let ret = o.ret.map_or_else(String::new, |ret| format!(" RET={}", ret.word()));
                let envid = o.envid.map_or_else(String::new, |envid| format!(" ENVID={envid}"));
                let notify = o.notify.map_or_else(String::new, |notify| format!(" NOTIFY={notify}"));
                format!("{from} [{}] {flags}{ret}{envid}{notify}", o.recipients.join(" "))
            },
        );
        assert_eq!(got, expected, "{line:?}");
    }

    #[test]
    fn options_are_read_as_scripts_write_them() {
        check("a@b.test", "- [a@b.test] ");
        check("-i -f ann@a.test -- -odd@b.test", "ann@a.test [-odd@b.test] i");
        check("-fann@a.test -oi -odb a b", "ann@a.test [a b] i");
        check("-ti", "- [] ti");
        check("-FCron -oi -t", "- [] ti");
        check(
            "-r <> -N success,delay -Rhdrs -VQQ+2B1 a",
            "<> [a]  RET=HDRS ENVID=QQ+2B1 NOTIFY=SUCCESS,DELAY",
        );
        check("-bm -m -v -O DeliveryMode=b a", "- [a] v");
        assert_eq!(read("-bs").map(|o| o.task), Ok(Task::Session));
        assert_eq!(read("-bp -C x").map(|o| o.task), Ok(Task::List));
        assert_eq!(read("-q").map(|o| o.task), Ok(Task::Flush));
        check("-q30m", "fault: -q30m: the daemon tries again by itself; -q without a time tries all at once");
        check("-f", "fault: -f needs a value");
        check("-bd", "fault: -bd is not done here; the daemon is `sealpost run`");
        check("-z", "fault: -z is not an option of sendmail");
        check("-N maybe a", "fault: -N maybe: no such list");
    }
}
