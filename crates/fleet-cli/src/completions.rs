//! Shell completions. The script that a shell loads asks `fleet` itself at each TAB, so
//! that the agents of the roster are offered as well.

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::Cli;
use crate::exit::Exit;
use crate::home::{Environment, Home};
use crate::roster;

/// The variable with which the script asks; its value is the shell's name.
const VARIABLE: &str = "FLEET_COMPLETE";

/// Answers the script of a shell, if it is that who called.
pub(crate) fn answer() -> Option<Exit> {
    std::env::var_os(VARIABLE)?;
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(command).var(VARIABLE).try_complete(args(), here.as_deref()) {
        Ok(true) => Some(Exit::Done),
        Ok(false) => None,
        Err(error) => {
            let _ = error.print();
            Some(Exit::Usage)
        }
    }
}

/// What makes a script of use that zsh has found by itself, as the function `_fleet`: it has
/// to complete at its first call too.
const ZSH_AUTOLOAD: &str = r#"
if [[ "${funcstack[1]}" == _fleet ]]; then
    _clap_dynamic_completer_fleet "$@"
fi
"#;

/// The script for a shell.
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&shell.to_string()) {
        // A vector takes every write.
        let _ = shell.write_registration(VARIABLE, "fleet", "fleet", "fleet", &mut script);
    }
    if shell == Shell::Zsh {
        script.extend_from_slice(ZSH_AUTOLOAD.as_bytes());
    }
    script
}

/// The command line, with what can be offered for its values.
fn command() -> Command {
    offer(Cli::command())
}

fn offer(command: Command) -> Command {
    command.mut_args(offer_values).mut_subcommands(offer)
}

/// A value's name says what it is, in every command alike.
fn offer_values(arg: Arg) -> Arg {
    let name = arg.get_value_names().and_then(<[_]>::first).map(|name| name.as_str());
    match name {
        Some("AGENT") => arg.add(ArgValueCandidates::new(agents)),
        Some("DIR") => arg.value_hint(ValueHint::DirPath),
        Some("PATH" | "FILE") => arg.value_hint(ValueHint::AnyPath),
        _ => arg,
    }
}

/// The agents of the roster; none where there is no good roster, which is no time to say so.
fn agents() -> Vec<CompletionCandidate> {
    let home = Home::find(typed_home(args()), &Environment::read()).ok();
    let roster = home.and_then(|home| roster::load(&home).ok());
    let agents = roster.into_iter().flat_map(|roster| roster.agents);
    agents
        .map(|agent| CompletionCandidate::new(agent.name).help(Some(agent.class.into())))
        .collect()
}

fn args() -> impl Iterator<Item = OsString> {
    std::env::args_os()
}

/// The value of `--home` on the command line that is being typed.
fn typed_home(args: impl Iterator<Item = OsString>) -> Option<Utf8PathBuf> {
    let mut args = args.filter_map(|arg| arg.into_string().ok());
    let home = loop {
        let arg = args.next()?;
        match arg.strip_prefix("--home") {
            Some("") => break args.next()?,
            Some(rest) if rest.starts_with('=') => break rest.trim_start_matches('=').to_owned(),
            _ => {}
        }
    };
    Some(home.into())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::separate("fleet restart --home /h a", Some("/h"))]
    #[case::joined("fleet --home=/h restart a", Some("/h"))]
    #[case::not_yet("fleet restart --home", None)]
    #[case::absent("fleet restart a", None)]
    #[case::another_option("fleet --homely /h", None)]
    fn the_home_is_read_from_what_is_typed(#[case] line: &str, #[case] home: Option<&str>) {
        let args = line.split(' ').map(OsString::from);
        assert_eq!(typed_home(args).as_deref(), home.map(camino::Utf8Path::new));
    }
}
