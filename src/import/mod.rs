//! Settings of Exchange and of Postfix to a configuration of ours, as text with comments. Readers of each format make
//! typed sources, these become a sketch of our configuration, and the sketch becomes text. What has no counterpart is a
//! remark, and nothing becomes looser without one. It reads no file by itself and knows no socket.

mod exchange;
mod fault;
mod postfix;
mod remark;
mod settle;
mod sketch;
mod text;
mod write;

pub use exchange::translate as from_exchange;
pub use fault::{ImportFault, LineProblem};
pub use postfix::translate as from_postfix;
pub use remark::{Leftover, PlacedRemark};
pub use sketch::{Disk, SideFile, Wishes};
pub use text::FILE_BYTES_MAX;
pub(crate) use write::quoted;

use sketch::Sketch;

/// A file that was read.
#[derive(Debug, Clone)]
pub struct NamedOctets {
    /// Its name as given.
    pub name: String,
    /// What is in it.
    pub octets: Vec<u8>,
}

/// What an import makes.
#[derive(Debug, Clone)]
pub struct Translation {
    /// The configuration.
    pub text: String,
    /// What has no exact counterpart, in the order of the text.
    pub remarks: Vec<PlacedRemark>,
    /// Files that the configuration names, to be written beside it.
    pub files: Vec<SideFile>,
    /// Certificates and trust anchors whose files are still missing.
    pub missing: Vec<String>,
}

impl Translation {
    fn of(sketch: &Sketch, files: Vec<SideFile>) -> Self {
        let placed = |place: &str, remarks: &[Leftover]| {
            let place = place.trim_start_matches("From ").trim_end_matches('.').to_owned();
            remarks
                .iter()
                .map(move |remark| PlacedRemark { place: place.clone(), remark: remark.clone() })
                .collect()
        };
        let mut remarks: Vec<Vec<PlacedRemark>> = Vec::new();
        remarks.extend(sketch.remarks.iter().map(|(place, one)| placed(place, std::slice::from_ref(one))));
        remarks.extend(sketch.listeners.iter().map(|one| placed(&one.about, &one.remarks)));
        remarks.extend(sketch.inbound.iter().map(|one| placed(&one.origin, &one.remarks)));
        remarks.extend(sketch.outbound.iter().map(|one| placed(&one.origin, &one.remarks)));
        let certificates = sketch.certificates.values().filter(|one| !one.is_there);
        let pairs = certificates.map(|one| format!("{} and {}", one.chain, one.key));
        let anchors = sketch.trusts.values().filter(|one| !one.is_there).map(|one| one.anchors.clone());
        let missing = pairs.chain(anchors).collect();
        Self { text: write::text(sketch), remarks: remarks.concat(), files, missing }
    }
}
