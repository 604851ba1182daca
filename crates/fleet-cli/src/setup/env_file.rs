//! What fleet writes into an agent's env file: what the roster says about the agent, for the
//! agent itself and whatever it starts.

use super::env_merge::{Lines, merge};
use super::error::SetupError;
use super::file::Change;
use crate::home::Home;
use crate::roster::Agent;

/// The first lines of a new env file.
const HEAD: &str = "\
# The variables of this agent, as KEY=VALUE. The roster's `env` goes over them.
# Add your own, and change any: fleet updates a line only while it is as fleet wrote it.
";

/// The change that brings an agent's env file up to date.
///
/// # Errors
///
/// When it cannot be read, or cannot hold what the roster says.
pub(super) fn change(home: &Home, agent: &Agent) -> Result<Change, SetupError> {
    let mut change = Change::to(home.env_file(&agent.name), None)?;
    let text = change.before.as_deref().unwrap_or(HEAD);
    change.after = Some(merge(text, &generated(agent)?));
    change.secret = true;
    Ok(change)
}

fn generated(agent: &Agent) -> Result<Lines, SetupError> {
    let model = agent.kept.model_hint.as_deref();
    let values = [
        ("FLEET_AGENT_CLASS", "class", Some(agent.class.as_str())),
        ("FLEET_AGENT_MODEL_HINT", "model hint", model),
        ("FLEET_AGENT_RUNTIME", "runtime", Some(agent.runtime.as_str())),
    ];
    let mut lines = Lines::new();
    for (variable, key, value) in values {
        let Some(value) = value else { continue };
        let value =
            quoted(value).ok_or_else(|| SetupError::NotALine { name: agent.name.clone(), key })?;
        lines.insert(variable.to_owned(), format!("{variable}={value}"));
    }
    Ok(lines)
}

/// A value as both systemd and fleet read it back.
fn quoted(value: &str) -> Option<String> {
    if value.chars().any(char::is_control) {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,-".contains(c);
    if value.chars().all(plain) {
        return Some(value.to_owned());
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("claude-4.5/x", Some("claude-4.5/x"))]
    #[case::empty("", Some(""))]
    #[case::space("two words", Some("\"two words\""))]
    #[case::quotes(r#"a"b\c$d`e"#, Some(r#""a\"b\\c\$d\`e""#))]
    #[case::comment("a#b", Some("\"a#b\""))]
    #[case::newline("a\nb", None)]
    fn values_are_written_as_they_are_read(#[case] value: &str, #[case] line: Option<&str>) {
        assert_eq!(quoted(value).as_deref(), line);
        if let Some(line) = line {
            let read = crate::roster::env_file::parse("x".into(), &format!("A={line}\n"));
            assert_eq!(read.expect("well-formed")["A"], value);
        }
    }
}
