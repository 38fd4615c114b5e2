//! Why nothing could be imported. What is only not carried over is a `Leftover`.

use super::remark::{Leftover, PlacedRemark};

/// Why an import ends without a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    /// A file is larger than any that is meant.
    #[error(
        "{file}: has more than 8 MiB, which no export of connectors and no map needs; is it the right file?"
    )]
    TooLarge {
        /// The file.
        file: String,
    },
    /// A file is in another encoding.
    #[error("{file}: line {line}: is neither UTF-8 nor UTF-16; save it again as UTF-8")]
    Encoding {
        /// The file.
        file: String,
        /// The first line that can't be read.
        line: usize,
    },
    /// A file can't be opened or read.
    #[error("{file}: can't be read: {words}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        words: String,
    },
    /// A file begins like JSON and is not.
    #[error("{file}: line {line}, column {column}: not JSON: {words}; was the export cut short?")]
    Json {
        /// The file.
        file: String,
        /// Where it ends to be JSON.
        line: usize,
        /// The column there.
        column: usize,
        /// What the reader says.
        words: String,
    },
    /// A file is neither JSON nor CSV with a heading.
    #[error("{file}: not CSV: {words}; write it with Export-Csv -NoTypeInformation, or use ConvertTo-Json")]
    Csv {
        /// The file.
        file: String,
        /// What is wrong.
        words: String,
    },
    /// There is no object in a file.
    #[error("{file}: has no object; did the cmdlet find anything?")]
    Empty {
        /// The file.
        file: String,
    },
    /// An object is not of a kind that is imported.
    #[error(
        "{file}: object {number}: is not from Get-InboundConnector, Get-OutboundConnector, Get-SendConnector, \
         Get-ReceiveConnector, Get-HybridConfiguration or Get-AcceptedDomain; its fields are {fields}"
    )]
    UnknownObject {
        /// The file.
        file: String,
        /// Its place in the file, from 1 on.
        number: usize,
        /// The first of its fields.
        fields: String,
    },
    /// A field of an export, whose value was lost while it was written.
    #[error(
        "{place}: {field} is {value:?}: the export has lost its value; export again with ConvertTo-Json -Depth 4, or join the \
         list: Select-Object *,@{{n='{field}';e={{$_.{field} -join ','}}}} -ExcludeProperty {field}"
    )]
    Lost {
        /// The file and the object.
        place: String,
        /// The field.
        field: String,
        /// What it has.
        value: String,
    },
    /// A field with a value that is not understood.
    #[error("{place}: {field} is {value:?}, which is not {expected}")]
    Value {
        /// The file and the object or line.
        place: String,
        /// The field or parameter.
        field: String,
        /// What it has.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
    /// A line of a configuration of Postfix.
    #[error("{file}: line {line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A reference to a parameter that is not closed, or has an unknown form.
    #[error("main.cf: a reference to a parameter is not understood: {text}")]
    Reference {
        /// How it begins.
        text: String,
    },
    /// A parameter refers to itself.
    #[error("main.cf: {parameter} refers to itself, or to more than 100 others")]
    Circle {
        /// The parameter.
        parameter: String,
    },
    /// A setting that can't be carried over, and without which the result would be looser than the source.
    #[error("{0}; nothing is imported, because without it the result would be looser")]
    Looser(Box<PlacedRemark>),
    /// An option of the command line.
    #[error("{option} is {value:?}, which is not {expected}")]
    Wish {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
}

impl ImportFault {
    /// The fault for a setting that must not be lost.
    pub(super) fn looser(place: &str, remark: Leftover) -> Self {
        Self::Looser(Box::new(PlacedRemark { place: place.to_owned(), remark }))
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Not `name = value`.
    #[error("not of the form \"name = value\"")]
    NoParameter,
    /// A line that continues nothing.
    #[error("begins with a blank, and there is nothing before it to continue")]
    ContinuesNothing,
    /// Not a service.
    #[error("not a service: there must be eight fields, from name to command")]
    NoService,
}
