//! The permitted dependencies of each crate, direct and transitive, with the reasons. Tests may depend on anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use super::violation::Violation;

pub struct Rule {
    pub name: &'static str,
    reason: &'static str,
    applies_to: fn(package: &str) -> bool,
    forbids: fn(&Dependency<'_>) -> bool,
}

#[derive(Clone, Copy)]
pub struct Dependency<'a> {
    pub name: &'a str,
    pub is_optional: bool,
}

/// The only direct dependencies of the domain. `tokio` is one too if it is optional.
const DOMAIN: &[&str] = &[
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
    "uuid",
    "validator",
];

pub const RULES: &[Rule] = &[
    Rule {
        name: "pure domain",
        reason: "the domain decides; it does no input or output and starts no runtime",
        applies_to: |package| package == "domain",
        forbids: |to| !(DOMAIN.contains(&to.name) || to.name == "tokio" && to.is_optional),
    },
    Rule {
        name: "persistence only persists",
        reason: "storage does not know its callers, and uses no network but the connection to the database",
        applies_to: |package| package == "persistence",
        forbids: |to| to.is_any_of(&["api", "actix*", "reqwest"]),
    },
    Rule {
        name: "integrations only integrate",
        reason: "outbound calls do not know their callers, and use no storage",
        applies_to: |package| package == "integrations",
        forbids: |to| to.is_any_of(&["api", "actix*", "diesel*", "r2d2"]),
    },
    Rule {
        name: "one composition root",
        reason: "only the api combines adapters; adapters do not know each other",
        applies_to: |package| package != "api",
        forbids: |to| to.is_any_of(&["persistence", "integrations"]),
    },
    Rule {
        name: "tools of the tests",
        reason: "the gateway simulator and the fault kit are for tests; the shop never links them",
        applies_to: |_| true,
        forbids: |to| to.is_any_of(&["paysim", "faultkit"]),
    },
];

const FAR_FROM_DOMAIN: Rule = Rule {
    name: "pure domain",
    reason: "the domain does no input or output, not even indirectly; `cargo tree -p domain -i CRATE` shows the path",
    applies_to: |package| package == "domain",
    forbids: |to| to.is_any_of(&["actix*", "diesel*", "r2d2", "reqwest", "hyper"]),
};

impl Dependency<'_> {
    /// A `*` at the end of a pattern stands for anything.
    fn is_any_of(&self, patterns: &[&str]) -> bool {
        let fits = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(start) => self.name.starts_with(start),
            None => self.name == *pattern,
        };
        patterns.iter().any(fits)
    }
}

/// Applies every rule about dependencies to the workspace that `metadata` describes.
pub fn check(metadata: &Metadata) -> Result<BTreeSet<Violation>> {
    let mut violations = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root)?;
        for (rule, name) in broken(&package.name, &direct(package), &linked(metadata, package)?) {
            violations.insert(Violation {
                file: path.to_string(),
                line: line_of(name, &manifest),
                rule: rule.name,
                found: name.to_owned(),
                reason: rule.reason,
            });
        }
    }
    Ok(violations)
}

/// The rules that a package breaks, each with the name of the dependency.
pub fn broken<'a>(
    package: &str,
    direct: &[Dependency<'a>],
    linked: &[Dependency<'a>],
) -> Vec<(&'static Rule, &'a str)> {
    let near = RULES.iter().map(|rule| (rule, direct));
    let rules = near.chain([(&FAR_FROM_DOMAIN, linked)]).filter(|(rule, _)| (rule.applies_to)(package));
    let broken = |(rule, all): (&'static Rule, &[Dependency<'a>])| {
        let forbidden = all.iter().filter(|to| (rule.forbids)(to));
        forbidden.map(|to| (rule, to.name)).collect::<Vec<_>>()
    };
    rules.flat_map(broken).collect()
}

/// The dependencies in the manifest of a package, without those of its tests.
pub fn direct(package: &Package) -> Vec<Dependency<'_>> {
    let shipped = package.dependencies.iter().filter(|to| to.kind != DependencyKind::Development);
    shipped.map(|to| Dependency { name: &to.name, is_optional: to.optional }).collect()
}

/// Every package that ends up in the binary with this one.
pub fn linked<'a>(metadata: &'a Metadata, package: &'a Package) -> Result<Vec<Dependency<'a>>> {
    let resolved = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let nodes: BTreeMap<&PackageId, _> = resolved.nodes.iter().map(|node| (&node.id, node)).collect();
    let (mut linked, mut ahead) = (BTreeSet::new(), vec![&package.id]);
    while let Some(node) = ahead.pop().and_then(|id| nodes.get(id)) {
        let normal = node.deps.iter().filter(|to| to.dep_kinds.iter().any(|how| how.kind == DependencyKind::Normal));
        ahead.extend(normal.map(|to| &to.pkg).filter(|id| linked.insert(*id)));
    }
    Ok(linked.into_iter().map(|id| Dependency { name: &metadata[id].name, is_optional: false }).collect())
}

/// The line of a manifest that begins with this dependency; 1 if none does.
pub fn line_of(dependency: &str, manifest: &str) -> usize {
    let names = |line: &str| line.split(['.', ' ', '=']).next() == Some(dependency);
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
