//! The files of the workspace.

use std::path::Path;

use anyhow::{Context, Result};

pub struct Source {
    /// From the root of the workspace, with `/` between its parts: what the rules and the reports speak of.
    pub path: String,
    pub text: String,
}

/// Every file below `root` with this extension, in the order of their paths; hidden and built things left out.
pub fn with_extension(root: &Path, extension: &str) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    walk(root, "", extension, &mut found)?;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn walk(directory: &Path, prefix: &str, extension: &str, found: &mut Vec<Source>) -> Result<()> {
    let unreadable = || format!("cannot read {}", directory.display());
    for entry in std::fs::read_dir(directory).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.starts_with('.') && name != "target" {
            walk(&entry.path(), &format!("{path}/"), extension, found)?;
        } else if kind.is_file() && Path::new(&name).extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("cannot read {path}"))?;
            found.push(Source { path, text });
        }
    }
    Ok(())
}
