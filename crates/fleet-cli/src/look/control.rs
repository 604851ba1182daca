//! What tmux says in its control mode, about one pane.
//!
//! It answers a command with lines between `%begin` and `%end`, and tells of a pane's output
//! in `%output` lines, all in the order in which it happens. So nothing is lost between the
//! first look at a pane and what follows.

use crate::supervisor::last;

/// Takes tmux's lines, gives what is to be shown.
#[derive(Debug)]
pub(super) struct Control {
    /// How its lines about our pane's output begin.
    output: String,
    lines: u32,
    /// The answer to our command, as far as it has come.
    answer: Option<String>,
}

impl Control {
    /// For a pane, of which the last `lines` are wanted first.
    pub(super) fn new(pane: u32, lines: u32) -> Self {
        Self { output: format!("%output %{pane} "), lines, answer: None }
    }

    /// The next line, without its end.
    pub(super) fn take(&mut self, line: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        match (words.next(), &mut self.answer) {
            // The last word of a frame is 1 for commands of ours, as the first look is.
            (Some("%begin"), None) if words.next_back() == Some("1") => {
                self.answer = Some(String::new());
            }
            (Some("%end" | "%error"), Some(answer)) => {
                let shown = last(answer, self.lines);
                self.answer = None;
                return shown.into_bytes();
            }
            (_, Some(answer)) => {
                answer.push_str(&text);
                answer.push('\n');
            }
            (Some("%output"), None) => {
                let data = line.strip_prefix(self.output.as_bytes()).unwrap_or_default();
                return unescape(data);
            }
            _ => {}
        }
        Vec::new()
    }
}

/// Bytes as they were before tmux wrote some of them as `\ooo`; without the carriage returns
/// that a terminal gets before each line feed.
fn unescape(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((byte, tail)) = rest.split_first() {
        let escape = tail.first_chunk::<3>().filter(|_| *byte == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match escape {
            Some(escaped) => {
                bytes.push(escaped);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
        if bytes.ends_with(b"\r\n") {
            bytes.truncate(bytes.len() - 2);
            bytes.push(b'\n');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_first_and_then_what_is_written() {
        let said = "%begin 1795532108 264 0\n\
                    %end 1795532108 264 0\n\
                    %session-changed $0 a\n\
                    %begin 1795532108 269 1\n\
                    one\n\
                    %two\n\
                    three\n\
                    \n\
                    \n\
                    %end 1795532108 269 1\n\
                    %output %7 not ours\n\
                    %output %0 four \\134 \\303\\251\\015\\012\n\
                    %output %0 fi\n\
                    %output %0 ve\\015\\012\n\
                    %exit\n";
        let mut control = Control::new(0, 2);
        let shown: Vec<u8> = said.lines().flat_map(|line| control.take(line.as_bytes())).collect();
        assert_eq!(String::from_utf8_lossy(&shown), "%two\nthree\nfour \\ é\nfive\n");
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape(b"a\\9\\12"), b"a\\9\\12");
        assert_eq!(unescape(b"\\033[1m"), b"\x1b[1m");
    }
}
