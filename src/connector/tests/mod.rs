//! The decision tables, case by case.

mod admit;
mod any;
mod choose;
mod judge;
mod profile;
mod transit;
mod wanted;
mod weaker;
