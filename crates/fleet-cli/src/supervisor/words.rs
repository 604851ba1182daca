//! What a run wrote last, for the message that says how it ended.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use camino::Utf8Path;

use crate::owner::printable;

/// How much of the end a message quotes.
const LINES: usize = 5;
const BYTES: u64 = 2048;

/// The last words of a run, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// These.
    Last {
        /// A few lines.
        lines: String,
        /// Where it wrote them.
        place: String,
    },
    /// None: it wrote nothing, or nothing of that has come through.
    None {
        /// Where that can be seen.
        place: String,
    },
    /// Nobody kept them.
    Unknown {
        /// Why they cannot be had.
        why: String,
    },
}

impl Words {
    /// The end of `text`, which is from `place`.
    pub(super) fn of(text: &str, place: impl Into<String>) -> Self {
        let text = text.trim_end();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(LINES);
        let lines = lines.get(last..).unwrap_or_default().iter().map(|line| printable(line));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let place = place.into();
        if lines.is_empty() { Self::None { place } } else { Self::Last { lines, place } }
    }

    /// The end of a log, of what was written after `start`.
    pub(super) fn in_log(log: &Utf8Path, start: u64) -> Self {
        match tail(log, start) {
            Ok(bytes) => Self::of(&String::from_utf8_lossy(&bytes), log.as_str()),
            Err(error) => Self::Unknown { why: format!("cannot read {log}: {error}") },
        }
    }
}

fn tail(log: &Utf8Path, start: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(BYTES).max(start);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last { lines, place } => {
                write!(f, "its last words in {place}:")?;
                lines.lines().try_for_each(|line| write!(f, "\n    | {line}"))
            }
            Self::None { place } => write!(f, "there is nothing of it in {place}"),
            Self::Unknown { why } => write!(f, "its last words are not to be had: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_are_quoted() {
        let text = "1\n2\n3\n4\n5\n6\n\n";
        let words = Words::of(text, "the log").to_string();
        assert_eq!(
            words,
            "its last words in the log:\n    | 2\n    | 3\n    | 4\n    | 5\n    | 6"
        );
        assert_eq!(Words::of("\n", "the log").to_string(), "there is nothing of it in the log");
    }

    #[test]
    fn only_what_came_after_the_start_counts() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = Utf8Path::from_path(dir.path()).expect("UTF-8").join("a.log");
        std::fs::write(&log, "before\nafter\n").expect("written");
        assert_eq!(Words::in_log(&log, 7), Words::of("after", log.as_str()));
        let absent = Words::in_log(&log.join("absent"), 0).to_string();
        assert!(absent.starts_with("its last words are not to be had: cannot read "), "{absent}");
    }
}
