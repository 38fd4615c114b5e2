//! The decision tables, case by case.

mod admit;
mod choose;
mod judge;
