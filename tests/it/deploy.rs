//! The files for installing: `deploy/verify` has no complaint about them with the built program.

use std::path::Path;
use std::process::Command;

use crate::peer::daemon::PROGRAM;
use crate::peer::{left_out, tools};

#[test]
fn the_unit_and_its_neighbours_are_in_order() {
    let Some(analyze) = tools::program("systemd-analyze") else {
        return left_out(
            "deploy::the_unit_and_its_neighbours_are_in_order",
            "systemd is neither installed nor unpacked",
        );
    };
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/verify"));
    command.arg(PROGRAM);
    // Unpacked, its own library lies beside it.
    if let Some(library) = tools::unpacked(&format!("usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH)) {
        let folders = [vec![library], std::env::split_paths(&tools::libraries()).collect()].concat();
        command.env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            [vec![analyze.parent().unwrap().to_owned()], std::env::split_paths(&path).collect()].concat();
        command.env("PATH", std::env::join_paths(folders).unwrap());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", tools::said(&output));
}
