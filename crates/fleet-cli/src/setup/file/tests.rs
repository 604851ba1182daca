//! Changes that succeed, and changes that fail in the middle.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in files {
            fs::write(place.at(name), text).expect("written");
        }
        place
    }

    fn at(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.0.path()).expect("UTF-8").join(name)
    }

    fn change(&self, name: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Change { path: self.at(name), before: text(before), after: text(after), secret: false }
    }

    /// Everything that is there, by name.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("readable").map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            format!("{name}: {}", fs::read_to_string(&path).unwrap_or_default())
        });
        let mut files: Vec<_> = entries.collect();
        files.sort();
        files
    }
}

#[test]
fn files_come_change_and_go() {
    let place = Place::new(&[("b", "old"), ("c", "old"), ("d", "same")]);
    let changes = [
        place.change("a", None, Some("new")),
        place.change("b", Some("old"), Some("new")),
        place.change("c", Some("old"), None),
        place.change("d", Some("same"), Some("same")),
    ];
    apply(&changes).expect("all can be made");
    assert_eq!(place.files(), ["a: new", "b: new", "d: same"]);
}

#[test]
fn a_change_that_fails_takes_the_others_back() {
    let place = Place::new(&[("b", "old"), ("c", "old"), ("d", "edited")]);
    let changes = [
        place.change("new/a", None, Some("new")),
        place.change("b", Some("old"), Some("new")),
        place.change("c", Some("old"), None),
        place.change("d", Some("old"), Some("new")),
    ];
    let error = apply(&changes).expect_err("somebody edited d");
    assert!(
        matches!(&error, SetupError::Changed { path, left } if *path == place.at("d") && left.is_empty())
    );
    assert_eq!(place.files(), ["b: old", "c: old", "d: edited"]);
}

#[test]
fn a_file_that_came_or_went_meanwhile_is_left_alone() {
    let place = Place::new(&[("a", "theirs")]);
    let change = place.change("a", None, Some("ours"));
    assert!(matches!(apply(&[change]), Err(SetupError::Changed { .. })));
    for after in [Some("new"), None] {
        let change = place.change("gone", Some("old"), after);
        apply(&[change]).expect_err("there is nothing to change");
    }
    assert_eq!(place.files(), ["a: theirs"]);
}

#[test]
fn mode_and_owner_stay() {
    let place = Place::new(&[("a", "old")]);
    let path = place.at("a");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4242), Some(4243)).expect("root may");
    }
    let before = fs::metadata(&path).expect("it is there");
    apply(&[place.change("a", Some("old"), Some("new"))]).expect("it can be made");
    let after = fs::metadata(&path).expect("it is there");
    let facts = |file: &fs::Metadata| (file.mode(), file.uid(), file.gid());
    assert_eq!(facts(&after), facts(&before));
    assert_ne!(after.ino(), before.ino(), "it was replaced, not written over");
}

#[test]
fn a_new_file_belongs_to_whom_the_directory_belongs() {
    let place = Place::new(&[]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.0.path(), Some(4242), Some(4243)).expect("root may");
    }
    let change = place.change("x/y/a", None, Some("new"));
    apply(&[Change { secret: true, ..change }]).expect("it can be made");
    let owner = fs::metadata(place.0.path()).expect("it is there").uid();
    for made in ["x", "x/y", "x/y/a"] {
        assert_eq!(fs::metadata(place.at(made)).expect("made").uid(), owner, "{made}");
    }
    let mode = fs::metadata(place.at("x/y/a")).expect("made").mode();
    assert_eq!(mode & 0o7777, 0o600, "nobody else reads it");
}

#[test]
fn a_symlink_stays_one() {
    let place = Place::new(&[("real", "old")]);
    symlink("real", place.at("link")).expect("made");
    let change = Change::to(place.at("link"), Some("new".to_owned())).expect("readable");
    apply(&[change]).expect("it can be made");
    assert_eq!(fs::read_link(place.at("link")).expect("still a link"), Utf8Path::new("real"));
    assert_eq!(fs::read_to_string(place.at("real")).expect("there"), "new");
    symlink("nowhere", place.at("lost")).expect("made");
    let error = Change::to(place.at("lost"), None).expect_err("it leads nowhere");
    assert!(matches!(error, SetupError::Read { .. }));
}
