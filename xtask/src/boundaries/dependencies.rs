//! What a crate may depend on, directly or by way of others, and why. Tests are free to depend on what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use super::Violation;

struct Rule {
    name: &'static str,
    reason: &'static str,
    of: Of,
    allows: Allows,
}

enum Of {
    Every,
    Crate(&'static str),
    AllBut(&'static str),
}

enum Allows {
    /// A `?` at the end: only as an optional dependency.
    Only(&'static [&'static str]),
    /// A `*` at the end stands for anything.
    AllBut(&'static [&'static str]),
}

const RULES: &[Rule] = &[
    Rule {
        name: "pure domain",
        reason: "the domain decides; it does no input or output and starts no runtime",
        of: Of::Crate("domain"),
        allows: Allows::Only(&[
            "celes",
            "email_address",
            "idna",
            "iso_currency",
            "serde",
            "slog",
            "strum",
            "thiserror",
            "time",
            "tokio-util",
            "tokio?",
            "uuid",
            "validator",
        ]),
    },
    Rule {
        name: "persistence only persists",
        reason: "storage knows neither who calls it nor the network beyond the database",
        of: Of::Crate("persistence"),
        allows: Allows::AllBut(&["api", "actix*", "reqwest"]),
    },
    Rule {
        name: "integrations only integrate",
        reason: "outbound calls know neither who makes them nor what is stored",
        of: Of::Crate("integrations"),
        allows: Allows::AllBut(&["api", "actix*", "diesel*", "r2d2"]),
    },
    Rule {
        name: "one composition root",
        reason: "adapters are put together by the api alone, and do not know each other",
        of: Of::AllBut("api"),
        allows: Allows::AllBut(&["persistence", "integrations"]),
    },
    Rule {
        name: "tools of the tests",
        reason: "the gateway simulator and the fault kit are for tests, and are never linked into the shop",
        of: Of::Every,
        allows: Allows::AllBut(&["paysim", "faultkit"]),
    },
];

/// Checked in the whole closure of the domain: a helper could bring them in by the back door.
const FAR_FROM_DOMAIN: &[&str] = &["actix*", "diesel*", "r2d2", "reqwest", "hyper"];

/// Every rule about dependencies, applied to the workspace that `metadata` describes. Its manifests are below `root`.
pub fn check(root: &Path, metadata: &Metadata) -> Result<BTreeSet<Violation>> {
    let mut violations = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let rules = RULES.iter().filter(|rule| rule.is_about(package));
        for (rule, dependency) in rules.flat_map(|rule| broken(rule, package).map(move |found| (rule, found))) {
            violations.insert(violation(root, package, &dependency, &dependency, rule)?);
        }
    }
    let domain = metadata.workspace_packages().into_iter().find(|package| package.name == "domain");
    let domain = domain.context("the workspace has no crate `domain`")?;
    for (first, far) in brought_in_by_dependencies(metadata, domain)? {
        violations.insert(violation(root, domain, &first, &format!("{first} -> {far}"), &RULES[0])?);
    }
    Ok(violations)
}

pub fn metadata(root: &Path) -> Result<Metadata> {
    // Only this platform's part of the graph: it is the part that has been downloaded to build anything at all.
    let options = ["--filter-platform", "host-tuple"].map(str::to_owned);
    let mut command = MetadataCommand::new();
    command.current_dir(root).other_options(options);
    command.exec().context("cargo does not describe the workspace")
}

impl Rule {
    fn is_about(&self, package: &Package) -> bool {
        match self.of {
            Of::Every => true,
            Of::Crate(name) => package.name == name,
            Of::AllBut(name) => package.name != name,
        }
    }
}

fn broken<'a>(rule: &'a Rule, package: &'a Package) -> impl Iterator<Item = String> + 'a {
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    let forbidden = shipped.filter(|dependency| match rule.allows {
        Allows::Only(names) => !names.iter().any(|name| match name.strip_suffix('?') {
            Some(name) => dependency.name == name && dependency.optional,
            None => dependency.name == *name,
        }),
        Allows::AllBut(names) => names.iter().any(|name| is_one_of(&dependency.name, name)),
    });
    forbidden.map(|dependency| dependency.name.clone())
}

fn is_one_of(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Pairs of a direct dependency and what it brings in, however far away.
fn brought_in_by_dependencies(metadata: &Metadata, domain: &Package) -> Result<BTreeSet<(String, String)>> {
    let resolved = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let nodes: BTreeMap<&PackageId, _> = resolved.nodes.iter().map(|node| (&node.id, node)).collect();
    let shipped = |id: &PackageId| -> Vec<&PackageId> {
        let dependencies = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default().iter();
        let normal = dependencies.filter(|to| to.dep_kinds.iter().any(|how| how.kind == DependencyKind::Normal));
        normal.map(|dependency| &dependency.pkg).collect()
    };
    let mut brought_in = BTreeSet::new();
    for first in shipped(&domain.id) {
        let mut reached = BTreeSet::from([first]);
        let mut ahead = shipped(first);
        while let Some(id) = ahead.pop() {
            if reached.insert(id) {
                ahead.extend(shipped(id));
                if FAR_FROM_DOMAIN.iter().any(|pattern| is_one_of(&metadata[id].name, pattern)) {
                    brought_in.insert((metadata[first].name.to_string(), metadata[id].name.to_string()));
                }
            }
        }
    }
    Ok(brought_in)
}

fn violation(root: &Path, package: &Package, dependency: &str, found: &str, rule: &Rule) -> Result<Violation> {
    let manifest = package.manifest_path.as_std_path();
    let text = std::fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    Ok(Violation {
        file: manifest.strip_prefix(root.canonicalize()?).unwrap_or(manifest).display().to_string(),
        line: line_of(dependency, &text),
        rule: rule.name,
        found: found.to_owned(),
        reason: rule.reason,
    })
}

/// The line of a manifest that begins with this dependency; 1 if none does.
pub(super) fn line_of(dependency: &str, manifest: &str) -> usize {
    let names = |line: &str| line.split(['.', ' ', '=']).next() == Some(dependency);
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
