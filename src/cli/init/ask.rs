//! Asks for what no flag has said, on a terminal. Without one, what is missing is named together, with its flag.

use std::io::{BufRead, Read as _, Write};

use super::super::exit::{EXIT_ARGUMENTS, Failure};

/// A question, as a person and as a script see it.
pub(super) struct InitQuestion {
    /// What is asked.
    pub(super) words: &'static str,
    /// The flag that answers it.
    pub(super) flag: &'static str,
    /// What an empty line means.
    pub(super) usual: Option<&'static str>,
}

/// Who answers: flags first, then a person if there is one.
pub(super) struct Interview<R, W> {
    person: Option<(R, W)>,
    missing: Vec<String>,
}

impl<R: BufRead, W: Write> Interview<R, W> {
    pub(super) fn new(person: Option<(R, W)>) -> Self {
        Self { person, missing: Vec::new() }
    }

    /// What a flag has said, or what a person says: asked again until it can be read. `None` if nobody can be asked.
    pub(super) fn answer<T>(
        &mut self,
        given: Option<T>,
        question: &InitQuestion,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        if given.is_some() {
            return Ok(given);
        }
        let Some((input, output)) = &mut self.person else {
            self.missing.push(format!("{} ({})", question.flag, question.words));
            return Ok(None);
        };
        let usual = question.usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        for _ in 0..TRIES_MAX {
            let _gone = write!(output, "{}{usual}: ", question.words).and_then(|()| output.flush());
            let mut line = String::new();
            let length = input.take(ANSWER_BYTES_MAX).read_line(&mut line);
            let length = length.map_err(|fault| ended(&format!("the answer can't be read: {fault}")))?;
            if length == 0 {
                return Err(ended("no answer"));
            }
            let text = Some(line.trim()).filter(|text| !text.is_empty()).or(question.usual);
            match text.map(&read) {
                Some(Ok(answer)) => return Ok(Some(answer)),
                Some(Err(why)) => {
                    let _gone = writeln!(output, "  {why}");
                }
                None => {}
            }
        }
        Err(ended("no usable answer"))
    }

    /// The failure that names every flag that is missing.
    pub(super) fn unanswered(&self) -> Failure {
        let missing = self.missing.join("\n  ");
        let words = format!("there is no terminal to ask on, and these flags are missing:\n  {missing}");
        Failure::new(EXIT_ARGUMENTS, words)
    }
}

fn ended(why: &str) -> Failure {
    Failure::new(EXIT_ARGUMENTS, format!("{why}; nothing was written"))
}

const ANSWER_BYTES_MAX: u64 = 4096;
const TRIES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: InitQuestion = InitQuestion { words: "A number", flag: "--number N", usual: Some("7") };

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| format!("{text} is not a number"))
    }

    #[track_caller]
    fn check(typed: &str, given: Option<u8>, expected: &str) {
        let mut shown = Vec::new();
        let mut interview = Interview::new(Some((typed.as_bytes(), &mut shown)));
        let answer = interview.answer(given, &QUESTION, number);
        let answer = answer.map_or_else(|failure| failure.message, |answer| format!("{answer:?}"));
        let shown = String::from_utf8(shown).expect("text");
        assert_eq!(format!("{shown}-> {answer}"), expected, "{typed:?}");
    }

    #[test]
    fn a_person_is_asked_until_the_answer_can_be_read() {
        check("3\n", None, "A number [7]: -> Some(3)");
        check("\n", None, "A number [7]: -> Some(7)");
        check("x\n 4 \n", None, "A number [7]:   x is not a number\nA number [7]: -> Some(4)");
        check(
            "x\n",
            None,
            "A number [7]:   x is not a number\nA number [7]: -> no answer; nothing was written",
        );
        check("3\n", Some(5), "-> Some(5)");
    }

    #[test]
    fn without_a_person_the_flags_are_named_together() {
        let mut interview = Interview::<&[u8], Vec<u8>>::new(None);
        assert_eq!(interview.answer(None, &QUESTION, number).expect("no failure yet"), None);
        assert_eq!(interview.answer(Some(1), &QUESTION, number).expect("a flag"), Some(1));
        let failure = interview.unanswered();
        assert_eq!((failure.exit, failure.message.lines().count()), (EXIT_ARGUMENTS, 2));
        assert!(failure.message.ends_with("\n  --number N (A number)"), "{}", failure.message);
    }
}
