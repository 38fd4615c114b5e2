//! Why a question has no answer.

/// What is wrong with a question, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExplainFault(pub String);

/// Names in a sentence: a few of them, and how many there are besides.
pub fn some_of<N: AsRef<str>>(names: &[N]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

const NAMES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_does_not_grow_with_the_configuration() {
        let names: Vec<String> = (0..13).map(|one| format!("L{one}")).collect();
        assert_eq!(some_of(&names[..2]), "L0, L1");
        assert_eq!(some_of(&names[..10]), "L0, L1, L2, L3, L4, L5, L6, L7, L8, L9");
        assert_eq!(some_of(&names), "L0, L1, L2, L3, L4, L5, L6, L7, L8, L9 and 3 more");
    }
}
