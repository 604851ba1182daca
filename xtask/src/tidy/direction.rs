//! Dependencies point one way: `fleet-cli → lock-fs → lock-core ← lock-sim`.
//!
//! Dev-dependencies are free: they do not reach whoever uses the package.

use toml::{Table, Value};

use super::file::{File, Violation};

const RULE: &str = "direction";

/// Each package with the packages of the workspace that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fleet-cli", &["lock-fs"]),
    ("fleet-tour", &[]),
    ("lock-bench", &["lock-bench-peer", "lock-fs", "lock-tests"]),
    ("lock-bench-peer", &[]),
    ("lock-bench-rust-peers", &["lock-bench-peer"]),
    ("lock-core", &[]),
    ("lock-fs", &["lock-core"]),
    ("lock-sim", &["lock-core"]),
    ("lock-tests", &["lock-core", "lock-fs"]),
    ("xtask", &[]),
];

/// Checks a package's manifest.
pub(super) fn check(file: &File) -> Vec<Violation> {
    let homes = ["crates/", "tests/", "xtask/"];
    let is_member = homes.iter().any(|home| file.path.starts_with(home));
    if !is_member || !file.path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    match file.text.parse::<Table>() {
        Ok(manifest) => check_manifest(file, &manifest),
        Err(error) => vec![file.violation(1, RULE, error.message())],
    }
}

fn check_manifest(file: &File, manifest: &Table) -> Vec<Violation> {
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(package, _)| *package == name) else {
        let remedy = format!("give `{name}` a row in xtask/src/tidy/direction.rs");
        return vec![file.violation(1, RULE, remedy)];
    };
    dependencies(manifest)
        .filter(|(_, package)| is_member(package) && !allowed.contains(package))
        .map(|(key, package)| {
            let remedy = format!("`{name}` may not depend on `{package}`: turn it round");
            file.violation(line_of(file, key), RULE, remedy)
        })
        .collect()
}

/// Keys and package names of what is linked into the package or into its build script.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &str)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values);
    std::iter::once(manifest)
        .chain(platforms.filter_map(Value::as_table))
        .flat_map(|table| [table.get("dependencies"), table.get("build-dependencies")])
        .flatten()
        .filter_map(Value::as_table)
        .flat_map(|dependencies| dependencies.iter())
        .map(|(key, value)| {
            let renamed = value.get("package").and_then(Value::as_str);
            (key.as_str(), renamed.unwrap_or(key))
        })
}

fn is_member(package: &str) -> bool {
    ALLOWED.iter().any(|(member, _)| *member == package)
}

fn line_of(file: &File, key: &str) -> usize {
    let mut lines = file.lines();
    lines
        .find(|(_, line)| line.starts_with(key) || line.ends_with(&format!(".{key}]")))
        .map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tidy::file::lines;

    fn manifest(package: &str, rest: &str) -> File {
        let text = format!("[package]\nname = \"{package}\"\n{rest}");
        File::new(&format!("crates/{package}/Cargo.toml"), &text)
    }

    #[rstest]
    #[case::cli("fleet-cli", "lock-fs")]
    #[case::adapter("lock-fs", "lock-core")]
    #[case::simulator("lock-sim", "lock-core")]
    #[case::others("lock-core", "thiserror")]
    fn downwards_is_fine(#[case] package: &str, #[case] dependency: &str) {
        let file = manifest(package, &format!("[dependencies]\n{dependency} = \"1\"\n"));
        assert_eq!(check(&file), []);
    }

    #[rstest]
    #[case::upwards("lock-core", "lock-fs")]
    #[case::sideways("lock-sim", "lock-fs")]
    #[case::past_the_adapter("fleet-cli", "lock-core")]
    #[case::task("xtask", "lock-core")]
    fn any_other_way_is_not(#[case] package: &str, #[case] dependency: &str) {
        let file = manifest(package, &format!("[dependencies]\n{dependency} = \"1\"\n"));
        assert_eq!(lines(&check(&file)), [4]);
    }

    #[rstest]
    #[case::inherited("[dependencies]\nlock-fs.workspace = true\n", 4)]
    #[case::table("[dependencies.lock-fs]\nworkspace = true\n", 3)]
    #[case::renamed("[dependencies]\nfs = { package = \"lock-fs\", path = \"..\" }\n", 4)]
    #[case::build("[build-dependencies]\nlock-fs = \"1\"\n", 4)]
    #[case::platform("[target.'cfg(unix)'.dependencies]\nlock-fs = \"1\"\n", 4)]
    fn every_spelling_is_seen(#[case] rest: &str, #[case] line: usize) {
        assert_eq!(lines(&check(&manifest("lock-core", rest))), [line]);
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let file = manifest("lock-core", "[dev-dependencies]\nlock-fs = \"1\"\n");
        assert_eq!(check(&file), []);
    }

    #[test]
    fn an_unknown_package_needs_a_row() {
        assert_eq!(lines(&check(&manifest("lock-new", ""))), [1]);
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_reported() {
        assert_eq!(lines(&check(&File::new("xtask/Cargo.toml", "[package"))), [1]);
    }
}
