//! A section of a manual page, and how one is read from the end of a `--help`.

use clap_mangen::roff::{Roff, bold, roman};

/// A heading with what is below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// In capitals.
    pub(super) title: String,
    /// In order.
    pub(super) blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A paragraph.
    Text(String),
    /// A word, and what it means.
    Item {
        /// The word.
        term: String,
        /// What it means.
        text: String,
    },
}

impl Section {
    /// A section of words and what they mean.
    pub(super) fn of_items(title: &str, items: &[(&str, &str)]) -> Self {
        let item = |(term, text): &(&str, &str)| Block::item(term, text);
        Self { title: title.to_owned(), blocks: items.iter().map(item).collect() }
    }

    /// Writes it.
    pub(super) fn render(&self, roff: &mut Roff) {
        roff.control("SH", [self.title.as_str()]);
        for (place, block) in self.blocks.iter().enumerate() {
            match block {
                Block::Text(text) => {
                    if place > 0 {
                        roff.control("PP", []);
                    }
                    roff.text([roman(text)]);
                }
                Block::Item { term, text } => {
                    roff.control("TP", []).text([bold(term)]).text([roman(text)]);
                }
            }
        }
    }
}

impl Block {
    fn item(term: &str, text: &str) -> Self {
        Self::Item { term: term.to_owned(), text: text.to_owned() }
    }
}

/// Adds a section, or what is in it to the one of the same name.
pub(super) fn merge(sections: &mut Vec<Section>, section: Section) {
    match sections.iter_mut().find(|have| have.title == section.title) {
        Some(have) => have.blocks.extend(section.blocks),
        None => sections.push(section),
    }
}

/// Reads what a `--help` ends with: a heading is a line that ends with a colon and is not
/// indented, an item is a word, at least two spaces, and what it means, over as many lines as
/// that takes.
pub(super) fn read(help: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in help.lines().filter(|line| !line.trim().is_empty()) {
        match (line.strip_suffix(':'), sections.last_mut()) {
            (Some(heading), _) if !heading.starts_with(' ') => {
                sections.push(Section { title: title(heading), blocks: Vec::new() });
            }
            (_, Some(section)) => add(&mut section.blocks, line.trim()),
            (_, None) => {}
        }
    }
    sections
}

/// A line is an item, the rest of the item before it, or a paragraph.
fn add(blocks: &mut Vec<Block>, line: &str) {
    match (line.split_once("  "), blocks.last_mut()) {
        (Some((term, text)), _) if !term.contains(' ') => {
            blocks.push(Block::item(term, text.trim()));
        }
        (_, Some(Block::Item { text, .. })) => {
            text.push(' ');
            text.push_str(line);
        }
        _ => blocks.push(Block::Text(line.to_owned())),
    }
}

/// The names that manual pages have for what people call otherwise.
fn title(heading: &str) -> String {
    match heading {
        "Exit codes" => "EXIT STATUS".to_owned(),
        heading if heading.contains("environment") => "ENVIRONMENT".to_owned(),
        heading => heading.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_help_is_read_as_sections() {
        let help = "Exit codes:\n  As CMD has it. Otherwise:\n   64  wrong\n       usage\n\n\
                    CMD's environment gets:\n  A_B   a thing";
        let found: Vec<_> = read(help).into_iter().map(|s| (s.title, s.blocks)).collect();
        let status = vec![
            Block::Text("As CMD has it. Otherwise:".to_owned()),
            Block::item("64", "wrong usage"),
        ];
        let environment = vec![Block::item("A_B", "a thing")];
        let expected =
            [("EXIT STATUS".to_owned(), status), ("ENVIRONMENT".to_owned(), environment)];
        assert_eq!(found, expected);
    }
}
