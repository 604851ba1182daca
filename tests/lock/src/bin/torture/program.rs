//! Programs of the system, run to their end.

use std::process::{Command, Stdio};

use crate::error::Error;

/// Runs a program with these arguments, at most for a minute; its complaint is the error.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), Error> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["60", program]).args(args).env("PATH", path);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(Error::system("start", program))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let command = format!("{program} {}", args.join(" "));
    Err(Error::Program { command, complaint: format!("{} {complaint}", output.status) })
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a lack must not pass: in CI everything must be tested.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}
