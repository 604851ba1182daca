//! Puts a run's figures into a document, in the place of those of the run before.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

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
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(Error::system("read", path)(error)),
    };
    let minutes = took.as_secs_f64() / 60.0;
    let body = format!("```console\n$ {command}\n```\n\nIt took {minutes:.1} minutes.\n\n{table}");
    fs::write(path, replaced(&old, part, body.trim_end())).map_err(Error::system("write", path))
}

fn replaced(old: &str, part: &str, body: &str) -> String {
    let (open, close) = (format!("<!-- {part} -->"), format!("<!-- /{part} -->"));
    let new = format!("{open}\n\n{body}\n\n{close}");
    let parts = old.split_once(&open).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&close)?;
        Some((before, after))
    });
    match parts {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => format!("{}\n\n{new}\n", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_figures_take_the_place_of_the_old() {
        let once = replaced("# Figures\n", "torture", "1");
        assert_eq!(once, "# Figures\n\n<!-- torture -->\n\n1\n\n<!-- /torture -->\n");
        let twice = replaced(&format!("{once}\nMore.\n"), "torture", "2");
        assert_eq!(twice, "# Figures\n\n<!-- torture -->\n\n2\n\n<!-- /torture -->\n\nMore.\n");
    }
}
