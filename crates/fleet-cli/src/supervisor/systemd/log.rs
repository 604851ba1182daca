//! What a unit wrote last, wherever it wrote it.

use std::process::Command;

use camino::Utf8Path;

use super::manager::{Manager, Unit};
use crate::error;
use crate::supervisor::words::Words;
use crate::supervisor::{SupervisorError, View, look, tool};

const PROGRAM: &str = "journalctl";

/// The setting that sends a unit's output to a file, and what it can do with the file.
const SETTING: &str = "StandardOutput=";
const KINDS: [&str; 3] = ["append:", "file:", "truncate:"];

/// The last words of the unit's latest run. The journal has what the manager said about it
/// as well; where there is no journal, the file that the unit writes to has to do.
pub(super) fn last_words(manager: &Manager, unit: &Unit) -> Words {
    let why = match journal(&unit.invocation) {
        Ok(text) if !text.trim().is_empty() => return Words::of(&text, "the journal"),
        Ok(_) => "the journal has none".to_owned(),
        Err(why) => why,
    };
    let settings = manager.settings(&unit.name).unwrap_or_default();
    match output_file(&settings, &unit.name, std::env::var("HOME").ok().as_deref()) {
        Some(file) => Words::in_log(Utf8Path::new(&file), 0),
        None => Words::Unknown { why },
    }
}

/// How to see the last lines of a unit, and those to come.
///
/// # Errors
///
/// When they are in a file that cannot be read.
pub(super) fn view(
    manager: &Manager,
    unit: &Unit,
    lines: u32,
    follow: bool,
) -> Result<View, SupervisorError> {
    let settings = manager.settings(&unit.name).unwrap_or_default();
    let home = std::env::var("HOME").ok();
    if let Some(file) = output_file(&settings, &unit.name, home.as_deref()) {
        let file = Utf8Path::new(&file);
        look::is_readable(file)?;
        return Ok(look::tail(file, lines, follow));
    }
    let mut program = Command::new(PROGRAM);
    program.args(["--no-pager", "--output=short-iso"]);
    program.arg(format!("--user-unit={}", unit.name)).arg(format!("--lines={lines}"));
    if follow {
        program.arg("--follow");
    }
    Ok(View::Program(program))
}

/// What the journal has about one run of a unit.
fn journal(invocation: &str) -> Result<String, String> {
    if invocation.is_empty() {
        return Err("the manager does not know of a run".to_owned());
    }
    // Some lines are the unit's own, some are the manager's about it.
    let own = format!("_SYSTEMD_INVOCATION_ID={invocation}");
    let about = format!("USER_INVOCATION_ID={invocation}");
    let arguments = ["--no-pager", "--output=cat", "--lines=5", &own, "+", &about];
    match tool::run(PROGRAM, &arguments, None, |_| {}) {
        Ok(said) if !said.status.success() => Err(said.complaint()),
        // It says so, and succeeds, when there is no journal to look into.
        Ok(said) if said.err.contains("No journal files were") => Err("there is no journal".into()),
        Ok(said) if said.out.starts_with("-- No entries --") => Ok(String::new()),
        Ok(said) => Ok(said.out),
        Err(problem) => Err(error::chain(&problem)),
    }
}

/// The file that a unit writes to, by its settings: the last one counts. The manager does not
/// tell it in any other way.
fn output_file(settings: &str, unit: &str, home: Option<&str>) -> Option<String> {
    let mut values = settings.lines().filter_map(|line| line.trim().strip_prefix(SETTING));
    let value = values.next_back()?.trim();
    let path = KINDS.iter().find_map(|kind| value.strip_prefix(kind))?;
    expand(path, unit, home)
}

/// A path with its specifiers replaced; `None` if it has one that we do not know.
fn expand(path: &str, unit: &str, home: Option<&str>) -> Option<String> {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut expanded = String::with_capacity(path.len());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        expanded.push_str(match characters.next()? {
            '%' => "%",
            'i' => instance,
            'p' => prefix,
            'n' => unit,
            'N' => stem,
            'h' => home?,
            _ => return None,
        });
    }
    Some(expanded)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none("ExecStart=x", None)]
    #[case::the_journal("StandardOutput=journal", None)]
    #[case::a_file("StandardOutput=append:/log/a b", Some("/log/a b"))]
    #[case::the_last_one("StandardOutput=file:/a\n# x\nStandardOutput=truncate:/b\n", Some("/b"))]
    #[case::specifiers("StandardOutput=file:%h/%p/%i.%%", Some("/u/mosaic-agent/a-1.%"))]
    #[case::names("StandardOutput=file:/%n/%N", Some("/mosaic-agent@a-1.service/mosaic-agent@a-1"))]
    #[case::unknown("StandardOutput=file:/%t/x", None)]
    fn where_a_unit_writes(#[case] settings: &str, #[case] file: Option<&str>) {
        let found = output_file(settings, "mosaic-agent@a-1.service", Some("/u"));
        assert_eq!(found.as_deref(), file);
    }
}
