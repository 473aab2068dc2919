//! What a file may not say, where, and why. An exception is a line with a reason, not a comment in the code.

use super::code::{Token, words_and_marks};

pub struct Rule {
    pub name: &'static str,
    pub reason: &'static str,
    /// Directories, which end in `/`, and files.
    within: &'static [&'static str],
    /// Directories and files that own the thing, each with what they own it for.
    except: &'static [(&'static str, &'static str)],
    /// Whether tests are bound by it too.
    tests_too: bool,
    forbids: Forbids,
}

enum Forbids {
    /// These tokens in this order, whatever the spaces between them.
    Code(&'static [&'static str]),
    /// Identifiers with one of these anywhere in them, in any case.
    Words(&'static [&'static str]),
}

use Forbids::{Code, Words};

/// More is a sign that a file should be two.
pub const MOST_LINES: usize = 500;

const SHOP: &[&str] = &["domain/src/", "persistence/src/", "integrations/src/", "api/src/"];
const EVERYWHERE: &[&str] = &["domain/", "persistence/", "integrations/", "api/", "faultkit/", "xtask/"];

pub const RULES: &[Rule] = &[
    Rule {
        name: "composition",
        reason: "adapters are named in one place, so that everything else can be read without them",
        within: &["api/src/"],
        except: &[
            ("api/src/app.rs", "the composition root"),
            ("api/src/app/settings.rs", "what it tells the adapters, in their words"),
        ],
        tests_too: true,
        forbids: Code(&[
            "persistence::",
            "use persistence;",
            "use persistence as",
            "integrations::",
            "use integrations;",
            "use integrations as",
        ]),
    },
    Rule {
        name: "plain words",
        reason: "the domain speaks of commerce, not of the technology around it",
        within: &["domain/src/"],
        except: &[],
        tests_too: false,
        forbids: Words(&["ucp", "http", "sql", "json"]),
    },
    Rule {
        name: "choke point",
        reason: "connections, transactions and blocking threads are bounded, timed and logged by Database::run",
        within: SHOP,
        except: &[("persistence/src/database/", "Database::run, with the one spawn_blocking of the process")],
        tests_too: false,
        forbids: Code(&["establish(", ".transaction(", "begin_transaction", "Pool::", "spawn_blocking"]),
    },
    Rule {
        name: "owned tasks",
        reason: "a task or a thread without an owner is neither drained nor named: use Commands::run or the Supervisor",
        within: SHOP,
        except: &[
            ("api/src/runtime/commands.rs", "owns the commands of callers"),
            ("api/src/runtime/supervisor.rs", "owns the periodic tasks"),
            ("api/src/runtime/shutdown.rs", "owns the answers to latecomers"),
            ("api/src/log.rs", "waits for the last lines to be written, on a thread that it leaves when time is up"),
        ],
        tests_too: false,
        forbids: Code(&["spawn", "spawn_on", "spawn_local", "thread::Builder"]),
    },
    Rule {
        name: "environment",
        reason: "the environment is read once, by the configuration, and everything else is told",
        within: SHOP,
        except: &[("api/src/config/", "the configuration"), ("api/src/main.rs", "reads it once and hands it on")],
        tests_too: false,
        forbids: Code(&["env::var", "env::vars", "env::args", "env::var_os", "env::vars_os", "env::args_os", "envy::"]),
    },
    Rule {
        name: "wall clock",
        reason: "business time comes from the Clock, so that a test can set it",
        within: SHOP,
        except: &[
            ("api/src/clock.rs", "the Clock of production"),
            ("api/src/log.rs", "stamps its lines with the time they are written at, which is no business time"),
        ],
        tests_too: false,
        forbids: Code(&["SystemTime::now", "OffsetDateTime::now_utc", "Utc::now"]),
    },
    Rule {
        name: "monotonic clock",
        reason: "deadlines and durations are measured by the context",
        within: SHOP,
        except: &[("domain/src/context.rs", "the context")],
        tests_too: false,
        forbids: Code(&["Instant::now"]),
    },
    Rule {
        name: "unfinished",
        reason: "what is not done is not merged, and what is not run is not a test",
        within: EVERYWHERE,
        except: &[],
        tests_too: true,
        forbids: Code(&["todo!", "unimplemented!", "#[ignore"]),
    },
];

impl Rule {
    pub fn speaks_of(&self, path: &str) -> bool {
        let covers = |place: &str| path == place || place.ends_with('/') && path.starts_with(place);
        self.within.iter().any(|place| covers(place)) && !self.except.iter().any(|(place, _)| covers(place))
    }

    /// The lines on which it is broken, and by what.
    pub fn found_in(&self, tokens: &[Token], is_test_file: bool) -> Vec<(usize, String)> {
        let is_bound = |token: &Token| self.tests_too || !(is_test_file || token.is_test);
        match self.forbids {
            Code(patterns) => {
                let patterns: Vec<_> = patterns.iter().map(|text| (text, words_and_marks(text))).collect();
                let at = |position: usize, pattern: &[String]| {
                    let candidates = tokens[position..].iter().take(pattern.len());
                    candidates.map(|token| &token.text).eq(pattern)
                };
                let bound = tokens.iter().enumerate().filter(|(_, token)| is_bound(token));
                let hits = bound.flat_map(|(position, token)| {
                    let broken = patterns.iter().filter(move |(_, pattern)| at(position, pattern));
                    broken.map(|(text, _)| (token.line, (**text).to_owned()))
                });
                hits.collect()
            }
            Words(words) => {
                let has_one = |text: &str| words.iter().any(|word| text.to_lowercase().contains(word));
                let hits = tokens.iter().filter(|token| token.is_word && is_bound(token) && has_one(&token.text));
                hits.map(|token| (token.line, token.text.clone())).collect()
            }
        }
    }
}
