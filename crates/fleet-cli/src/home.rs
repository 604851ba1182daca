//! Where a fleet lives on disk. No other module knows a path inside the home.

use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};

/// What the process environment says, read once in `main` and passed down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `FLEET_HOME`.
    pub(crate) fleet_home: Option<OsString>,
    /// `MOSAIC_HOME`, for fleets that Mosaic set up.
    pub(crate) mosaic_home: Option<OsString>,
    /// `HOME`, the user's.
    pub(crate) user_home: Option<OsString>,
    /// `XDG_CONFIG_HOME`, where the user keeps settings.
    pub(crate) config_home: Option<OsString>,
}

/// Why there is no home to work in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// Neither a flag nor any variable names one.
    #[error("no fleet home: pass --home DIR, or set FLEET_HOME or HOME")]
    Unknown,
    /// An option or a variable that was meant to name something, and is empty.
    #[error("a path is empty, perhaps from a variable that is not set; name a file or a directory")]
    Empty,
    /// We print paths and write them to files, so they must be text.
    #[error("the fleet home {} is not valid UTF-8; choose another with --home DIR", .0.display())]
    NotText(OsString),
    /// The current directory, which a relative path starts from, is gone or not text.
    #[error("cannot find the current directory, which {path} is relative to")]
    Current {
        /// The relative path.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A fleet's home directory, and the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    root: Utf8PathBuf,
    user: Option<Utf8PathBuf>,
}

impl Environment {
    /// Reads the variables of this process.
    pub(crate) fn read() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            fleet_home: set("FLEET_HOME"),
            mosaic_home: set("MOSAIC_HOME"),
            user_home: set("HOME"),
            config_home: set("XDG_CONFIG_HOME"),
        }
    }
}

impl Home {
    /// The home: `flag`, else `FLEET_HOME`, else `MOSAIC_HOME`, else `~/.config/mosaic`.
    ///
    /// # Errors
    ///
    /// When nothing names one, or the name is not text.
    pub(crate) fn find(flag: Option<Utf8PathBuf>, env: &Environment) -> Result<Self, HomeError> {
        let user = env.user_home.clone().map(text).transpose()?;
        let named = env.fleet_home.clone().or_else(|| env.mosaic_home.clone());
        let root = match (flag, named, &user) {
            (Some(flag), _, _) => flag,
            (None, Some(named), _) => text(named)?,
            (None, None, Some(user)) => user.join(".config/mosaic"),
            (None, None, None) => return Err(HomeError::Unknown),
        };
        Ok(Self { root: absolute(&root)?, user })
    }

    /// The home itself.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The roster.
    pub(crate) fn roster(&self) -> Utf8PathBuf {
        self.root.join("fleet/roster.yaml")
    }

    /// The environment file of one agent.
    pub(crate) fn env_file(&self, agent: &str) -> Utf8PathBuf {
        self.root.join("fleet/agents").join(format!("{agent}.env"))
    }

    /// The lock of every command that changes the fleet.
    pub(crate) fn restart_lock(&self) -> Utf8PathBuf {
        self.run().join("restart.lock")
    }

    /// How far the last restart came.
    pub(crate) fn plan(&self) -> Utf8PathBuf {
        self.run().join("plan.json")
    }

    /// The lock of every command that writes roster, env files or units.
    pub(crate) fn setup_lock(&self) -> Utf8PathBuf {
        self.run().join("setup.lock")
    }

    /// What is remembered of the agents that were started.
    pub(crate) fn instances(&self) -> Utf8PathBuf {
        self.run().join("agents")
    }

    /// What is remembered of one of them.
    pub(crate) fn instance(&self, agent: &str) -> Utf8PathBuf {
        self.instances().join(format!("{agent}.json"))
    }

    /// Where one agent says that it is alive, if it does.
    pub(crate) fn heartbeat(&self, agent: &str) -> Utf8PathBuf {
        self.run().join(format!("{agent}.hb"))
    }

    /// What one agent wrote.
    pub(crate) fn log(&self, agent: &str) -> Utf8PathBuf {
        self.run().join("logs").join(format!("{agent}.log"))
    }

    /// A path as the roster writes it: `~` is the user's home, a relative path starts at
    /// the fleet's.
    pub(crate) fn expand(&self, path: &str) -> Utf8PathBuf {
        let rest = match path {
            "~" => Some(""),
            _ => path.strip_prefix("~/"),
        };
        match (rest, &self.user) {
            (Some(rest), Some(user)) => tidy(&user.join(rest)),
            _ => tidy(&self.root.join(path)),
        }
    }

    /// Where everything is that comes and goes.
    pub(crate) fn run(&self) -> Utf8PathBuf {
        self.root.join("fleet/run")
    }
}

/// Where the user's own units are: `$XDG_CONFIG_HOME/systemd/user`, else
/// `~/.config/systemd/user`. systemd takes a relative `XDG_CONFIG_HOME` for none, and so do we.
pub(crate) fn unit_directory(env: &Environment) -> Option<Utf8PathBuf> {
    let path = |value: &OsString| Some(Utf8PathBuf::from(value.to_str()?));
    let config = env.config_home.as_ref().and_then(path).filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(path(env.user_home.as_ref()?)?.join(".config")))?;
    Some(config.join("systemd/user"))
}

/// `path` made independent of the current directory.
///
/// # Errors
///
/// When it is empty, or there is no usable current directory.
pub(crate) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, HomeError> {
    if path.as_str().is_empty() {
        return Err(HomeError::Empty);
    }
    camino::absolute_utf8(path)
        .map_err(|source| HomeError::Current { path: path.to_owned(), source })
}

fn text(value: OsString) -> Result<Utf8PathBuf, HomeError> {
    value.into_string().map(Utf8PathBuf::from).map_err(HomeError::NotText)
}

/// Without the `.` that a relative path may leave in the middle.
fn tidy(path: &Utf8Path) -> Utf8PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn env(fleet: Option<&str>, mosaic: Option<&str>, user: Option<&str>) -> Environment {
        Environment {
            fleet_home: fleet.map(Into::into),
            mosaic_home: mosaic.map(Into::into),
            user_home: user.map(Into::into),
            config_home: None,
        }
    }

    #[rstest]
    #[case::flag(Some("/flag"), Some("/f"), Some("/m"), Some("/u"), "/flag")]
    #[case::fleet(None, Some("/f"), Some("/m"), Some("/u"), "/f")]
    #[case::mosaic(None, None, Some("/m"), Some("/u"), "/m")]
    #[case::default(None, None, None, Some("/u"), "/u/.config/mosaic")]
    fn the_first_that_is_named_wins(
        #[case] flag: Option<&str>,
        #[case] fleet: Option<&str>,
        #[case] mosaic: Option<&str>,
        #[case] user: Option<&str>,
        #[case] root: &str,
    ) {
        let home = Home::find(flag.map(Into::into), &env(fleet, mosaic, user));
        assert_eq!(home.expect("one is named").root(), root);
    }

    #[test]
    fn without_any_name_there_is_none() {
        let error = Home::find(None, &env(None, None, None)).expect_err("nothing is named");
        assert!(matches!(error, HomeError::Unknown));
    }

    #[rstest]
    #[case::xdg(Some("/x"), Some("/u"), Some("/x/systemd/user"))]
    #[case::relative(Some("x"), Some("/u"), Some("/u/.config/systemd/user"))]
    #[case::home(None, Some("/u"), Some("/u/.config/systemd/user"))]
    #[case::neither(None, None, None)]
    fn units_are_where_systemd_looks(
        #[case] config: Option<&str>,
        #[case] user: Option<&str>,
        #[case] units: Option<&str>,
    ) {
        let env = Environment { config_home: config.map(Into::into), ..env(None, None, user) };
        assert_eq!(unit_directory(&env), units.map(Into::into));
    }

    #[rstest]
    #[case("~", "/u")]
    #[case("~/src", "/u/src")]
    #[case("~other/src", "/f/~other/src")]
    #[case("/abs", "/abs")]
    #[case(".", "/f")]
    #[case("./work", "/f/work")]
    fn roster_paths_expand(#[case] path: &str, #[case] expanded: &str) {
        let home = Home::find(None, &env(Some("/f"), None, Some("/u"))).expect("named");
        assert_eq!(home.expand(path), expanded);
    }
}
