//! Puts a run's figures into a document, in the place of those of the run before.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Replaces the part of the document between the marks of `part`, or adds it at the end. A
/// document that is not there yet begins with `head`.
///
/// # Errors
///
/// When it cannot be read or written.
pub fn write_part(path: &Path, head: &str, part: &str, body: &str) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => head.to_owned(),
        Err(error) => return Err(error),
    };
    fs::write(path, replaced(&old, part, body.trim_end()))
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
