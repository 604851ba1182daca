//! What `fleet` says about itself: `completions`, `man`, `schema`.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::error::Error;
use crate::exit::Exit;
use crate::man;
use crate::report::Screen;
use crate::schema;

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Which command's page, as in `fleet man lock run` [default: that of fleet itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,

    /// Write all pages to files in this directory; man finds them in ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<Utf8PathBuf>,
}

/// `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which one [default: list them]
    #[arg(value_name = "NAME", value_parser = names())]
    name: Option<String>,

    /// Write all of them to files in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    dir: Option<Utf8PathBuf>,
}

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// No command has that page.
    #[error("there is no manual page `{name}`; `fleet --help` lists the commands")]
    NoPage {
        /// As it would be called.
        name: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Its path.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Prints a manual page, or writes them all.
///
/// # Errors
///
/// When there is no such page, or a file cannot be written.
pub(crate) fn man(args: &ManArgs, screen: &mut Screen) -> Result<Exit, Error> {
    let pages = man::pages();
    if let Some(dir) = &args.dir {
        write(dir, pages.into_iter().map(|page| (format!("{}.1", page.name), page.text)))?;
        return Ok(Exit::Done);
    }
    let words = ["fleet"].into_iter().chain(args.command.iter().map(String::as_str));
    let name = words.collect::<Vec<_>>().join("-");
    match pages.into_iter().find(|page| page.name == name) {
        Some(page) => screen.raw(&page.text),
        None => return Err(DocumentError::NoPage { name }.into()),
    }
    Ok(Exit::Done)
}

/// Prints a schema, lists them, or writes them all.
///
/// # Errors
///
/// When a file cannot be written.
pub(crate) fn schema(args: &SchemaArgs, screen: &mut Screen) -> Result<Exit, Error> {
    if let Some(dir) = &args.dir {
        write(dir, schema::ALL.iter().map(|schema| (schema.file(), schema.text().into_bytes())))?;
        return Ok(Exit::Done);
    }
    match schema::ALL.iter().find(|schema| args.name.as_deref() == Some(schema.name)) {
        Some(schema) => screen.raw(schema.text().as_bytes()),
        None => schema::ALL.iter().for_each(|schema| {
            screen.raw(format!("{}\n", schema.name).as_bytes());
        }),
    }
    Ok(Exit::Done)
}

fn names() -> PossibleValuesParser {
    schema::ALL.iter().map(|schema| schema.name).into()
}

fn write(
    dir: &Utf8Path,
    files: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<(), DocumentError> {
    let failed = |path: &Utf8Path| {
        let path = path.to_owned();
        |source| DocumentError::Write { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}
