//! The shape of `fleet/roster.yaml`, version 1, as serde reads it.
//!
//! Every key is read in snake_case and in camelCase, as Mosaic writes both. Values whose
//! check comes later keep the place where they stand.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8Path;
use clap::ValueEnum;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::{Error, Spanned};

use super::error::{Place, RosterError};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RosterFile {
    pub(super) version: Spanned<u64>,
    pub(super) transport: Spanned<String>,
    #[serde(default)]
    pub(super) supervisor: SupervisorKind,
    #[serde(default)]
    pub(super) tmux: TmuxKeys,
    #[serde(default)]
    pub(super) systemd: SystemdKeys,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) runtimes: BTreeMap<String, Runtime>,
    pub(super) agents: Spanned<Vec<AgentEntry>>,
}

/// Who starts and stops the agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SupervisorKind {
    /// User units.
    #[default]
    Systemd,
    /// Sessions on a private tmux server.
    Tmux,
    /// Plain processes, each in its own session.
    Process,
}

/// Where the holder and the sessions live.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TmuxKeys {
    #[serde(alias = "socketName")]
    pub(super) socket_name: Option<Spanned<String>>,
    #[serde(alias = "holderSession")]
    pub(super) holder_session: Option<Spanned<String>>,
}

/// What the units are called.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemdKeys {
    #[serde(alias = "holderUnit")]
    pub(super) holder_unit: Option<Spanned<String>>,
    #[serde(alias = "agentUnit")]
    pub(super) agent_unit: Option<Spanned<String>>,
}

/// What holds for every agent that does not say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    #[serde(alias = "workingDirectory")]
    pub(super) working_directory: Option<String>,
}

/// What holds for every agent of one runtime.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    pub(super) command: Option<Spanned<Argv>>,
    #[serde(default, rename = "reset_command", alias = "resetCommand")]
    _reset_command: Option<String>,
}

/// One agent as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentEntry {
    pub(super) name: Spanned<String>,
    pub(super) runtime: String,
    pub(super) class: Option<String>,
    pub(super) command: Option<Spanned<Argv>>,
    #[serde(alias = "workingDirectory")]
    pub(super) working_directory: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) host: Option<String>,
    pub(super) ssh: Option<String>,
    pub(super) socket: Option<String>,
    #[serde(alias = "modelHint")]
    pub(super) model_hint: Option<String>,
    #[serde(alias = "resetBetweenTasks")]
    pub(super) reset_between_tasks: Option<bool>,
}

impl SupervisorKind {
    /// As written in a roster.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Tmux => "tmux",
            Self::Process => "process",
        }
    }
}

/// A command line: a list of arguments, never a string for a shell to take apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argv(pub(super) Vec<String>);

/// Reads the roster's text.
///
/// # Errors
///
/// Names the line and column; an unknown key comes with the nearest known one.
pub(super) fn parse(path: &Utf8Path, text: &str) -> Result<RosterFile, RosterError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(path, &error))
}

fn explain(path: &Utf8Path, error: &Error) -> RosterError {
    let error = error.without_snippet();
    let place = Place::new(path, error.location());
    match error {
        Error::SerdeUnknownField { field, expected, .. } => RosterError::UnknownKey {
            place,
            key: field.clone(),
            nearest: nearest(field, expected).map(str::to_owned),
        },
        Error::SerdeMissingField { field, .. } => RosterError::MissingKey { place, key: field },
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            RosterError::UnknownValue { place, value: variant.clone(), known: expected.join(", ") }
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            RosterError::WrongType { place, found: unexpected.clone(), expected: expected.clone() }
        }
        other => RosterError::Yaml { place, problem: problem(other) },
    }
}

/// The known word that `word` most likely stands for.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().min_by_key(|k| strsim::damerau_levenshtein(word, k))
}

/// What is wrong, for people: without the place, which we put in front ourselves, and
/// without the words of the parser's own API.
fn problem(error: &Error) -> String {
    match error {
        Error::NullIntoString { .. } => "expected text; write '' for none at all".to_owned(),
        Error::Eof { .. } => "the file ends here, and something is missing".to_owned(),
        Error::Unexpected { expected, .. } => match *expected {
            "mapping start" => "expected keys and values, as in `key: value`".to_owned(),
            "sequence start" => "expected a list, as in `[one, two]`".to_owned(),
            "string scalar" => "expected one word or quoted text".to_owned(),
            other => format!("expected {other}"),
        },
        Error::InvalidScalar { ty, .. } => format!("expected a value of type {ty}"),
        Error::SerdeInvalidLength { expected, .. } => format!("expected {expected}"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` is here twice")
        }
        other => {
            let text = other.render();
            let text = text.lines().next().unwrap_or_default();
            text.rsplit_once(" at line ").map_or(text, |(said, _)| said).to_owned()
        }
    }
}

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ArgvVisitor)
    }
}

struct ArgvVisitor;

impl<'de> Visitor<'de> for ArgvVisitor {
    type Value = Argv;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of arguments such as [sh, -c, \"echo hello\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Argv, A::Error> {
        let mut argv = Vec::new();
        while let Some(argument) = seq.next_element()? {
            argv.push(argument);
        }
        if argv.is_empty() {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(Argv(argv))
    }
}
