//! The JSON schema of a roster, made from the types that read it.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, schema_for};
use serde_json::{Value, json};

use super::file::RosterFile;

/// What a roster may look like.
pub(crate) fn schema() -> Schema {
    let mut schema = schema_for!(RosterFile);
    BothSpellings.transform(&mut schema);
    schema
}

/// Lets every key be written in camelCase as well, which serde calls an alias and schemars
/// does not know, but in one of the two spellings only.
struct BothSpellings;

impl Transform for BothSpellings {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let properties = schema.get("properties").and_then(Value::as_object);
        let names: Vec<String> =
            properties.into_iter().flat_map(|all| all.keys().cloned()).collect();
        for name in names.iter().filter(|name| name.contains('_')) {
            let other = camel_case(name);
            let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut)
            else {
                continue;
            };
            if let Some(property) = properties.get(name).cloned() {
                properties.insert(other.clone(), property);
            }
            let both = json!({"not": {"required": [name, other]}});
            match schema.get_mut("allOf").and_then(Value::as_array_mut) {
                Some(all) => all.push(both),
                None => {
                    schema.insert("allOf".to_owned(), json!([both]));
                }
            }
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;

    use super::*;
    use crate::roster::tests::{mistakes, roster};

    fn validator() -> Validator {
        jsonschema::validator_for(&schema().to_value()).expect("a schema")
    }

    /// What a check with the schema says about a text.
    fn complaints(text: &str) -> Vec<String> {
        let value: Value = serde_saphyr::from_str(text).expect("well-formed");
        validator().iter_errors(&value).map(|error| error.to_string()).collect()
    }

    /// Every key there is, in both spellings.
    #[test]
    fn what_loads_is_accepted() {
        let snake = "\
            version: 1\ntransport: tmux\nsupervisor: tmux\n\
            tmux: {socket_name: s, holder_session: h}\n\
            systemd: {holder_unit: h.service, agent_unit: 'x@{name}.service'}\n\
            defaults: {working_directory: d}\n\
            runtimes: {r: {command: [x], reset_command: /clear}, bare: {}}\n\
            agents:\n- {name: a.b-c_1, runtime: r, class: c, command: [x, 1], working_directory: d,\n  \
            env: {A_1: 80}, host: h, ssh: s, socket: s, model_hint: m, reset_between_tasks: true}\n\
            - {name: b, runtime: r, host: null}\n";
        let camel = [
            "socket_name",
            "holder_unit",
            "agent_unit",
            "holder_session",
            "working_directory",
            "reset_command",
            "model_hint",
            "reset_between_tasks",
        ];
        let camel =
            camel.iter().fold(snake.to_owned(), |text, key| text.replace(key, &camel_case(key)));
        for text in [snake, &camel] {
            roster(text).expect("it loads");
            assert_eq!(complaints(text), [""; 0], "{text}");
        }
        assert!(!camel.contains("_name:"), "{camel}");
    }

    #[test]
    fn the_examples_are_accepted() {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        let examples = std::fs::read_dir(examples).expect("they are shipped");
        let rosters = examples.map(|home| home.expect("a home").path().join("fleet/roster.yaml"));
        let rosters: Vec<_> = rosters.collect();
        assert_eq!(rosters.len(), 3, "one for each supervisor");
        for path in rosters {
            let text = std::fs::read_to_string(path).expect("it is there");
            assert_eq!(complaints(&text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_does_not_load_is_refused() {
        let inexpressible = ["same name", "same session", "the holder's session", "no command"];
        let no_yaml = [
            "no YAML at all",
            "a tab",
            "duplicate key",
            "empty file",
            "only comments",
            "two documents",
            "a list in itself",
            "a value in itself",
        ];
        for (what, text) in mistakes() {
            if no_yaml.contains(&what) {
                continue;
            }
            let accepted = complaints(&text).is_empty();
            assert_eq!(accepted, inexpressible.contains(&what), "{what}:\n{text}");
        }
    }
}
