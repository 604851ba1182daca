//! Manual pages: what clap knows of a command, and beside it what only people know.
//!
//! `words` has what is written by hand. An exit code or a variable that a command's own
//! `--help` lists is taken from there.

mod section;
mod words;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold};

use self::section::{Block, Section};
use crate::args::Cli;
use crate::version;

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its name, as in `man fleet-lock-run`.
    pub(crate) name: String,
    /// Its source, for `man -l`.
    pub(crate) text: Vec<u8>,
}

/// A page for `fleet`, and one for each of its commands.
pub(crate) fn pages() -> Vec<Page> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let mut pages = Vec::new();
    let mut pending = vec![&whole];
    while let Some(command) = pending.pop() {
        pages.push(page(command, &whole));
        pending.extend(visible(command));
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

fn page(command: &Command, whole: &Command) -> Page {
    let name = name(command);
    let man = Man::new(command.clone().subcommand_help_heading("COMMANDS"))
        .date(version::DATE)
        .source(format!("fleet {}", env!("CARGO_PKG_VERSION")))
        .manual("fleet manual");
    let mut text = Vec::new();
    // A vector takes every write.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = head(command).to_writer(&mut text);
    let _ = man.render_options_section(&mut text);
    if visible(command).next().is_some() {
        let _ = man.render_subcommands_section(&mut text);
    }
    let mut rest = Roff::new();
    sections(command, whole).iter().for_each(|section| section.render(&mut rest));
    let _ = rest.to_writer(&mut text);
    Page { name, text }
}

/// The usage in one section, and in another what the command does: its long description without the line that the
/// name has already, or that line where there is no more.
fn head(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let blocks = match long.strip_prefix(&about).map(str::trim).filter(|more| !more.is_empty()) {
        Some(more) => more.split("\n\n").map(|part| Block::Text(part.replace('\n', " "))).collect(),
        None => vec![Block::Text(format!("{about}."))],
    };
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(usage)]);
    Section { title: "DESCRIPTION".to_owned(), blocks }.render(&mut roff);
    roff
}

/// What follows the options: what the command's `--help` ends with, else what that of
/// `fleet` does, and what is written by hand.
fn sections(command: &Command, whole: &Command) -> Vec<Section> {
    let help = |command: &Command| command.get_after_help().map(ToString::to_string);
    let read = |command| help(command).map(|text| section::read(&text)).unwrap_or_default();
    let name = name(command);
    let mut sections: Vec<Section> = read(command);
    for general in read(whole) {
        if sections.iter().all(|own| own.title != general.title) {
            sections.push(words::about_this(&name, general));
        }
    }
    if words::works_in_a_home(&name) {
        section::merge(&mut sections, words::environment());
        section::merge(&mut sections, words::files());
    }
    sections.extend(words::examples(&name));
    sections.push(words::see_also(&name, &names(whole)));
    sections
}

/// `fleet-lock-run`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// The names of all pages.
fn names(command: &Command) -> Vec<String> {
    let below = visible(command).flat_map(names);
    std::iter::once(name(command)).chain(below).collect()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

#[cfg(test)]
mod tests;
