//! What is wrong with a command line, where clap alone would leave people guessing.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};

use crate::args::Cli;
use crate::roster;

/// Why a text is no number that an option takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumberError {
    /// Not a number, or less than one.
    #[error("expected a whole number, 1 or more")]
    NotPositive,
    /// Not a number, or less than none.
    #[error("expected a whole number")]
    NotANumber,
    /// More than the option can take.
    #[error("the number is too large")]
    TooLarge,
}

/// Reads how many there are to be of something.
///
/// # Errors
///
/// When that is no number, or none at all.
pub(crate) fn at_least_one(text: &str) -> Result<NonZeroUsize, NumberError> {
    text.parse().map_err(|_| NumberError::NotPositive)
}

/// Reads a number.
///
/// # Errors
///
/// When it is none, or too large.
pub(crate) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, NumberError> {
    let number = text.parse::<u64>().map_err(|_| NumberError::NotANumber)?;
    T::try_from(number).map_err(|_| NumberError::TooLarge)
}

/// `error` with advice where clap has none: the command that looks most like the one that
/// was typed, and the dashes that `lock run` wants before its command.
pub(crate) fn advised(mut error: Error, args: impl IntoIterator<Item = OsString>) -> Error {
    let args: Vec<_> = args.into_iter().skip(1).filter_map(|arg| arg.into_string().ok()).collect();
    let whole = Cli::command();
    let command = innermost(&whole, &args);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) {
                let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
                if let Some(nearest) = roster::nearest(typed, &names) {
                    let nearest = ContextValue::Strings(vec![nearest.to_owned()]);
                    error.insert(ContextKind::SuggestedSubcommand, nearest);
                }
            }
        }
        ErrorKind::UnknownArgument if takes_a_command(command) => {
            if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg)
                && !typed.starts_with('-')
            {
                let advice = format!("put `--` before the command, as in `-- {typed}`");
                let advice = ContextValue::StyledStrs(vec![StyledStr::from(advice)]);
                error.insert(ContextKind::Suggested, advice);
            }
        }
        _ => {}
    }
    error
}

/// The command that the words lead to, as far as they are known.
fn innermost<'a>(whole: &'a Command, words: &[String]) -> &'a Command {
    let mut command = whole;
    for word in words {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    command
}

/// Whether everything after `--` is somebody else's command line.
fn takes_a_command(command: &Command) -> bool {
    command.get_positionals().any(clap::Arg::is_last_set)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_letter_swapped("fleet restrat", "a similar subcommand exists: 'restart'")]
    #[case::in_a_group("fleet lock rnu", "a similar subcommand exists: 'run'")]
    #[case::after_an_option("fleet --home /h lock sttus", "a similar subcommand exists: 'status'")]
    #[case::no_dashes("fleet lock run ./deploy.sh", "`-- ./deploy.sh`")]
    #[case::of_clap("fleet restart --jbos 2", "a similar argument exists: '--jobs'")]
    fn a_mistake_comes_with_advice(#[case] line: &str, #[case] says: &str) {
        let args = || line.split(' ').map(OsString::from);
        let error = Cli::try_parse_from(args()).expect_err("a mistake");
        let text = advised(error, args()).to_string();
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn a_word_like_no_command_is_not_taken_for_one() {
        let args = || ["fleet", "frobnicate"].map(OsString::from).into_iter();
        let error = Cli::try_parse_from(args()).expect_err("a mistake");
        assert!(!advised(error, args()).to_string().contains("similar"));
    }

    #[rstest]
    #[case("7", Ok(7))]
    #[case("256", Err(NumberError::TooLarge))]
    #[case("x", Err(NumberError::NotANumber))]
    #[case("-1", Err(NumberError::NotANumber))]
    fn numbers(#[case] text: &str, #[case] number: Result<u8, NumberError>) {
        assert_eq!(super::number::<u8>(text), number);
    }

    #[rstest]
    #[case("0")]
    #[case("two")]
    #[case("")]
    fn nothing_is_not_enough(#[case] text: &str) {
        assert_eq!(at_least_one(text), Err(NumberError::NotPositive));
    }
}
