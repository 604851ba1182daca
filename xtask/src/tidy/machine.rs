//! Nothing in the workspace depends on the machine it was written on.
//!
//! The banned strings are split, so that they do not occur here.

use super::file::{File, Violation};

const RULE: &str = "machine";

const PATHS: &[&str] = &[concat!("/", "work/"), concat!("/", "root/")];

const HOSTS: &[&str] = &[
    concat!("index", ".crates.io"),
    concat!("static", ".crates.io"),
    concat!("deb", ".debian.org"),
];

/// How a lock file or a configuration names a package source.
const SOURCES: &[&str] = &[concat!("registry", "+"), concat!("sparse", "+")];

/// The one source that works everywhere.
const PUBLIC_SOURCE: &str = concat!("registry", "+https://github.com/rust-lang/crates.io-index");

/// Checks a text file.
pub(super) fn check(file: &File) -> Vec<Violation> {
    file.lines()
        .filter_map(|(number, line)| Some(file.violation(number, RULE, remedy(line)?)))
        .collect()
}

fn remedy(line: &str) -> Option<&'static str> {
    if PATHS.iter().any(|path| has_absolute(line, path)) {
        return Some("replace the path of one machine");
    }
    let names_host = HOSTS.iter().any(|host| line.contains(host));
    let line = line.replace(PUBLIC_SOURCE, "");
    let names_source = SOURCES.iter().any(|source| line.contains(source));
    (names_host || names_source)
        .then_some("remove the package registry; it belongs to a machine's configuration")
}

/// Whether `path` occurs as the beginning of an absolute path, not in the middle of a longer one.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let before = line.get(..start).and_then(|head| head.chars().next_back());
        !before.is_some_and(|before| before.is_alphanumeric() || "_-.~}".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tidy::file::lines;

    #[rstest]
    #[case::first("{}main")]
    #[case::quoted("let home = \"{}main\";")]
    #[case::address("file://{}main")]
    fn machine_paths_are_found(#[case] line: &str) {
        for path in PATHS {
            let file = File::new("docs/a.md", &format!("fine\n{}\n", line.replace("{}", path)));
            assert_eq!(lines(&check(&file)), [2]);
        }
    }

    #[rstest]
    #[case::below_home("~{}main")]
    #[case::below_a_variable("${HOME}{}main")]
    #[case::relative("docs{}main")]
    fn other_paths_are_fine(#[case] line: &str) {
        for path in PATHS {
            assert_eq!(check(&File::new("docs/a.md", &line.replace("{}", path))), []);
        }
    }

    #[test]
    fn registry_hosts_are_found() {
        for host in HOSTS {
            let file = File::new(".cargo/config.toml", &format!("url = \"https://{host}/\"\n"));
            assert_eq!(lines(&check(&file)), [1]);
        }
    }

    #[test]
    fn only_the_public_source_may_be_locked() {
        let public = format!("source = \"{PUBLIC_SOURCE}\"\n");
        assert_eq!(check(&File::new("Cargo.lock", &public)), []);
        for source in SOURCES {
            let mirror = format!("source = \"{source}http://mirror.example/\"\n");
            assert_eq!(lines(&check(&File::new("Cargo.lock", &mirror))), [1]);
        }
    }
}
