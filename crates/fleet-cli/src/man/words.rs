//! What only people know of a command: where it looks, what it keeps, how it is used.

use super::section::{Block, Section};

/// The pages of commands that need no fleet.
const HOMELESS: &[&str] = &["fleet-completions", "fleet-man", "fleet-schema"];

/// What they can end with.
const HOMELESS_CODES: &[&str] = &["0", "64", "73", "74", "77"];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("FLEET_HOME", "The fleet's home, where --home names none."),
    ("MOSAIC_HOME", "The same, where FLEET_HOME is not set either."),
    ("HOME", "The home is $HOME/.config/mosaic where nothing names another."),
    ("XDG_CONFIG_HOME", "Where `fleet install` writes the units: below it, in systemd/user."),
    ("NO_COLOR", "Nothing is coloured, not even on a terminal."),
    ("CLICOLOR_FORCE", "Other than 0: colours even where stdout or stderr is no terminal."),
];

/// Below the home.
const FILES: &[(&str, &str)] = &[
    ("fleet/roster.yaml", "The roster: the agents, and how they are supervised."),
    ("fleet/agents/NAME.env", "Variables for one agent, one NAME=VALUE a line."),
    ("fleet/run/restart.lock", "The lock of every command that changes the fleet."),
    (
        "fleet/run/restart.lock.generation",
        "The last generation. It stays when the lock is free, so that generations only grow.",
    ),
    (
        "fleet/run/restart.lock.journal",
        "What became of the lock; `fleet lock history` shows it. It is bounded.",
    ),
    ("fleet/run/plan.json", "How far the last restart, start or stop has come."),
    ("fleet/run/setup.lock", "The lock of every command that writes roster, env files or units."),
    (
        "fleet/run/NAME.hb",
        "Where one agent says that it is alive, if it does; `fleet ps` reads it.",
    ),
    ("fleet/run/agents/NAME.json", "The process of one agent, unless systemd runs it."),
    ("fleet/run/logs/NAME.log", "What one agent has written, if it is a plain process."),
];

/// How commands are used; each line is one that works.
pub(super) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "fleet",
        &[
            ("fleet restart", "The whole fleet, holder first."),
            ("fleet status", "The agents, and who restarts them now."),
            ("fleet lock run -- ./deploy.sh", "Any command under the same lock."),
            ("fleet lock explain", "Why it has to be waited for, and what to type next."),
        ],
    ),
    (
        "fleet-restart",
        &[
            ("fleet restart", "The whole fleet, holder first."),
            ("fleet restart coder-1 coder-2", "These two; the holder is left alone."),
            ("fleet restart --canary 2", "The others only if the first two come up."),
            ("fleet restart --join", "If one runs already, wait for it and exit with its code."),
            ("fleet restart --resume", "What the last restart has left undone."),
            ("fleet restart --no-wait", "Exit 75 at once if somebody else restarts the fleet."),
        ],
    ),
    (
        "fleet-ps",
        &[
            ("fleet ps", "Each agent, and what is odd about it."),
            ("fleet ps --watch --every 5s", "The same, kept up to date."),
        ],
    ),
    (
        "fleet-logs",
        &[("fleet logs coder-1 --follow", "What it wrote last, and what it writes from now on.")],
    ),
    (
        "fleet-init",
        &[
            ("fleet init", "Show the files of a first fleet, under systemd."),
            ("fleet init --supervisor process --write", "Write those of one without it."),
        ],
    ),
    (
        "fleet-add",
        &[
            ("fleet add coder-3 --runtime claude", "Show what would change."),
            ("fleet add coder-3 --runtime claude --write --start", "Change it, and start it."),
            (
                "fleet add logs --runtime sh --write -- tail -F /var/log/syslog",
                "With a command of its own.",
            ),
        ],
    ),
    (
        "fleet-install",
        &[
            ("fleet install", "Show the units that would be written and enabled."),
            ("fleet install --write", "Write and enable them."),
        ],
    ),
    (
        "fleet-lock-run",
        &[
            ("fleet lock run -- ./deploy.sh", "Under the lock of the fleet."),
            (
                "fleet lock run --lock /run/backup/backup.lock --no-wait -- ./backup.sh",
                "Under a lock of its own; exit 75 at once if a backup runs.",
            ),
            (
                "fleet lock run --kill-on-loss TERM -- ./migrate.sh",
                "End the command at once if the lock is taken away.",
            ),
        ],
    ),
    (
        "fleet-lock-history",
        &[
            ("fleet lock history --since 90m", "What became of the lock in that time."),
            ("fleet lock history --svg history.svg", "The same as a picture."),
            ("fleet lock history --lines 20 --json", "The latest transitions, for a program."),
        ],
    ),
    (
        "fleet-man",
        &[
            ("fleet man lock run | man -l -", "Read one page."),
            ("fleet man --dir ~/.local/share/man/man1", "Install all of them."),
        ],
    ),
    (
        "fleet-completions",
        &[
            ("fleet completions bash > ~/.local/share/bash-completion/completions/fleet", "bash"),
            ("fleet completions zsh > ~/.zfunc/_fleet", "zsh, with ~/.zfunc in $fpath"),
            ("fleet completions fish > ~/.config/fish/completions/fleet.fish", "fish"),
        ],
    ),
];

/// Whether a command has to do with a fleet.
pub(super) fn works_in_a_home(page: &str) -> bool {
    !HOMELESS.contains(&page)
}

/// The part of a general section that can be true of a command.
pub(super) fn about_this(page: &str, mut section: Section) -> Section {
    if !works_in_a_home(page) && section.title == "EXIT STATUS" {
        section.blocks.retain(|block| match block {
            Block::Item { term, .. } => HOMELESS_CODES.contains(&term.as_str()),
            Block::Text(_) => true,
        });
    }
    section
}

/// What is read from the environment.
pub(super) fn environment() -> Section {
    Section::of_items("ENVIRONMENT", ENVIRONMENT)
}

/// What is on disk.
pub(super) fn files() -> Section {
    let mut section = Section::of_items("FILES", FILES);
    section.blocks.insert(0, Block::Text("In the home, ~/.config/mosaic unless named:".to_owned()));
    section
}

/// How one command is used.
pub(super) fn examples(page: &str) -> Option<Section> {
    let (_, lines) = EXAMPLES.iter().find(|(name, _)| *name == page)?;
    Some(Section::of_items("EXAMPLES", lines))
}

/// The other pages: those above, and those right beside and below.
pub(super) fn see_also(page: &str, all: &[String]) -> Section {
    let parent = |page: &str| page.rsplit_once('-').map(|(parent, _)| parent.to_owned());
    let near = |other: &&String| {
        let above = page.starts_with(&format!("{other}-"));
        let beside = parent(other).is_some() && parent(other) == parent(page);
        let below = parent(other).as_deref() == Some(page);
        other.as_str() != page && (above || beside || below)
    };
    let mut pages: Vec<_> = all.iter().filter(near).map(|name| format!("{name}(1)")).collect();
    if page == "fleet-lock-run" {
        pages.push("flock(1)".to_owned());
    }
    Section { title: "SEE ALSO".to_owned(), blocks: vec![Block::Text(pages.join(", "))] }
}
