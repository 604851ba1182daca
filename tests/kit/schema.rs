//! Whether what a command wrote is what its shipped schema says, no more and no less.

use std::fs;

use serde_json::Value;

/// Compares what `fleet ARGS` wrote with the schema of that command.
pub(super) fn check(args: &[String], written: &Value) -> Result<(), String> {
    let name = match args {
        [group, command, ..] if group == "lock" => format!("{group}-{command}"),
        [command, ..] => command.clone(),
        [] => return Err("nothing was called".to_owned()),
    };
    let path = format!("{}/../../schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let schema = closed(serde_json::from_str(&text).expect("a schema is JSON"));
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    let mistakes = validator.iter_errors(written);
    let mistakes: Vec<_> =
        mistakes.map(|error| format!("{name}: {}: {error}", error.instance_path())).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes.join("\n")) }
}

/// The schema for those who wrote it: readers ignore keys that they do not know, but here
/// each key has to be in the schema.
fn closed(mut schema: Value) -> Value {
    close(&mut schema);
    if let Some(Value::Object(shared)) = schema.get_mut("$defs") {
        shared.values_mut().for_each(close);
    }
    schema
}

fn close(schema: &mut Value) {
    if schema.get("properties").is_some() {
        schema["unevaluatedProperties"] = Value::Bool(false);
    }
}

#[test]
fn a_schema_refuses_what_is_missing_unknown_or_of_another_kind() {
    let status = ["lock".to_owned(), "status".to_owned()];
    let check = |text: &str| check(&status, &serde_json::from_str(text).expect("JSON"));
    assert_eq!(check(r#"{"path": "/l", "state": "free"}"#), Ok(()));
    for wrong in [
        r#"{"path": "/l"}"#,
        r#"{"path": "/l", "state": "free", "more": 1}"#,
        r#"{"path": "/l", "state": "odd"}"#,
        r#"{"path": "/l", "state": "held", "owner": {"pid": "4", "token": "t", "stamp_ms": 0}}"#,
        r#"{"path": "/l", "state": "held", "owner": {"pid": 4, "token": "t", "stamp_ms": 0, "a": 0}}"#,
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
