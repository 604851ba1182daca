//! The two streams, and what they can show.

use std::io::{self, ErrorKind, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::exit::Exit;

/// Where a command writes. Text reaches the streams line by line, and a stream that nobody
/// reads is no error.
#[derive(Debug)]
pub(crate) struct Screen {
    out: io::Stdout,
    err: io::Stderr,
    json: bool,
    /// Whether stdout shows colours.
    out_colour: bool,
    /// Whether stderr shows colours.
    err_colour: bool,
    /// Whether stderr is a terminal, whose last line can be written over.
    live: bool,
    /// Whether that line is one to write over.
    pending: bool,
    /// What the last line about waiting was about.
    subject: Option<String>,
    /// How many lines the last picture had.
    pictured: usize,
    /// Why stdout could not be written.
    failed: Option<io::Error>,
}

/// A way to stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Wrong.
    Bad,
    /// Names.
    Strong,
}

impl Screen {
    /// This process's streams.
    pub(crate) fn standard(json: bool) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_colour, err_colour) = (colour(&out), colour(&err));
        let live = err.is_terminal();
        Self {
            out,
            err,
            json,
            out_colour,
            err_colour,
            live,
            pending: false,
            subject: None,
            pictured: 0,
            failed: None,
        }
    }

    /// Whether the result is wanted as JSON.
    pub(super) const fn json(&self) -> bool {
        self.json
    }

    /// Whether stderr is a terminal, where a line can be kept up to date.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// A line of the result, for people; with `--json` there is no such thing.
    pub(super) fn result(&mut self, line: &str) {
        if !self.json {
            self.clear();
            self.write_out(format!("{line}\n").as_bytes());
        }
    }

    /// The result as data.
    pub(super) fn data(&mut self, data: &impl Serialize) {
        match serde_json::to_string_pretty(data) {
            Ok(text) => self.write_out(format!("{text}\n").as_bytes()),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// The result as data, on one line: one of many.
    pub(super) fn data_line(&mut self, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(text) => self.write_out(format!("{text}\n").as_bytes()),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// One of many pictures: on a terminal in place of the last one, cut to what it can show;
    /// else below it, after an empty line.
    pub(super) fn picture(&mut self, text: &str) {
        let size = tcgetwinsize(&self.out).ok().filter(|size| size.ws_row > 1 && size.ws_col > 0);
        let size = size.filter(|_| self.out.is_terminal());
        let Some(size) = size else {
            let gap = if std::mem::replace(&mut self.pictured, 1) > 0 { "\n" } else { "" };
            return self.write_out(format!("{gap}{text}\n").as_bytes());
        };
        let (rows, columns) = (usize::from(size.ws_row) - 1, usize::from(size.ws_col));
        let lines: Vec<String> = text.lines().take(rows).map(|line| cut(line, columns)).collect();
        // The lines of the last picture are gone over one by one, so that nothing flickers.
        let up = match self.pictured {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A"),
        };
        self.pictured = lines.len();
        let lines: String = lines.iter().map(|line| format!("\r{line}\u{1b}[K\n")).collect();
        self.write_out(format!("{up}{lines}\u{1b}[J").as_bytes());
    }

    /// Whether stdout has failed, so that there is no use in going on.
    pub(crate) const fn is_broken(&self) -> bool {
        self.failed.is_some()
    }

    /// Bytes that are the result themselves.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.write_out(bytes);
    }

    /// Something that went wrong.
    pub(super) fn complain(&mut self, line: &str) {
        let name = paint(self.err_colour, Paint::Bad, "fleet:");
        self.say(&format!("{name} {line}"));
    }

    /// Something worth knowing.
    pub(super) fn remark(&mut self, line: &str) {
        self.say(&format!("fleet: {line}"));
    }

    /// Whom we wait for: once for each `subject`, or over and over on the same line of a
    /// terminal.
    pub(super) fn waiting(&mut self, line: &str, subject: String) {
        if self.live {
            self.transient(line);
        } else if self.subject.as_ref() != Some(&subject) {
            self.remark(line);
        }
        self.subject = Some(subject);
    }

    /// There is nothing to wait for any more.
    pub(crate) fn end_waiting(&mut self) {
        self.clear();
        self.subject = None;
    }

    /// A line that the next one replaces; only where that is possible.
    pub(super) fn transient(&mut self, line: &str) {
        if self.live {
            self.clear();
            // A line that wraps could not be written over.
            let size = tcgetwinsize(&self.err).ok().filter(|size| size.ws_col > 1);
            let width = size.map_or(80, |size| usize::from(size.ws_col));
            let line: String = format!("fleet: {line}").chars().take(width - 1).collect();
            self.write_err(&line);
            self.pending = true;
        }
    }

    /// `text`, painted for stdout.
    pub(super) fn paint(&self, how: Paint, text: &str) -> String {
        paint(self.out_colour, how, text)
    }

    /// The code to end with, once everything has been written.
    pub(crate) fn finish(&mut self, exit: Exit) -> Exit {
        self.clear();
        if let Err(error) = self.out.flush() {
            self.failed.get_or_insert(error);
        }
        match self.failed.take() {
            // Whoever closed our stdout has read enough.
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.complain(&format!("cannot write to stdout: {error}"));
                if exit == Exit::Done { Exit::Io } else { exit }
            }
            _ => exit,
        }
    }

    /// Lines that need no name before them.
    pub(super) fn say(&mut self, line: &str) {
        self.clear();
        self.write_err(&format!("{line}\n"));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.write_err("\r\u{1b}[K");
        }
    }

    fn write_out(&mut self, bytes: &[u8]) {
        if let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            self.failed.get_or_insert(error);
        }
    }

    fn write_err(&mut self, text: &str) {
        // There is no other stream to complain on.
        let _ = self.err.write_all(text.as_bytes());
    }
}

/// Whether a stream shows colours: <https://no-color.org>, <https://bixense.com/clicolors>.
fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match (set("NO_COLOR"), set("CLICOLOR_FORCE")) {
        (Some(_), _) => false,
        (None, Some(force)) if force != "0" => true,
        _ => stream.is_terminal(),
    }
}

fn paint(colour: bool, how: Paint, text: &str) -> String {
    let code = match how {
        Paint::Good => "32",
        Paint::Odd => "33",
        Paint::Bad => "31",
        Paint::Strong => "1",
    };
    match colour {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

/// The beginning of a line that fits into `columns`. What gives colours takes no room.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = String::with_capacity(line.len());
    let (mut room, mut in_escape) = (columns, false);
    for character in line.chars() {
        let takes_room = !in_escape && character != '\u{1b}';
        in_escape = character == '\u{1b}' || (in_escape && character != 'm');
        if takes_room && room == 0 {
            continue;
        }
        room -= usize::from(takes_room);
        shown.push(character);
    }
    shown
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fits("abc", "abc")]
    #[case::just_fits("abcd", "abcd")]
    #[case::too_long("abcde", "abcd")]
    #[case::colours("a\u{1b}[31mbcde\u{1b}[0m", "a\u{1b}[31mbcd\u{1b}[0m")]
    fn a_line_is_cut_to_the_terminal(#[case] line: &str, #[case] shown: &str) {
        assert_eq!(cut(line, 4), shown);
    }
}
