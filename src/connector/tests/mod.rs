//! The decision tables, case by case.

mod admit;
mod any;
mod brake;
mod choose;
mod judge;
mod profile;
mod transit;
mod wanted;
mod weaker;
