//! The unit files that are shipped, made to fit one fleet.
//!
//! They are whole units for a `fleet` that a package installed and a home in the usual place;
//! only these two places are replaced. Everything else that a unit needs to know, its command
//! asks the roster when it starts, so a change of the roster leaves the units as they are.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::SetupError;
use super::file::Change;
use crate::home::Home;

/// The unit of the tmux server.
pub(crate) const HOLDER: &str = "mosaic-tmux-holder.service";

const AGENT_TEMPLATE: &str = "mosaic-agent@.service";

/// The files as they are shipped.
const SHIPPED: [(&str, &str); 2] = [
    (HOLDER, include_str!("../../units/mosaic-tmux-holder.service")),
    (AGENT_TEMPLATE, include_str!("../../units/mosaic-agent@.service")),
];

/// What the shipped files say in place of a fleet's own paths.
const PROGRAM: &str = "/usr/bin/fleet";
const HOME: &str = "%h/.config/mosaic";

/// The unit of one agent.
pub(crate) fn agent(name: &str) -> String {
    format!("mosaic-agent@{name}.service")
}

/// The agent that a unit is for.
pub(super) fn agent_of(unit: &str) -> Option<&str> {
    unit.strip_prefix("mosaic-agent@")?.strip_suffix(".service").filter(|name| !name.is_empty())
}

/// The changes that make the files in `directory` those of `home`, which call `program`.
///
/// # Errors
///
/// When a file is there that cannot be read.
pub(super) fn changes(
    directory: &Utf8Path,
    home: &Home,
    program: &Utf8Path,
) -> Result<Vec<Change>, SetupError> {
    let change = |(name, shipped): (&str, &str)| {
        Change::to(directory.join(name), Some(fitted(shipped, home.root(), program)))
    };
    SHIPPED.into_iter().map(change).collect()
}

/// This program's own path, as units are to call it.
///
/// # Errors
///
/// When the system does not tell, or it is not text.
pub(super) fn program() -> Result<Utf8PathBuf, SetupError> {
    let path = std::env::current_exe().map_err(SetupError::NoProgram)?;
    let text = Utf8PathBuf::from_path_buf(path);
    text.map_err(|_| SetupError::NoProgram(std::io::ErrorKind::InvalidData.into()))
}

fn fitted(shipped: &str, home: &Utf8Path, program: &Utf8Path) -> String {
    // Only what stands in quotes is unescaped by systemd; `EnvironmentFile=` takes a path as
    // it is.
    let line = |line: &str| {
        let home = escaped(home.as_str(), line.contains('"'));
        let program = escaped(program.as_str(), true).replace('$', "$$");
        line.replace(HOME, &home).replace(PROGRAM, &program) + "\n"
    };
    shipped.lines().map(line).collect()
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
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_shipped("%h/.config/mosaic", PROGRAM)]
    fn the_shipped_files_fit_the_usual_places(#[case] home: &str, #[case] program: &str) {
        for (name, shipped) in SHIPPED {
            let fitted = fitted(shipped, home.into(), program.into()).replace("%%", "%");
            assert_eq!(fitted, shipped, "{name}");
        }
    }

    #[test]
    fn odd_paths_are_escaped() {
        let (_, shipped) = SHIPPED[1];
        let fitted = fitted(shipped, "/h o%m\\e".into(), "/o\"p t/$fleet".into());
        for line in [
            r#"Environment="FLEET_HOME=/h o%%m\\e""#,
            r"EnvironmentFile=-/h o%%m\e/fleet/agents/%i.env",
            r#"ExecStart="/o\"p t/$$fleet" __unit agent %i"#,
        ] {
            assert!(fitted.lines().any(|l| l == line), "{line} in\n{fitted}");
        }
    }

    #[rstest]
    #[case("mosaic-agent@a.b-c.service", Some("a.b-c"))]
    #[case("mosaic-agent@.service", None)]
    #[case("mosaic-tmux-holder.service", None)]
    fn units_name_their_agents(#[case] unit: &str, #[case] name: Option<&str>) {
        assert_eq!(agent_of(unit), name);
    }
}
