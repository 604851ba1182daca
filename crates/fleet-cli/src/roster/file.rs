//! The shape of `fleet/roster.yaml`, version 1, as serde reads it.
//!
//! Every key is read in snake_case and in camelCase, as Mosaic writes both. Values whose
//! check comes later keep the place where they stand.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8Path;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::{Error, Spanned};

use super::error::{Place, RosterError};

/// A fleet: which agents there are, and how each is run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fleet roster, version 1")]
pub(super) struct RosterFile {
    /// Which kind of roster this is.
    #[schemars(with = "u64", extend("const" = 1))]
    pub(super) version: Spanned<u64>,
    /// How agents are reached.
    #[schemars(with = "String", extend("const" = "tmux"))]
    pub(super) transport: Spanned<String>,
    #[serde(default)]
    pub(super) supervisor: SupervisorKind,
    #[serde(default)]
    pub(super) tmux: TmuxKeys,
    #[serde(default)]
    pub(super) systemd: SystemdKeys,
    #[serde(default)]
    pub(super) defaults: Defaults,
    /// Program families, by name.
    #[serde(default)]
    pub(super) runtimes: BTreeMap<String, Runtime>,
    /// The agents, in the order of a restart.
    #[schemars(with = "Vec<AgentEntry>", length(min = 1))]
    pub(super) agents: Spanned<Vec<AgentEntry>>,
}

/// Who starts and stops the agents.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum, JsonSchema,
)]
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
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tmux")]
pub(super) struct TmuxKeys {
    /// The socket of the fleet's own tmux server; absent, the user's default server.
    #[serde(alias = "socketName")]
    #[schemars(with = "Option<String>", regex(pattern = r"^[^/]+$"))]
    pub(super) socket_name: Option<Spanned<String>>,
    /// The session that keeps the server up; absent, `_holder`.
    #[schemars(with = "Option<String>", length(min = 1))]
    #[serde(alias = "holderSession")]
    pub(super) holder_session: Option<Spanned<String>>,
}

/// What the units are called.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Systemd")]
pub(super) struct SystemdKeys {
    /// The holder's unit; absent, `mosaic-tmux-holder.service`.
    #[serde(alias = "holderUnit")]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*\.service$")
    )]
    pub(super) holder_unit: Option<Spanned<String>>,
    /// The agents' units, with {name} for an agent's name; absent,
    /// `mosaic-agent@{name}.service`.
    #[serde(alias = "agentUnit")]
    #[schemars(with = "Option<String>", regex(pattern = r"^[^{}]*\{name\}[^{}]*\.service$"))]
    pub(super) agent_unit: Option<Spanned<String>>,
}

/// What holds for every agent that does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    /// Where agents start; absent, `~/src`. A relative path starts at the fleet's home.
    #[serde(alias = "workingDirectory")]
    pub(super) working_directory: Option<String>,
}

/// What holds for every agent of one runtime.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    /// The command line of its agents. {name}, {runtime}, {working_directory} and {home} are
    /// filled in.
    #[schemars(with = "Option<Argv>")]
    pub(super) command: Option<Spanned<Argv>>,
    /// What to send an agent to have it forget its last task; read, and kept.
    #[serde(default, rename = "reset_command", alias = "resetCommand")]
    _reset_command: Option<String>,
}

/// One agent as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentEntry {
    /// Unique in the roster: it names files, a session and a unit.
    #[schemars(
        with = "String",
        length(max = super::NAME_LIMIT),
        regex(pattern = r"^[A-Za-z0-9_.-]+$"),
        extend("not" = { "enum": [".", ".."] })
    )]
    pub(super) name: Spanned<String>,
    /// The program family, as `claude` or `codex`.
    pub(super) runtime: String,
    /// What it is for; absent, `worker`.
    pub(super) class: Option<String>,
    /// Its command line; absent, its runtime's.
    #[schemars(with = "Option<Argv>")]
    pub(super) command: Option<Spanned<Argv>>,
    /// Where it starts; absent, where all start.
    #[serde(alias = "workingDirectory")]
    pub(super) working_directory: Option<String>,
    /// Its variables, over those of its env file.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties" = { "type": ["string", "number", "boolean"] }
    ))]
    pub(super) env: BTreeMap<String, String>,
    /// The host that it is meant for; read, and kept.
    pub(super) host: Option<String>,
    /// How to reach that host; read, and kept.
    pub(super) ssh: Option<String>,
    /// A tmux socket of its own; read, and kept.
    pub(super) socket: Option<String>,
    /// Which model it should use.
    #[serde(alias = "modelHint")]
    pub(super) model_hint: Option<String>,
    /// Whether it forgets between tasks; read, and kept.
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
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, extend("minItems" = 1, "items" = { "type": ["string", "number", "boolean"] }))]
pub(super) struct Argv(pub(super) Vec<String>);

/// Reads the roster's text.
///
/// # Errors
///
/// Names the line and column; an unknown key comes with the known one that it may stand for.
pub(super) fn parse(path: &Utf8Path, text: &str) -> Result<RosterFile, RosterError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| match error {
        _ if is_empty(text) => RosterError::Empty { path: path.to_owned() },
        error => explain(path, &error),
    })
}

/// Whether a text has nothing in it but comments.
fn is_empty(text: &str) -> bool {
    let is_nothing = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
    text.lines().map(str::trim).all(is_nothing)
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

/// The known word that `word` can be, mistyped or cut short: no more than a third of it is
/// wrong, or it is a beginning.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let length = word.chars().count();
    let far = |known: &&str| strsim::damerau_levenshtein(word, known);
    let begins = |known: &str| length >= 3 && plain(known).starts_with(&plain(word));
    let near = |known: &&str| far(known) <= length / 3 || begins(known);
    known.iter().copied().filter(near).min_by_key(far)
}

/// A word without what its spelling may differ in.
fn plain(word: &str) -> String {
    word.replace('_', "").to_lowercase()
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
        Error::InvalidScalar { ty: "u64", .. } => "expected a whole number".to_owned(),
        Error::InvalidScalar { ty: "boolean", .. } => "expected true or false".to_owned(),
        Error::InvalidScalar { ty, .. } => format!("expected a value of type {ty}"),
        Error::MultipleDocuments { .. } => {
            "a second document begins here, and a roster is one; remove the `---`".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "this alias stands inside of what it stands for; write out what is meant".to_owned()
        }
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
