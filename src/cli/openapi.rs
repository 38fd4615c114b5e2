//! `openapi`: the description of the API of the admin listener. No configuration is read, and no daemon is asked.

use std::process::ExitCode;

use super::exit::Failure;
use super::print::say_json;
use crate::admin::api_description;

/// Prints it.
pub(super) fn openapi() -> Result<ExitCode, Failure> {
    say_json(&api_description());
    Ok(ExitCode::SUCCESS)
}
