//! JSON schemas, made from the types: of what each `--json` writes, and of the roster.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

use crate::report::{data, doctor, history, lock, ps, setup};
use crate::roster;

/// A schema, and what it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// `roster`, or `lock-status` for `fleet lock status --json`.
    pub(crate) name: &'static str,
    make: fn() -> Schema,
}

/// Every schema there is, by name. A command with `--json` that is not here fails a test.
pub(crate) const ALL: &[Named] = &[
    Named { name: "add", make: written::<setup::Setup<'_>> },
    Named { name: "init", make: written::<setup::Setup<'_>> },
    Named { name: "install", make: written::<setup::Setup<'_>> },
    Named { name: "lock-break", make: written::<data::Broken<'_>> },
    Named { name: "lock-doctor", make: written::<doctor::Data<'_>> },
    Named { name: "lock-explain", make: written::<lock::data::ExplainData<'_>> },
    Named { name: "lock-history", make: written::<history::Data<'_>> },
    Named { name: "lock-status", make: written::<lock::data::StatusData<'_>> },
    Named { name: "ps", make: written::<ps::PsData<'_>> },
    Named { name: "remove", make: written::<setup::Setup<'_>> },
    Named { name: "restart", make: written::<Restart<'_>> },
    Named { name: ROSTER, make: roster::schema },
    Named { name: "start", make: written::<data::Change<'_>> },
    Named { name: "status", make: written::<data::Status<'_>> },
    Named { name: "stop", make: written::<data::Change<'_>> },
    Named { name: "verify", make: written::<ps::VerifyData<'_>> },
];

/// The one that is not of something we write.
const ROSTER: &str = "roster";

/// What became of the agents, or of the restart that did it instead.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape is of use")]
enum Restart<'a> {
    Done(data::Change<'a>),
    Joined(data::Joined<'a>),
}

impl Named {
    /// The schema as text.
    pub(crate) fn text(self) -> String {
        let mut schema = (self.make)();
        if self.name != ROSTER {
            let title = format!("fleet {} --json", self.name.replacen('-', " ", 1));
            schema.insert("title".to_owned(), Value::from(title));
        }
        // A schema is plain data, which always has a text.
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The name of its file.
    pub(crate) fn file(self) -> String {
        format!("{}.schema.json", self.name)
    }
}

/// The schema of what we write.
fn written<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with_transform(RecursiveTransform(absent_is_not_null));
    settings.into_generator().into_root_schema_for::<T>()
}

/// What may be absent is left out then; null is never written for it.
fn absent_is_not_null(schema: &mut Schema) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let optional = properties.iter_mut().filter(|(name, _)| !required.iter().any(|r| r == *name));
    for (_, property) in optional {
        forbid_null(property);
    }
}

fn forbid_null(property: &mut Value) {
    let Value::Object(property) = property else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            property.remove("anyOf");
            property.extend(only);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_command_with_json_has_a_schema() {
        let mut whole = Cli::command();
        whole.build();
        let mut wanted = BTreeSet::new();
        collect(&whole, "", &mut wanted);
        wanted.insert(ROSTER.to_owned());
        let have = ALL.iter().map(|schema| schema.name.to_owned()).collect();
        assert_eq!(wanted, have);
    }

    fn collect(command: &Command, name: &str, names: &mut BTreeSet<String>) {
        if command.get_arguments().any(|arg| arg.get_id() == "json") {
            names.insert(name.to_owned());
        }
        for sub in command.get_subcommands() {
            let name = format!("{name}-{}", sub.get_name());
            collect(sub, name.trim_start_matches('-'), names);
        }
    }

    /// The files in `schemas` are what the types say; `cargo xtask generate` writes them anew.
    #[test]
    fn the_shipped_schemas_are_current() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
        let mut shipped: Vec<_> = std::fs::read_dir(dir)
            .expect("the directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        shipped.sort();
        let files: Vec<_> = ALL.iter().map(|schema| schema.file()).collect();
        assert_eq!(shipped, files, "run `cargo xtask generate`");
        for schema in ALL {
            let path = format!("{dir}/{}", schema.file());
            let text = std::fs::read_to_string(path).expect("it was listed");
            assert!(text == schema.text(), "{} is old: run `cargo xtask generate`", schema.file());
        }
    }

    #[test]
    fn what_is_absent_is_never_null() {
        let restart = ALL.iter().find(|schema| schema.name == "start").expect("it is there");
        let schema: Value = serde_json::from_str(&restart.text()).expect("JSON");
        assert_eq!(schema["properties"]["signal"]["type"], "integer");
        assert!(!schema.to_string().contains("null"), "{schema:#}");
    }
}
