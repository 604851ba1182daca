//! Puts a run's figures into a document.

use std::path::Path;
use std::time::Duration;

use lock_tests::document::write_part;

use crate::error::Error;

/// What a document says before there are any figures in it.
const HEAD: &str = "# Torture and power loss: figures\n";

/// Replaces the part of the document between the marks of `part`, or adds it at the end.
pub(crate) fn write(
    path: &Path,
    part: &str,
    command: &str,
    took: Duration,
    table: &str,
) -> Result<(), Error> {
    let minutes = took.as_secs_f64() / 60.0;
    let body = format!("```console\n$ {command}\n```\n\nIt took {minutes:.1} minutes.\n\n{table}");
    write_part(path, HEAD, part, &body).map_err(Error::system("write", path))
}
