//! What is shipped beside the program; the program itself says most of it.

use std::path::Path;
use std::process::Command;

use super::outfit::{self, File};
use crate::error::Error;
use crate::workspace::{Workspace, output};

/// Where a shell looks for completions, below a prefix such as `usr`.
pub(super) struct Places {
    /// zsh's differs between Debian's packages and what a user installs.
    pub(super) zsh: &'static str,
}

/// The files that go below a prefix, wherever that is.
pub(super) fn common(
    workspace: &Workspace,
    program: &Path,
    places: &Places,
    scratch: &Path,
) -> Result<Vec<File>, Error> {
    let mut files = vec![File::program("bin/fleet", outfit::read(program)?)];
    files.extend(man_pages(program, scratch)?);
    let script = |shell| output(Command::new(program).args(["completions", shell]));
    let completions = [
        ("bash", "share/bash-completion/completions/fleet".to_owned()),
        ("zsh", format!("{}/_fleet", places.zsh)),
        ("fish", "share/fish/vendor_completions.d/fleet.fish".to_owned()),
    ];
    for (shell, path) in completions {
        files.push(File::new(path, script(shell)?.into_bytes()));
    }
    for path in documents(workspace)? {
        let text = outfit::read(&workspace.root().join(&path))?;
        files.push(File::new(format!("share/doc/fleet/{path}"), text));
    }
    Ok(files)
}

/// What people read, and the schemas; relative to the root of the checkout.
fn documents(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut files = workspace.files()?;
    let is_for_readers = |path: &str| {
        path == "README.md" || path.starts_with("schemas/") || path.starts_with("examples/")
    };
    files.retain(|path| is_for_readers(path) && !path.ends_with("/.gitignore"));
    Ok(files)
}

fn man_pages(program: &Path, scratch: &Path) -> Result<Vec<File>, Error> {
    let dir = scratch.join("man");
    outfit::empty(&dir)?;
    output(Command::new(program).arg("man").arg("--dir").arg(&dir))?;
    let mut pages = Vec::new();
    for path in outfit::list(&dir)? {
        let text = outfit::gzip(&dir.join(&path))?;
        pages.push(File::new(format!("share/man/man1/{path}.gz"), text));
    }
    Ok(pages)
}
