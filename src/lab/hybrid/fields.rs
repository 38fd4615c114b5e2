//! A header section as a list of fields. Pure; it keeps every octet.

/// One field, with its folds and its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawField {
    octets: Vec<u8>,
}

/// A message in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitMessage {
    /// The header section, field by field.
    pub fields: Vec<RawField>,
    /// The empty line and the body.
    pub rest: Vec<u8>,
}

impl RawField {
    /// A new field.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self { octets: format!("{name}: {value}\r\n").into_bytes() }
    }

    /// Its name, as written.
    #[must_use]
    pub fn name(&self) -> String {
        let end = memchr::memchr(b':', &self.octets).unwrap_or(self.octets.len());
        String::from_utf8_lossy(self.octets.get(..end).unwrap_or_default()).trim().to_owned()
    }

    /// Its value on one line.
    #[must_use]
    pub fn value(&self) -> String {
        let start = memchr::memchr(b':', &self.octets).map_or(self.octets.len(), |at| at.saturating_add(1));
        let value = String::from_utf8_lossy(self.octets.get(start..).unwrap_or_default()).into_owned();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether its name begins like this, ignoring case.
    #[must_use]
    pub fn is_of(&self, family: &str) -> bool {
        self.name().get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family))
    }

    /// Whether this is its name, ignoring case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }
}

impl SplitMessage {
    /// Splits a message at its first empty line.
    #[must_use]
    pub fn parse(content: &[u8]) -> Self {
        let (mut fields, mut at) = (Vec::<RawField>::new(), 0_usize);
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line == b"\r\n" || line == b"\n" {
                break;
            }
            at = at.saturating_add(line.len());
            match fields.last_mut() {
                Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                    field.octets.extend_from_slice(line);
                }
                _ => fields.push(RawField { octets: line.to_vec() }),
            }
        }
        Self { fields, rest: content.get(at..).unwrap_or_default().to_vec() }
    }

    /// The message in one piece.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let header = self.fields.iter().flat_map(|field| &field.octets);
        header.chain(&self.rest).copied().collect()
    }

    /// The value of the only field of this name; `None` if there is none, or several that differ.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<String> {
        let mut values = self.fields.iter().filter(|field| field.is(name)).map(RawField::value);
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }

    /// Whether there is a field whose name begins like this.
    #[must_use]
    pub fn has(&self, family: &str) -> bool {
        self.fields.iter().any(|field| field.is_of(family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_and_joined_without_a_loss() {
        let content = b"From: a\r\nX-Long: one\r\n\ttwo\r\nodd line\r\n\r\n\r\nbody\r\n";
        let split = SplitMessage::parse(content);
        assert_eq!(split.octets(), content);
        assert_eq!(split.only("x-long").as_deref(), Some("one two"));
        assert_eq!(split.fields.len(), 3);
        assert_eq!(split.rest, b"\r\n\r\nbody\r\n");
        let none = SplitMessage::parse(b"\r\nbody");
        assert_eq!((none.fields.len(), none.rest.as_slice()), (0, b"\r\nbody".as_slice()));
    }

    #[test]
    fn two_values_of_one_field_are_none() {
        let two = SplitMessage::parse(b"A: 1\r\na: 2\r\n\r\n");
        assert_eq!(two.only("A"), None);
        assert!(two.has("a") && !two.has("b"));
    }
}
