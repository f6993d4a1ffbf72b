//! A certificate scope: which testcases its versions demand, and which scripts judge them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

pub use super::file::Testcase;
use super::file::{GroupsFile, ModulesFile, ScriptEntry, TimelineEntry, Variable};
use crate::stack::{Problem, Problems, Source};

/// How many steps it may take to find what a version demands; more is a circle, or as bad as one.
const STEPS: usize = 100_000;

/// Which of the two forms a file has; report and exit code follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Modules with targets.
    Modules,
    /// Groups.
    Groups,
}

/// A scope whose references within the file are resolved.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its form.
    pub form: Form,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Option<String>,
    /// Where it is published.
    pub url: Option<String>,
    /// It has a prerequisite, which is not looked at.
    pub has_prerequisite: bool,
    /// Every variable, with its default where it has one.
    pub variables: Vec<(String, Option<String>)>,
    /// The scripts, in the order in which they are run.
    pub scripts: Vec<Script>,
    /// The versions, in the file's order.
    pub versions: Vec<Version>,
    /// The versions that are listed as valid from a date on.
    timeline: Vec<(Date, Vec<String>)>,
    /// The folder to which paths are relative.
    pub folder: PathBuf,
}

/// A script and the testcases that it judges.
#[derive(Clone, Debug)]
pub struct Script {
    /// The program; without one, the testcases are judged by hand.
    pub executable: Option<String>,
    /// Its environment beyond ours, with names in braces.
    pub env: Vec<(String, String)>,
    /// Its arguments, with names in braces.
    pub args: String,
    /// What it judges.
    pub testcases: Vec<Testcase>,
}

/// A version of the scope.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub version: String,
    /// The testcases by target. In the form with groups there is one target without a name.
    pub targets: Vec<(String, Vec<String>)>,
}

impl Version {
    /// Every testcase of every target.
    #[must_use]
    pub fn testcases(&self) -> BTreeSet<&str> {
        let ids = self.targets.iter().flat_map(|(_, ids)| ids);
        ids.map(String::as_str).collect()
    }
}

impl Scope {
    /// Reads a scope file.
    ///
    /// # Errors
    /// When it cannot be read, has unknown keys, an id twice, or a reference that leads nowhere.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self::from_source(&Source::read(path)?, folder)
    }

    pub(super) fn from_source(source: &Source, folder: PathBuf) -> Result<Self, Problems> {
        let keys: BTreeMap<String, serde::de::IgnoredAny> = source.parse()?;
        if keys.contains_key("groups") {
            let file: GroupsFile = source.parse()?;
            let (scripts, testcases) = scripts(source, file.scripts)?;
            let versions =
                Groups::new(source, &file.groups, &testcases)?.versions(&file.versions)?;
            return Ok(Self {
                form: Form::Groups,
                name: file.name,
                uuid: file.uuid,
                url: file.url,
                has_prerequisite: file.prerequisite.is_some(),
                variables: variables(file.variables),
                timeline: timeline(source, &file.timeline, &versions)?,
                scripts,
                versions,
                folder,
            });
        }
        let file: ModulesFile = source.parse()?;
        let (scripts, testcases) = scripts(source, file.scripts)?;
        let versions = modules(source, &file.modules, &file.versions, &testcases)?;
        Ok(Self {
            form: Form::Modules,
            name: file.name,
            uuid: file.uuid,
            url: file.url,
            has_prerequisite: file.prerequisite.is_some(),
            variables: variables(file.variables),
            timeline: timeline(source, &file.timeline, &versions)?,
            scripts,
            versions,
            folder,
        })
    }

    /// The versions that the newest entry of the timeline not after `date` lists.
    #[must_use]
    pub fn valid(&self, date: Date) -> Vec<&Version> {
        // Of entries with the same date the first counts.
        let newest = self
            .timeline
            .iter()
            .rev()
            .filter(|(from, _)| *from <= date)
            .max_by_key(|(from, _)| *from);
        let listed = newest.map_or(&[][..], |(_, listed)| listed);
        self.versions
            .iter()
            .filter(|version| listed.contains(&version.version))
            .collect()
    }

    /// The script that judges a testcase, and the testcase.
    #[must_use]
    pub fn testcase(&self, id: &str) -> Option<(&Script, &Testcase)> {
        self.scripts.iter().find_map(|script| {
            let testcase = script.testcases.iter().find(|testcase| testcase.id == id)?;
            Some((script, testcase))
        })
    }
}

/// A problem at a place given by keys and indices.
fn at(source: &Source, path: &[&dyn ToString], message: String) -> Problem {
    let path: Vec<String> = path.iter().map(|part| part.to_string()).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    source.problem(&path, message)
}

fn variables(declared: Vec<Variable>) -> Vec<(String, Option<String>)> {
    let mut variables: Vec<(String, Option<String>)> = Vec::new();
    let mut defaults = Vec::new();
    for variable in declared {
        match variable {
            Variable::Required(name) => variables.push((name, None)),
            Variable::Defaults(pairs) => {
                defaults.extend(
                    pairs
                        .0
                        .into_iter()
                        .map(|(name, value)| (name, Some(value.0))),
                );
            }
        }
    }
    // A name may be declared both ways; its default counts.
    variables.retain(|(name, _)| defaults.iter().all(|(known, _)| known != name));
    variables.extend(defaults);
    variables
}

fn scripts(
    source: &Source,
    entries: Vec<ScriptEntry>,
) -> Result<(Vec<Script>, BTreeSet<String>), Problems> {
    let mut ids = BTreeSet::new();
    let mut problems = Problems::default();
    let mut scripts = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        for (place, testcase) in entry.testcases.iter().enumerate() {
            if !ids.insert(testcase.id.clone()) {
                let path: [&dyn ToString; 5] = [&"scripts", &index, &"testcases", &place, &"id"];
                let message = format!("duplicate testcase `{}`", testcase.id);
                problems.push(at(source, &path, message).expected("an id of its own"));
            }
        }
        scripts.push(Script {
            executable: entry.executable,
            env: entry.env.0,
            args: entry.args,
            testcases: entry.testcases,
        });
    }
    problems.into_result()?;
    Ok((scripts, ids))
}

/// Refuses a name that is there twice.
fn unique<'a>(
    source: &Source,
    list: &str,
    key: &str,
    names: impl Iterator<Item = &'a str>,
    problems: &mut Problems,
) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let path: [&dyn ToString; 3] = [&list, &index, &key];
            let message = format!("`{name}` is there twice");
            problems.push(at(source, &path, message).expected("a name of its own"));
        }
    }
}

fn modules(
    source: &Source,
    modules: &[super::file::Module],
    versions: &[super::file::ModulesVersion],
    testcases: &BTreeSet<String>,
) -> Result<Vec<Version>, Problems> {
    let mut problems = Problems::default();
    unique(
        source,
        "modules",
        "id",
        modules.iter().map(|m| m.id.as_str()),
        &mut problems,
    );
    let names = versions.iter().map(|v| v.version.as_str());
    unique(source, "versions", "version", names, &mut problems);
    let mut resolved = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let mut targets: Vec<(String, BTreeSet<String>)> = Vec::new();
        for (place, include) in version.include.iter().enumerate() {
            let Some(module) = modules.iter().find(|module| module.id == include.0) else {
                let path: [&dyn ToString; 4] = [&"versions", &index, &"include", &place];
                let message = format!("there is no module `{}`", include.0);
                problems.push(at(source, &path, message).expected("the id of a module"));
                continue;
            };
            for (target, ids) in &module.targets.0 {
                let known = targets.iter().position(|(known, _)| known == target);
                let place = known.unwrap_or_else(|| {
                    targets.push((target.clone(), BTreeSet::new()));
                    targets.len() - 1
                });
                targets[place].1.extend(ids.iter().cloned());
            }
        }
        if version.stabilized_at.is_some() {
            let main = targets.iter().filter(|(target, _)| target == "main");
            for id in main
                .flat_map(|(_, ids)| ids)
                .filter(|id| !testcases.contains(*id))
            {
                let path: [&dyn ToString; 3] = [&"versions", &index, &"include"];
                let message = format!("target `main` demands `{id}`, which no script judges");
                problems.push(at(source, &path, message).expected("the id of a testcase"));
            }
        }
        resolved.push(Version {
            version: version.version.clone(),
            targets: targets
                .into_iter()
                .map(|(target, ids)| (target, ids.into_iter().collect()))
                .collect(),
        });
    }
    problems.into_result()?;
    Ok(resolved)
}

/// Groups by id, each known to lead somewhere.
struct Groups<'a> {
    source: &'a Source,
    groups: BTreeMap<&'a str, &'a [String]>,
    testcases: &'a BTreeSet<String>,
}

impl<'a> Groups<'a> {
    fn new(
        source: &'a Source,
        groups: &'a [super::file::Group],
        testcases: &'a BTreeSet<String>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let ids = testcases.iter().map(String::as_str);
        let names = groups.iter().map(|group| group.id.as_str());
        unique(source, "groups", "id", names.clone(), &mut problems);
        for (index, name) in names.enumerate() {
            if ids.clone().any(|id| id == name) {
                let path: [&dyn ToString; 3] = [&"groups", &index, &"id"];
                let message = format!("`{name}` is a testcase already");
                problems.push(at(source, &path, message).expected("an id of its own"));
            }
        }
        let found = Self {
            source,
            groups: groups
                .iter()
                .map(|g| (g.id.as_str(), &*g.include))
                .collect(),
            testcases,
        };
        for (index, group) in groups.iter().enumerate() {
            for (place, id) in group.include.iter().enumerate() {
                if !found.knows(id) {
                    let path: [&dyn ToString; 4] = [&"groups", &index, &"include", &place];
                    let message = format!("there is no group or testcase `{id}`");
                    problems.push(at(source, &path, message).expected("an id of this file"));
                }
            }
        }
        problems.into_result()?;
        Ok(found)
    }

    fn knows(&self, id: &str) -> bool {
        self.testcases.contains(id) || self.groups.contains_key(id)
    }

    fn versions(&self, versions: &[super::file::GroupsVersion]) -> Result<Vec<Version>, Problems> {
        let mut problems = Problems::default();
        let names = versions.iter().map(|v| v.version.as_str());
        unique(self.source, "versions", "version", names, &mut problems);
        let mut resolved = Vec::new();
        for (index, version) in versions.iter().enumerate() {
            let path: [&dyn ToString; 3] = [&"versions", &index, &"test"];
            let mut ids = Vec::new();
            if !self.knows(&version.test) {
                let message = format!("there is no group or testcase `{}`", version.test);
                problems.push(at(self.source, &path, message).expected("an id of this file"));
            } else if !self.collect(&version.test, &mut ids) {
                let message = format!("`{}` includes itself", version.test);
                problems.push(at(self.source, &path, message).expected("groups without a circle"));
            }
            resolved.push(Version {
                version: version.version.clone(),
                targets: vec![(String::new(), ids)],
            });
        }
        problems.into_result()?;
        Ok(resolved)
    }

    /// What a group includes in the end, in order; false when there is no end.
    fn collect(&self, id: &str, into: &mut Vec<String>) -> bool {
        // By hand instead of by recursion: a deep nest must not exhaust the stack.
        let mut open = vec![id];
        for _ in 0..STEPS {
            let Some(id) = open.pop() else {
                return true;
            };
            match self.groups.get(id) {
                None => into.push(id.to_owned()),
                Some(include) => open.extend(include.iter().rev().map(String::as_str)),
            }
            if open.len() > STEPS {
                break;
            }
        }
        false
    }
}

fn timeline(
    source: &Source,
    entries: &[TimelineEntry],
    versions: &[Version],
) -> Result<Vec<(Date, Vec<String>)>, Problems> {
    let mut problems = Problems::default();
    let mut timeline = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        for (name, _) in &entry.versions.0 {
            if !versions.iter().any(|version| version.version == *name) {
                let path: [&dyn ToString; 4] = [&"timeline", &index, &"versions", name];
                let message = format!("there is no version `{name}`");
                problems.push(at(source, &path, message).expected("a version of this file"));
            }
        }
        let Ok(date) = entry.date.parse::<Date>() else {
            let path: [&dyn ToString; 3] = [&"timeline", &index, &"date"];
            let message = format!("`{}` is no date", entry.date);
            problems.push(at(source, &path, message).expected("YYYY-MM-DD"));
            continue;
        };
        let explicit = entry.versions.0.iter().filter(|(_, validity)| {
            validity
                .as_ref()
                .is_some_and(|validity| !validity.is_empty())
        });
        timeline.push((date, explicit.map(|(name, _)| name.clone()).collect()));
    }
    problems.into_result()?;
    Ok(timeline)
}

#[cfg(test)]
mod tests;
