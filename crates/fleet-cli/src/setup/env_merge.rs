//! New generated lines for an env file that a person may have edited.
//!
//! Above each line that fleet writes stands what it wrote, as a comment:
//!
//! ```text
//! # fleet wrote: FLEET_AGENT_CLASS=worker
//! FLEET_AGENT_CLASS=worker
//! ```
//!
//! So an edit can be told from an old value without guessing, as in a three-way merge: the
//! comment is what we wrote, the line is what is there, and the roster says what is new.
//!
//! | the comment says | the line is | the roster says | then |
//! |---|---|---|---|
//! | nothing | absent | a value | both are added at the end |
//! | nothing | anything | a value | kept: the key is the user's |
//! | a value | the same | another value | both become the new one |
//! | a value | something else | anything | the line is kept: the user changed it |
//! | a value | absent | a value | stays absent: the user took it out |
//! | a value | the same | nothing | both go |
//! | a value | something else, or absent | nothing | the comment goes, the line is the user's |
//!
//! A key with several lines counts as changed. Every other line of the file, and the order of
//! all of them, is left as it is.

use std::collections::BTreeMap;

const RECORD: &str = "# fleet wrote: ";

/// Variables by name, each with its whole line.
pub(super) type Lines = BTreeMap<String, String>;

/// `text` with `generated` merged into it.
pub(super) fn merge(text: &str, generated: &Lines) -> String {
    let file = File::read(text);
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut merged = String::new();
    for whole in text.split_inclusive('\n') {
        let line = content(whole);
        let put = match Line::of(line) {
            Line::Other => Put::Same,
            Line::Record(key) => match file.fate(key, generated) {
                Fate::Kept => Put::Same,
                Fate::Replaced(new) if new == file.record(key) => Put::Same,
                Fate::Replaced(new) => Put::New(format!("{RECORD}{new}{newline}")),
                Fate::Removed | Fate::Released => Put::Nothing,
            },
            Line::Variable(key) => match file.fate(key, generated) {
                Fate::Kept | Fate::Released => Put::Same,
                Fate::Replaced(new) if new == line => Put::Same,
                Fate::Replaced(new) => Put::New(format!("{new}{newline}")),
                Fate::Removed => Put::Nothing,
            },
        };
        match put {
            Put::Same => merged.push_str(whole),
            Put::New(line) => merged.push_str(&line),
            Put::Nothing => {}
        }
    }
    let is_new = |key: &String| !file.records.contains_key(key.as_str()) && !file.has(key);
    for (_, line) in generated.iter().filter(|(key, _)| is_new(key)) {
        if !merged.is_empty() && !merged.ends_with('\n') {
            merged.push_str(newline);
        }
        merged.push_str(&format!("{RECORD}{line}{newline}{line}{newline}"));
    }
    merged
}

/// What comes in a line's place.
enum Put {
    Same,
    New(String),
    Nothing,
}

fn content(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// A file as it is.
struct File<'t> {
    /// What we wrote last, by key.
    records: BTreeMap<&'t str, &'t str>,
    /// The lines that are there, by key.
    variables: BTreeMap<&'t str, Vec<&'t str>>,
}

/// What becomes of a key's line and of its record.
enum Fate<'g> {
    /// Both stay.
    Kept,
    /// Both say something new.
    Replaced(&'g str),
    /// Both go.
    Removed,
    /// The line stays, and is no longer ours.
    Released,
}

impl<'t> File<'t> {
    fn read(text: &'t str) -> Self {
        let mut file = Self { records: BTreeMap::new(), variables: BTreeMap::new() };
        for line in text.lines() {
            match Line::of(line) {
                Line::Record(key) => {
                    file.records.insert(key, line.strip_prefix(RECORD).unwrap_or_default());
                }
                Line::Variable(key) => file.variables.entry(key).or_default().push(line),
                Line::Other => {}
            }
        }
        file
    }

    fn record(&self, key: &str) -> &'t str {
        self.records.get(key).copied().unwrap_or_default()
    }

    fn has(&self, key: &str) -> bool {
        self.variables.contains_key(key)
    }

    fn fate<'g>(&self, key: &str, generated: &'g Lines) -> Fate<'g> {
        let lines = self.variables.get(key).map(Vec::as_slice).unwrap_or_default();
        match (self.records.get(key), generated.get(key)) {
            (Some(record), Some(new)) if lines == [*record] => Fate::Replaced(new),
            (Some(record), None) if lines == [*record] => Fate::Removed,
            (Some(_), None) => Fate::Released,
            (Some(_), Some(_)) | (None, _) => Fate::Kept,
        }
    }
}

/// What a line is to us.
enum Line<'t> {
    /// What we wrote for a key.
    Record(&'t str),
    /// A variable.
    Variable(&'t str),
    /// A comment, a blank line, anything.
    Other,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        let key = |assignment: &'t str| assignment.split_once('=').map(|(key, _)| key.trim());
        match (line.strip_prefix(RECORD), line.trim_start().starts_with(['#', ';'])) {
            (Some(assignment), _) => key(assignment).map_or(Self::Other, Self::Record),
            (None, true) => Self::Other,
            (None, false) => {
                let line = line.trim_start();
                key(line.strip_prefix("export ").unwrap_or(line))
                    .map_or(Self::Other, Self::Variable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// One key in each column: the record, the line, what is new.
    #[rstest]
    #[case::new_file("", "A=1", "# fleet wrote: A=1\nA=1\n")]
    #[case::new_key("B=2\n", "A=1", "B=2\n# fleet wrote: A=1\nA=1\n")]
    #[case::of_the_user("A=mine\n", "A=1", "A=mine\n")]
    #[case::of_the_user_exported("export A=mine\n", "A=1", "export A=mine\n")]
    #[case::up_to_date("# fleet wrote: A=1\nA=1\n", "A=1", "# fleet wrote: A=1\nA=1\n")]
    #[case::updated("# fleet wrote: A=1\nA=1\n", "A=2", "# fleet wrote: A=2\nA=2\n")]
    #[case::changed("# fleet wrote: A=1\nA=mine\n", "A=2", "# fleet wrote: A=1\nA=mine\n")]
    #[case::requoted("# fleet wrote: A=1\nA=\"1\"\n", "A=2", "# fleet wrote: A=1\nA=\"1\"\n")]
    #[case::twice("# fleet wrote: A=1\nA=1\nA=1\n", "A=2", "# fleet wrote: A=1\nA=1\nA=1\n")]
    #[case::taken_out("# fleet wrote: A=1\n", "A=2", "# fleet wrote: A=1\n")]
    #[case::commented_out("# fleet wrote: A=1\n#A=1\n", "A=2", "# fleet wrote: A=1\n#A=1\n")]
    #[case::no_longer_generated("# fleet wrote: A=1\nA=1\nB=2\n", "", "B=2\n")]
    #[case::changed_and_no_longer("# fleet wrote: A=1\nA=mine\n", "", "A=mine\n")]
    #[case::out_and_no_longer("# fleet wrote: A=1\n", "", "")]
    #[case::moved(
        "# fleet wrote: A=1\n\n# mine\nA=1\n",
        "A=2",
        "# fleet wrote: A=2\n\n# mine\nA=2\n"
    )]
    #[case::without_a_newline("B=2", "A=1", "B=2\n# fleet wrote: A=1\nA=1\n")]
    #[case::windows(
        "B=2\r\n# fleet wrote: A=1\r\nA=1\r\n",
        "A=2",
        "B=2\r\n# fleet wrote: A=2\r\nA=2\r\n"
    )]
    #[case::nothing_new_without_a_newline("A=mine", "A=1", "A=mine")]
    #[case::comments_stay("# one\n; two\n\nno assignment\n", "", "# one\n; two\n\nno assignment\n")]
    fn what_becomes_of_a_key(#[case] text: &str, #[case] new: &str, #[case] expected: &str) {
        let generated = new.split_once('=').map(|(key, _)| (key.to_owned(), new.to_owned()));
        let generated: Lines = generated.into_iter().collect();
        let merged = merge(text, &generated);
        assert_eq!(merged, expected);
        assert_eq!(merge(&merged, &generated), expected, "a second merge changes nothing");
    }
}
