//! Exports of PowerShell to records: fields and their values as text. It knows nothing about connectors.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::fault::ImportFault;
use super::super::text::decode;

/// One exported object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportRecord {
    pub(super) file: String,
    /// Its place in the file, from 1 on.
    pub(super) number: usize,
    fields: BTreeMap<String, FieldValue>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldValue {
    Nothing,
    One(String),
    Many(Vec<String>),
    /// A number where JSON may stand for a word.
    Number(String),
}

impl ExportRecord {
    /// Where it stands, for messages.
    pub(super) fn place(&self) -> String {
        let name = self.field("Name").or_else(|| self.field("DomainName"));
        match name {
            Some(FieldValue::One(name)) => format!("{}: {name}", self.file),
            _ => format!("{}: object {}", self.file, self.number),
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&FieldValue> {
        self.fields.get(name).filter(|value| **value != FieldValue::Nothing)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
}

impl FieldValue {
    /// All of it on one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::One(text) | Self::Number(text) => text.clone(),
            Self::Many(items) => items.join(", "),
        }
    }

    /// Whether PowerShell wrote the type in place of the value.
    pub(super) fn is_lost(&self) -> bool {
        let lost = |text: &String| {
            let typed = ["System.", "Microsoft.", "Deserialized.", "@{"];
            typed.iter().any(|start| text.starts_with(start))
        };
        match self {
            Self::Nothing | Self::Number(_) => false,
            Self::One(text) => lost(text),
            Self::Many(items) => items.iter().any(lost),
        }
    }
}

/// All objects of a file.
pub(super) fn records(file: &str, octets: &[u8]) -> Result<Vec<ExportRecord>, ImportFault> {
    let text = decode(file, octets)?;
    let begins = text.trim_start();
    let objects = if begins.starts_with(['[', '{']) { json(file, &text)? } else { csv(file, &text)? };
    if objects.is_empty() {
        return Err(ImportFault::Empty { file: file.to_owned() });
    }
    let numbered = objects.into_iter().zip(1..);
    Ok(numbered.map(|(fields, number)| ExportRecord { file: file.to_owned(), number, fields }).collect())
}

type Fields = BTreeMap<String, FieldValue>;

fn json(file: &str, text: &str) -> Result<Vec<Fields>, ImportFault> {
    let read: Value = serde_json::from_str(text).map_err(|fault| ImportFault::Json {
        file: file.to_owned(),
        line: fault.line(),
        column: fault.column(),
        words: without_place(&fault.to_string()),
    })?;
    // Several cmdlets in one pipeline make lists in a list.
    let flat = items_of(&read).iter().flat_map(items_of);
    let fields = flat.map(|one| {
        let fields = one.as_object().ok_or_else(|| ImportFault::Empty { file: file.to_owned() })?;
        Ok(fields.iter().map(|(name, value)| (name.clone(), value_of(value))).collect())
    });
    fields.collect()
}

fn items_of(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// serde_json repeats the position, which we write in front.
fn without_place(words: &str) -> String {
    words.split(" at line ").next().unwrap_or(words).to_owned()
}

fn value_of(value: &Value) -> FieldValue {
    match value {
        Value::Null => FieldValue::Nothing,
        Value::Bool(flag) => FieldValue::One(if *flag { "True" } else { "False" }.to_owned()),
        Value::Number(number) => FieldValue::Number(number.to_string()),
        Value::String(text) if text.trim().is_empty() => FieldValue::Nothing,
        Value::String(text) => FieldValue::One(text.trim().to_owned()),
        Value::Array(items) if items.is_empty() => FieldValue::Nothing,
        Value::Array(items) => FieldValue::Many(items.iter().map(|item| value_of(item).text()).collect()),
        Value::Object(fields) => object(fields),
    }
}

/// The objects that connectors have as values, as PowerShell prints them.
fn object(fields: &Map<String, Value>) -> FieldValue {
    let text =
        |name: &str| fields.get(name).map(|value| value_of(value).text()).filter(|text| !text.is_empty());
    // {"value": 3, "Value": "DomainValidation"}: a number that has a name.
    if let Some(name) = text("Value") {
        return FieldValue::One(name);
    }
    let one = match (text("Address"), text("Domain")) {
        // An address space.
        (Some(address), _) if fields.contains_key("Cost") => {
            let (kind, cost) = (text("Type").unwrap_or_default(), text("Cost").unwrap_or_default());
            Some(format!("{kind}:{address};{cost}"))
        }
        // A binding.
        (Some(address), _) if fields.contains_key("Port") => {
            let port = text("Port").unwrap_or_default();
            Some(if address.contains(':') {
                format!("[{address}]:{port}")
            } else {
                format!("{address}:{port}")
            })
        }
        // A domain that may have a star.
        (Some(address), Some(_)) if fields.contains_key("IncludeSubDomains") => Some(address),
        // A smart host.
        (Some(address), None) => Some(format!("[{}]", address.trim_matches(['[', ']']))),
        (None, Some(domain)) => Some(domain),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let range = || Some(format!("{}-{}", text("LowerBound")?, text("UpperBound")?));
    let certificate = || Some(format!("<I>{}<S>{}", text("CertificateIssuer")?, text("CertificateSubject")?));
    let other = || text("Name").or_else(|| text("Expression")).or_else(|| text("OriginalString"));
    match one.or_else(range).or_else(certificate).or_else(other) {
        Some(text) => FieldValue::One(text),
        None => FieldValue::One(format!("@{{{}}}", fields.keys().cloned().collect::<Vec<_>>().join("; "))),
    }
}

fn csv(file: &str, text: &str) -> Result<Vec<Fields>, ImportFault> {
    let fault = |words: String| ImportFault::Csv { file: file.to_owned(), words };
    // `Export-Csv` without -NoTypeInformation begins with a line about the type.
    let text = text.trim_start();
    let text =
        if text.starts_with("#TYPE") { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text };
    let heading = text.lines().next().unwrap_or_default();
    let count = |c: char| heading.matches(c).count();
    let delimiter = match (count(','), count(';'), count('\t')) {
        (0, 0, 0) if heading.is_empty() => return Err(ImportFault::Empty { file: file.to_owned() }),
        (0, 0, 0) => return Err(fault("its first line has no column names".to_owned())),
        (comma, semicolon, tab) if tab > comma && tab > semicolon => b'\t',
        (comma, semicolon, _) if semicolon > comma => b';',
        _ => b',',
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let names: Vec<String> = reader
        .headers()
        .map_err(|e| fault(e.to_string()))?
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let rows = reader.records().map(|row| {
        let row = row.map_err(|e| fault(e.to_string()))?;
        let values = row.iter().map(|cell| match cell.trim() {
            "" => FieldValue::Nothing,
            text => FieldValue::One(text.to_owned()),
        });
        Ok(names.iter().cloned().zip(values).collect())
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: &str) {
        let read = records("x", octets).map(|all| {
            let words = |record: &ExportRecord| {
                let fields = record.fields.iter().map(|(name, value)| format!("{name}={}", value.text()));
                fields.collect::<Vec<_>>().join(" ")
            };
            all.iter().map(words).collect::<Vec<_>>().join(" | ")
        });
        assert_eq!(read.unwrap_or_else(|fault| fault.to_string()), expected);
    }

    #[test]
    fn json_of_every_shape_becomes_text() {
        check(br#"{"Name":"a","Enabled":true,"X":null}"#, "Enabled=True Name=a X=");
        check(br#"[{"Name":"a"},[{"Name":"b"}]]"#, "Name=a | Name=b");
        check(br#"[{"T":{"value":3,"Value":"DomainValidation"}}]"#, "T=DomainValidation");
        check(
            br#"[{"S":[{"Address":"192.0.2.1","Domain":null},{"Domain":"a.example"}]}]"#,
            "S=[192.0.2.1], a.example",
        );
        check(br#"[{"A":[{"Type":"SMTP","Address":"*","Cost":5,"Domain":"*"}]}]"#, "A=SMTP:*;5");
        check(
            br#"[{"B":[{"Address":"::","Port":25},{"Address":"0.0.0.0","Port":25}]}]"#,
            "B=[::]:25, 0.0.0.0:25",
        );
        check(br#"[{"R":[{"LowerBound":"192.0.2.1","UpperBound":"192.0.2.9"}]}]"#, "R=192.0.2.1-192.0.2.9");
        check(br#"[{"R":{"a":1}}]"#, "R=@{a}");
    }

    #[test]
    fn csv_of_every_shape_becomes_text() {
        check(b"\"Name\",\"Comment\"\r\n\"a\",\"x, \"\"y\"\"\nz\"\r\n", "Comment=x, \"y\"\nz Name=a");
        check(b"#TYPE Deserialized.X\r\nName;Enabled\r\na;True\r\n", "Enabled=True Name=a");
        check(b"Name\tEnabled\na\t\n", "Enabled= Name=a");
    }

    #[test]
    fn a_broken_file_says_where() {
        check(
            b"[{\"Name\": \"a\",\n  \"Enab",
            "x: line 2, column 7: not JSON: EOF while parsing a string; was the export cut short?",
        );
        check(b"[]", "x: has no object; did the cmdlet find anything?");
        check(b"[1]", "x: has no object; did the cmdlet find anything?");
        check(b"", "x: has no object; did the cmdlet find anything?");
        check(b"Name,Enabled\r\n", "x: has no object; did the cmdlet find anything?");
        check(
            b"hello\n",
            "x: not CSV: its first line has no column names; write it with Export-Csv -NoTypeInformation, or use ConvertTo-Json",
        );
        check(
            b"a,b\n1,2,3\n",
            "x: not CSV: CSV error: record 1 (line: 2, byte: 4): found record with 3 fields, but the previous record has 2 \
             fields; write it with Export-Csv -NoTypeInformation, or use ConvertTo-Json",
        );
    }
}
