//! A short torture and a few power losses; `cargo xtask torture` and `powerloss` go on longer.

use std::process::{Command, Stdio};

use crate::kit::{has_program, is_root, needs};

#[test]
fn serial_torture_of_eight_contenders() {
    torture(&["run", "--minutes", "0.35", "--contenders", "8"]);
}

#[test]
fn serial_power_loss() {
    let met = is_root() && has_program("mkfs.ext4") && has_program("unshare");
    if needs(met, "root, mkfs.ext4 and unshare, to lose the power") {
        torture(&["powerloss", "--copies", "5", "--contenders", "4"]);
    }
}

/// What it says is the test's failure; the seed is in it. It has deadlines of its own.
fn torture(args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    let output = command.args(args).stdin(Stdio::null()).output();
    let output = output.expect("because it was built");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
}
