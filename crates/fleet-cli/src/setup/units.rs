//! The unit files that are shipped, made to fit one fleet.
//!
//! They are whole units for a `fleet` that a package installed and a home in the usual place;
//! only these two places are replaced. Everything else that a unit needs to know, its command
//! asks the roster when it starts, so a change of the roster leaves the units as they are.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::SetupError;
use super::file::Change;
use crate::home::Home;
use crate::roster::Units;

/// The files as they are shipped.
const SHIPPED_HOLDER: &str = include_str!("../../units/mosaic-tmux-holder.service");
const SHIPPED_AGENT: &str = include_str!("../../units/mosaic-agent@.service");

/// What the shipped files say in place of a fleet's own names and paths.
const HOLDER: &str = "mosaic-tmux-holder.service";
const PROGRAM: &str = "/usr/bin/fleet";
const HOME: &str = "%h/.config/mosaic";

/// What a fleet calls and keeps where.
#[derive(Clone, Copy, Debug)]
struct Fit<'a> {
    holder: &'a str,
    home: &'a Utf8Path,
    program: &'a Utf8Path,
}

/// The changes that make the files in `directory` those of a fleet.
///
/// # Errors
///
/// When there is no file for all agents, or one is there that cannot be read.
pub(super) fn changes(
    directory: &Utf8Path,
    home: &Home,
    units: &Units,
) -> Result<Vec<Change>, SetupError> {
    let program = program()?;
    let fit = Fit { holder: &units.holder, home: home.root(), program: &program };
    let template = units.template().ok_or(SetupError::NoTemplate { path: home.roster() })?;
    let change = |name: &str, shipped| Change::to(directory.join(name), Some(fit.fitted(shipped)));
    Ok(vec![change(&units.holder, SHIPPED_HOLDER)?, change(&template, SHIPPED_AGENT)?])
}

/// This program's own path, as units are to call it.
///
/// # Errors
///
/// When the system does not tell, or it is not text.
fn program() -> Result<Utf8PathBuf, SetupError> {
    let path = std::env::current_exe().map_err(SetupError::NoProgram)?;
    let text = Utf8PathBuf::from_path_buf(path);
    text.map_err(|_| SetupError::NoProgram(std::io::ErrorKind::InvalidData.into()))
}

impl Fit<'_> {
    fn fitted(&self, shipped: &str) -> String {
        shipped.lines().map(|line| self.line(line) + "\n").collect()
    }

    /// Only what stands in quotes is unescaped by systemd; `EnvironmentFile=` takes a path as
    /// it is.
    fn line(&self, line: &str) -> String {
        let home = escaped(self.home.as_str(), line.contains('"'));
        let program = escaped(self.program.as_str(), true).replace('$', "$$");
        line.replace(HOME, &home).replace(PROGRAM, &program).replace(HOLDER, self.holder)
    }
}

/// A path in a unit file: `%` begins a specifier, and in quotes a backslash an escape.
fn escaped(path: &str, in_quotes: bool) -> String {
    let path = path.replace('%', "%%");
    match in_quotes {
        true => path.replace('\\', "\\\\").replace('"', "\\\""),
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_fit_the_usual_places() {
        let fit = Fit { holder: HOLDER, home: HOME.into(), program: PROGRAM.into() };
        for shipped in [SHIPPED_HOLDER, SHIPPED_AGENT] {
            assert_eq!(fit.fitted(shipped).replace("%%", "%"), shipped);
        }
    }

    #[test]
    fn odd_names_and_paths_are_written_as_systemd_reads_them() {
        let fit = Fit {
            holder: "other.service",
            home: "/h o%m\\e".into(),
            program: "/o\"p t/$fleet".into(),
        };
        let fitted = fit.fitted(SHIPPED_AGENT);
        for line in [
            "After=other.service",
            r#"Environment="FLEET_HOME=/h o%%m\\e""#,
            r"EnvironmentFile=-/h o%%m\e/fleet/agents/%i.env",
            r#"ExecStart="/o\"p t/$$fleet" __unit agent %i"#,
        ] {
            assert!(fitted.lines().any(|l| l == line), "{line} in\n{fitted}");
        }
    }
}
