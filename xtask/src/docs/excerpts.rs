//! Checks that the code in the documents is a copy of the code in the workspace.
//!
//! `<!-- excerpt: path/to/file.rs -->` directly before a code block says which file the block is copied from. Each line
//! of the block must occur in the file, in the same order and without gaps. White space around a line and blank lines
//! are ignored. A line `// ...` (`-- ...` in SQL, `# ...` in TOML, `<!-- ... -->` in HTML) says that lines are left out.

use std::collections::VecDeque;

use crate::sources::Source;

const BEGIN: &str = "<!-- excerpt:";
const END: &str = "-->";
const GAPS: [&str; 4] = ["// ...", "-- ...", "# ...", "<!-- ... -->"];

type Line<'t> = (usize, &'t str);

/// The excerpts of a document that differ from their file. `read` returns the text of a file of the workspace, or
/// `None` if there is no such file.
pub fn differences(document: &Source, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut lines: VecDeque<Line<'_>> =
        document.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())).collect();
    let mut mistakes = Vec::new();
    while let Some((line, text)) = lines.pop_front() {
        let Some(path) = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)) else { continue };
        let path = path.trim();
        let mistake = match (block(&mut lines), read(path)) {
            (None, _) => {
                Some((line, format!("no code follows the excerpt of {path}: add a block that begins with ```")))
            }
            (_, None) => Some((line, format!("no file {path}"))),
            (Some(block), Some(file)) => difference(&block, &file).map(|(line, text)| {
                (line, format!("`{text}` is not what {path} has here: copy the code again from the file"))
            }),
        };
        mistakes.extend(mistake.map(|(line, mistake)| format!("{}:{line}: {mistake}", document.path)));
    }
    mistakes
}

/// Takes the lines of the code block that begins with the next line. `None` if no code block begins there, or if it has
/// no lines.
fn block<'t>(lines: &mut VecDeque<Line<'t>>) -> Option<Vec<Line<'t>>> {
    lines.pop_front_if(|(_, line)| line.starts_with("```"))?;
    let mut block = Vec::new();
    while let Some(line) = lines.pop_front().filter(|(_, line)| !line.starts_with("```")) {
        block.push(line);
    }
    block.retain(|(_, line)| !line.is_empty());
    (!block.is_empty()).then_some(block)
}

/// The first line of a block that differs from the file.
fn difference<'t>(block: &[Line<'t>], file: &str) -> Option<Line<'t>> {
    let file: Vec<&str> = file.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut rest = &file[..];
    for part in block.split(|(_, line)| GAPS.contains(line)) {
        let equal =
            |begin: usize| part.iter().zip(&rest[begin..]).take_while(|((_, line), found)| line == *found).count();
        match (0..=rest.len()).find(|begin| equal(*begin) == part.len()) {
            Some(begin) => rest = &rest[begin + part.len()..],
            None => return part.get((0..=rest.len()).map(equal).max().unwrap_or(0)).copied(),
        }
    }
    None
}

#[cfg(test)]
#[path = "excerpts_tests.rs"]
mod tests;
