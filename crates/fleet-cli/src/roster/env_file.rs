//! `fleet/agents/<name>.env`: the variables of one agent, as systemd's `EnvironmentFile=`
//! reads them, so that the same file serves every supervisor.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use camino::Utf8Path;

use super::error::{Place, RosterError};

/// Reads the file at `path`; a file that is not there holds no variables.
///
/// # Errors
///
/// Names the line that is not `KEY=VALUE`, or no text.
pub(super) fn read(path: &Utf8Path) -> Result<BTreeMap<String, String>, RosterError> {
    match std::fs::read(path) {
        Ok(bytes) => parse(path, &super::text(path, bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(RosterError::Read { path: path.to_owned(), source }),
    }
}

/// Whether every shell and libc agrees that this names a variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

/// Reads the text of the file at `path`.
///
/// # Errors
///
/// Names the line that is not `KEY=VALUE`.
pub(crate) fn parse(path: &Utf8Path, text: &str) -> Result<BTreeMap<String, String>, RosterError> {
    let mut variables = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let place = || Place::line(path, number);
        let problem = |problem| RosterError::EnvLine { place: place(), problem };
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line.split_once('=').ok_or_else(|| problem("there is no `=`"))?;
        let key = key.trim();
        if !is_variable_name(key) {
            return Err(RosterError::BadVariable { place: place(), key: key.to_owned() });
        }
        variables.insert(key.to_owned(), unquote(value.trim()).map_err(problem)?);
    }
    Ok(variables)
}

/// The value without its quotes. In double quotes a backslash takes the next character as
/// it is; single quotes take everything; outside of quotes nothing is special.
fn unquote(value: &str) -> Result<String, &'static str> {
    let mut chars = value.chars();
    let quote = match chars.clone().next() {
        Some(quote @ ('"' | '\'')) => quote,
        _ => return Ok(value.to_owned()),
    };
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next() {
            None => return Err("the quote is not closed"),
            Some('\\') if quote == '"' => text.extend(chars.next()),
            Some(c) if c == quote => break,
            Some(c) => text.push(c),
        }
    }
    let rest = chars.as_str().trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(text)
    } else {
        Err("there is text after the closing quote")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PATH: &str = "/home/fleet/agents/alpha.env";

    #[rstest]
    #[case::plain("A=1", &[("A", "1")])]
    #[case::empty_value("A=", &[("A", "")])]
    #[case::spaces("  A = two words  ", &[("A", "two words")])]
    #[case::equals_in_the_value("A=b=c", &[("A", "b=c")])]
    #[case::comments("# one\n; two\n\nA=1 # kept", &[("A", "1 # kept")])]
    #[case::export("export A=1", &[("A", "1")])]
    #[case::double(r#"A="say \"hi\" \\ $HOME" # comment"#, &[("A", r#"say "hi" \ $HOME"#)])]
    #[case::single(r"A='as \ it is'", &[("A", r"as \ it is")])]
    #[case::last_wins("A=1\nA=2", &[("A", "2")])]
    #[case::windows("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")])]
    fn reads(#[case] text: &str, #[case] variables: &[(&str, &str)]) {
        let read = parse(Utf8Path::new(PATH), text).expect("well-formed");
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, variables);
    }

    #[rstest]
    #[case::no_equals("A=1\nB", ":2: there is no `=`; write KEY=VALUE")]
    #[case::open_quote("A=\"1", ":1: the quote is not closed; write KEY=VALUE")]
    #[case::after_quote("A='1' 2", ":1: there is text after the closing quote; write KEY=VALUE")]
    #[case::bad_key("1A=2", ":1: `1A` is not the name of an environment variable")]
    fn names_the_line(#[case] text: &str, #[case] message: &str) {
        let error = parse(Utf8Path::new(PATH), text).expect_err("malformed");
        assert_eq!(error.to_string(), format!("{PATH}{message}"));
    }
}
