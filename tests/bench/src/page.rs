//! The page: figures as Markdown, the plots beside it.

use std::fs;
use std::io::{self, Write};

use camino::Utf8Path;

use crate::error::Error;
use crate::figures::{Section, Table};
use crate::plot;
use crate::stats::digits;

/// All that is written down.
pub(crate) struct Page {
    pub(crate) sections: Vec<Section>,
    pub(crate) missing: Vec<(String, String)>,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) minutes: f64,
}

const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench --write`, which builds the peers, measures all of them and this
lock side by side in one run, and writes this page. `cargo xtask bench --section hand-off` measures one part,
`--quick` shows within minutes that it works. Absolute figures move from machine to machine and from hour to
hour: goals are ratios within one run, or bounds with room.
";

const SUBJECTS: &str = "\
| subject | what it is |
|---|---|
| **ours** | `lock-fs` in a Rust program; **fleet lock run** is the command, one process for each turn |
| *same calls* | one cycle of ours as strace saw it, called again without the lock around it |
| kept-flock, open-flock-close, checked-flock | bare loops on `flock`: a kept descriptor; opened each time; removed on release, with the check that needs |
| exclusive | a bare loop of create-exclusive and unlink, looking each millisecond |
| robust | a robust futex in shared memory, which is no file |
| std, fd-lock, fs4, fslock, named-lock | Rust packages on `flock`; fslock-pid also writes its pid, durably |
| gix-lock | create-exclusive with growing back-off; no takeover |
| pidlock | a file with the owner's pid, which cannot wait: asked each millisecond |
| portalocker, filelock, soft-filelock | Python: `flock` with polling (250 ms, 50 ms), and a file with pid; portalocker-blocking waits in the kernel, portalocker-pid writes its pid |
| proper-lockfile, npm-lockfile | Node: a directory whose age is renewed (stale after 10 s, retries each second; `-5ms` each 5 ms and stale after 2 s; `-fork` is `@alcalzone/proper-lockfile`), a file (retries each 100 ms; `-5ms` each 5 ms) |
| original | the rules that this lock began with, in Node: stale after 120 s, looks each 250 ms; `-5ms` each 5 ms and stale after 1 s |
| flock, lockfile, dotlockfile, etcdctl | programs: util-linux, procmail (looks each second), liblockfile (with pid, each second), etcd with a server on the loopback |
";

/// Prints.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{text}").map_err(Error::system("write", "standard output"))
}

/// Writes the page and its plots.
pub(crate) fn write(path: &Utf8Path, page: &Page) -> Result<(), Error> {
    let plots = path.with_extension("");
    draw(&plots, &page.sections)?;
    fs::write(path, text(page, plots.file_name().unwrap_or_default()))
        .map_err(Error::system("write", path))
}

/// Draws the plots of all sections.
pub(crate) fn draw(directory: &Utf8Path, sections: &[Section]) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::system("create", directory))?;
    let mut plots = sections.iter().flat_map(|section| &section.plots);
    plots.try_for_each(|plot| plot::draw(directory, plot))
}

fn text(page: &Page, plots: &str) -> String {
    let mut text = format!("{HEAD}\nThis run took {} minutes.\n", digits(page.minutes));
    text += &format!("\n## Goals\n\n{}", goals(&page.sections));
    text += &format!("\n## Subjects\n\n{SUBJECTS}");
    for (name, reason) in &page.missing {
        text += &format!("\n{name} is missing here: {reason}\n");
    }
    let mut versions = Table::new("", &["", ""]);
    for (name, version) in &page.versions {
        versions.row([name, version]);
    }
    text += &format!("\n{}", table(&versions));
    for part in &page.sections {
        text += &section(part);
        for plot in &part.plots {
            text += &format!("\n![{}]({plots}/{}.svg)\n", plot.title, plot.file);
        }
    }
    text
}

/// A section without its plots.
pub(crate) fn section(section: &Section) -> String {
    let mut text = format!("\n## {}\n\n{}\n", section.title, section.text);
    for one in &section.tables {
        text += &format!("\n{}", table(one));
    }
    text
}

/// Every goal, and whether it holds.
pub(crate) fn goals(sections: &[Section]) -> String {
    let mut rows = Table::new("", &["goal", "reach", "found", "holds"]);
    for goal in sections.iter().flat_map(|section| &section.goals) {
        let holds = match goal.holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        rows.row([goal.name.as_str(), &goal.reach, &goal.found, holds]);
    }
    table(&rows)
}

fn table(table: &Table) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let line = format!("|{}\n", "---|".repeat(table.head.len()));
    let caption = match table.caption.as_str() {
        "" => String::new(),
        caption => format!("{caption}:\n\n"),
    };
    let rows: String = table.rows.iter().map(|cells| row(cells)).collect();
    caption + &row(&table.head) + &line + &rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Goal;

    #[test]
    fn a_table_is_markdown() {
        let mut one = Table::new("Costs", &["who", "µs"]);
        one.row(["a|b", "5"]);
        assert_eq!(table(&one), "Costs:\n\n| who | µs |\n|---|---|\n| a\\|b | 5 |\n");
    }

    #[test]
    fn the_page_says_what_fails_and_what_is_missing() {
        let goal = Goal::at_most("command", 1.7, 1.3, " ×");
        let part = Section { title: "Command".to_owned(), goals: vec![goal], ..Section::default() };
        let missing = vec![("etcdctl".to_owned(), "cannot start it".to_owned())];
        let page = Page { sections: vec![part], missing, versions: Vec::new(), minutes: 1.0 };
        let text = text(&page, "benchmarks");
        assert!(text.contains("| command | ≤ 1.3 × | 1.70 × | **no** |"), "{text}");
        assert!(text.contains("etcdctl is missing here: cannot start it"), "{text}");
    }
}
