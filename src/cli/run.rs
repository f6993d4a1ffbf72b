//! `stackgate run STACK`: the gate on one stack.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use jiff::civil::Date;
use tempfile::TempDir;

use super::again::{refuse_what_is_gone, tell_differences};
use super::args::{EngineKind, RunArgs, SummaryFormat};
use super::conduct::{Conduct, free};
use super::engine::{Wanted, own_suites};
use super::exit::Failure;
use super::inputs::{self, Asked};
use super::management::{EXISTING, ExistingArgs, Management};
use super::operator::{NO_OPERATOR, refuse_what_cannot_be_delivered};
use super::pause::PauseArgs;
use super::rehearsal::{self, RehearsalArgs};
use super::{quoted, scenarios, stacks};
use crate::gate::{self, Keep, Plan, Resumption};
use crate::lint;
use crate::record::{Rehearsal, ReleaseRef, RunId, Verdict, random_seed};
use crate::report::words;
use crate::simulate::{self, Scenario};
use crate::source::Obtained;
use crate::stack::{Delivery, Pair, Release, STACK_FILE, Stack};
use crate::suite::Suite;

/// What is to be run, with nothing left to interpret.
#[derive(Debug)]
pub struct Run {
    /// The folder of the stack under test.
    pub stack: PathBuf,
    /// Where the stack's fellows are, beside which kind's configurations lie; when it was said.
    pub stacks: Option<PathBuf>,
    /// What was said of that.
    pub typed_stacks: Option<PathBuf>,
    /// The stack as it was typed.
    pub typed: String,
    /// Where clusters come from, when it was said.
    pub engine: Option<EngineKind>,
    /// How releases reach the clusters, when it was said.
    pub delivery: Option<Delivery>,
    /// What only simulated clusters can do.
    pub rehearsal: RehearsalArgs,
    /// The scenario, where one was named.
    pub scenario: Option<String>,
    /// Where the stack was written that was made from the seed or for the scenario; it goes with this.
    pub made: Option<TempDir>,
    /// Where the management cluster comes from, and whether it stays, where stack.yaml is not to say.
    pub management: Option<Management>,
    /// The management cluster that is there, where that is meant.
    pub existing: ExistingArgs,
    /// Whether clusters stay after the run.
    pub keep: Keep,
    /// Where it stands still.
    pub pause: PauseArgs,
    /// Multiplies every deadline.
    pub timeout_scale: f64,
    /// Where the run's folder goes.
    pub reports: PathBuf,
    /// Whether it goes on although lint finds a MUST broken.
    pub no_lint: bool,
    /// Whether the report is shown in a browser at the end.
    pub open: bool,
    /// The day that is judged by, where it is not the clock's own.
    pub now: Option<Date>,
}

/// Runs the gate.
///
/// # Errors
/// When the input is wrong (nothing was created then), or the run could not be carried out at all.
pub fn run(args: RunArgs, command: Vec<String>) -> Result<Verdict, Failure> {
    if args.scenario.as_deref() == Some(crate::scenario::ALL) {
        return scenarios::all(&args);
    }
    begin(args, command, Begins::New)
}

/// A run that is run again.
#[derive(Debug)]
pub struct Then {
    /// The facts about its environment.
    pub facts: Vec<(String, String)>,
    /// What is known to differ, a line each.
    pub differs: Vec<String>,
}

/// From where a run begins.
#[derive(Debug)]
pub enum Begins {
    /// It is a new one.
    New,
    /// It was run once; what differs is told first.
    Again(Then),
    /// The process of the run in this folder is gone; it goes on with it.
    Resumed(PathBuf, Box<Resumption>),
}

/// Runs the gate, from wherever it begins.
///
/// # Errors
/// When the input is wrong (nothing was created then), or the run could not be carried out at all.
pub fn begin(args: RunArgs, command: Vec<String>, begins: Begins) -> Result<Verdict, Failure> {
    let mut run = Run::resolve(args)?;
    let input = Input::read(&run)?;
    let Chosen { engine, missing } = choose(&run, &input.stack)?;
    let rehearses = engine == EngineKind::Embedded;
    if rehearses {
        rehearsal::use_small_pages();
    }
    let seed = run.rehearsal.seed.unwrap_or_else(random_seed);
    let id = match &begins {
        Begins::Resumed(_, resumption) => resumption.run.clone(),
        _ if rehearses => RunId::of_seed(seed),
        _ => RunId::random(),
    };
    refuse_what_cannot_be_delivered(engine, &input.stack.spec, &run.rehearsal.faults)?;
    let Input {
        stack,
        suites,
        pair,
        obtained,
    } = input;
    let known = if run.no_lint {
        Vec::new()
    } else {
        lint::pair(&stack, &pair).causes(stack.spec.delivery)
    };
    let mut plan = Plan::new(stack, pair, suites, run.keep, &id).map_err(Failure::input)?;
    plan.known = known;
    let virtual_time = rehearses && !run.rehearsal.real_time;
    plan.pauses = std::mem::take(&mut run.pause).resolve(virtual_time);
    let RehearsalArgs {
        faults,
        missing_images,
        ..
    } = &run.rehearsal;
    let management = run.management_of(&plan.stack);
    let wanted = Wanted {
        stack: &plan.stack,
        run: &id,
        cluster: &plan.cluster,
        management: &management,
        seed,
        faults,
        missing_images,
        releases: &plan.pair.releases().cloned().collect::<Vec<_>>(),
        existing: &run.existing,
    };
    // What a run's folder is made of is there for as long as the folder; where it was unpacked to is not.
    let again = match begins {
        Begins::Again(_) => words::reproduce(&command, id.as_str()),
        Begins::New | Begins::Resumed(..) => run.reproduce(seed),
    };
    let (folder, resumed) = match begins {
        Begins::New => (free(&run.reports, &plan.cluster), None),
        Begins::Again(then) => {
            tell_differences(engine, &wanted, then)?;
            (free(&run.reports, &plan.cluster), None)
        }
        Begins::Resumed(folder, resumption) => {
            refuse_what_is_gone(engine, &wanted, &folder)?;
            (folder, Some(*resumption))
        }
    };
    let engine = super::engine::make(engine, &wanted)?;
    let rehearsed = rehearses.then(|| Rehearsal {
        seed,
        missing,
        faults: faults.iter().map(ToString::to_string).collect(),
        missing_images: missing_images.clone(),
        reproduce: again,
    });
    let reference = |release: &Release| ReleaseRef {
        tag: release.tag.to_string(),
        kubernetes: release.kubernetes_version.to_string(),
    };
    let conduct = Conduct {
        folder,
        resumed: resumed.clone(),
        run: id,
        timeout_scale: run.timeout_scale,
        stack: plan.stack.name.to_string(),
        from: reference(&plan.pair.from),
        to: reference(&plan.pair.to),
        engine: engine.name().to_owned(),
        delivery: plan.stack.spec.delivery.name().to_owned(),
        command,
        // A recording asks the clusters, too: it would meet some of the accidents in the place of others, and
        // `simulate` makes none.
        recorded: !run.rehearsal.simulated,
        judged_on: run.now,
        virtual_time,
        rehearsal: rehearsed,
        open: run.open,
        format: SummaryFormat::Plain,
    };
    let mut facts = obtained.map(|one| one.facts.clone()).unwrap_or_default();
    let scenario = plan.stack.scenario.as_ref();
    facts.extend(scenario.map(|name| ("scenario".to_owned(), name.to_string())));
    conduct.run(async |context| {
        // What the releases' Secrets hold is known before anything of them is written down.
        let redactor = context.recorder.redactor();
        plan.secrets(&context.run)
            .for_each(|mut secret| redactor.object(&mut secret));
        if let Some(resumption) = &resumed {
            return gate::resume(&plan, &context, &*engine, resumption).await;
        }
        for (name, value) in facts {
            context.property(&name, value);
        }
        let asked = Asked {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Asked::here(),
            stack: plan.stack.name.to_string(),
            engine: engine.name().to_owned(),
            delivery: plan.stack.spec.delivery.name().to_owned(),
            seed: rehearses.then_some(seed),
            faults: faults.iter().map(ToString::to_string).collect(),
            missing_images: missing_images.clone(),
            no_lint: run.no_lint,
            timeout_scale: run.timeout_scale,
            today: context.today().to_string(),
            management: run
                .management
                .as_ref()
                .map(Management::words)
                .unwrap_or_default(),
            real_time: run.rehearsal.real_time,
            keep: keep_word(run.keep).to_owned(),
            files: std::collections::BTreeMap::new(),
            redacted: std::collections::BTreeSet::new(),
        };
        let folder = context.recorder.path().parent();
        let kept = inputs::keep(
            folder.unwrap_or(Path::new(".")),
            &plan.stack,
            asked,
            redactor,
        );
        if let Err(error) = kept {
            // A gate is worth more than its repetition.
            context.note(format!("the run cannot be reproduced: {error:#}"));
        }
        gate::run(&plan, &context, &*engine).await
    })
}

/// As it is typed.
const fn keep_word(keep: Keep) -> &'static str {
    match keep {
        Keep::Never => "never",
        Keep::OnFailure => "on-failure",
        Keep::Always => "always",
    }
}

/// What was given, read and judged.
struct Input {
    stack: Stack,
    suites: Vec<Suite>,
    pair: Pair,
    /// Releases that were fetched or built; they go with this.
    obtained: Option<Obtained>,
}

impl Input {
    fn read(run: &Run) -> Result<Self, Failure> {
        let mut stack = stacks::read(&run.stack, run.stacks.as_deref())?;
        stack.spec.delivery = run.delivery.unwrap_or(stack.spec.delivery);
        let suites =
            Suite::load_all(&stack.spec.suites, &own_suites(&stack)).map_err(Failure::input)?;
        let obtained = stacks::obtain(&mut stack)?;
        let pair = stack.open_releases().map_err(Failure::input)?;
        Ok(Self {
            stack,
            suites,
            pair,
            obtained,
        })
    }
}

/// Where clusters come from, and what keeps them from being real ones.
struct Chosen {
    engine: EngineKind,
    missing: Vec<String>,
}

/// Takes the engine that was asked for; without one real clusters where this machine is ready for
/// them, else simulated ones.
fn choose(run: &Run, stack: &Stack) -> Result<Chosen, Failure> {
    let chosen = |engine, missing| Ok(Chosen { engine, missing });
    if let Some(engine) = run.engine {
        return chosen(engine, Vec::new());
    }
    let id = RunId::random();
    let wanted = Wanted {
        stack,
        run: &id,
        cluster: &format!("{}-{id}", stack.name),
        management: &run.management_of(stack),
        seed: 0,
        faults: &[],
        missing_images: &[],
        releases: &[],
        existing: &run.existing,
    };
    // Another engine than that of the run: what is connected here belongs to a runtime that ends here.
    let spec = &stack.spec;
    let mut missing: Vec<String> = match super::engine::make(EngineKind::Kind, &wanted) {
        Ok(kind) => {
            let problems = super::runtime()?.block_on(kind.preflight());
            problems.into_iter().map(|problem| problem.what).collect()
        }
        Err(failure) => {
            let Err(problems) = stack.made_by_kind() else {
                return Err(failure);
            };
            let told = problems.0.into_iter();
            told.map(|one| format!("{STACK_FILE}: {}", one.message))
                .collect()
        }
    };
    if spec.delivery == Delivery::Operator && spec.operator.is_none() {
        missing.push(NO_OPERATOR.to_owned());
    }
    if missing.is_empty() {
        chosen(EngineKind::Kind, Vec::new())
    } else {
        chosen(EngineKind::Embedded, missing)
    }
}

impl Run {
    /// The command that rehearses the same again.
    fn reproduce(&self, seed: u64) -> String {
        if self.rehearsal.simulated {
            return simulate::reproduce(seed);
        }
        let mut words = vec![
            "stackgate run".to_owned(),
            quoted(&self.typed),
            format!("--engine embedded --seed {seed}"),
        ];
        words.extend(
            self.scenario
                .as_ref()
                .map(|name| format!("--scenario {name}")),
        );
        words.extend(self.rehearsal.words());
        if let Some(delivery) = self.delivery {
            words.push(format!("--delivery {}", delivery.name()));
        }
        if self.no_lint {
            words.push("--no-lint".to_owned());
        }
        words.extend(self.now.map(|day| format!("--now {day}")));
        if self.timeout_scale != 1.0 {
            words.push(format!("--timeout-scale {}", self.timeout_scale));
        }
        if let Some(stacks) = &self.typed_stacks {
            words.push(format!("--stacks {}", quoted(&stacks.to_string_lossy())));
        }
        words.join(" ")
    }

    /// Resolves what was typed.
    ///
    /// # Errors
    /// When it contradicts itself, or there is no such stack.
    pub fn resolve(args: RunArgs) -> Result<Self, Failure> {
        let mut args = args;
        let mut made = None;
        if let (true, Some(seed)) = (args.rehearsal.simulated, args.rehearsal.seed) {
            let folder = tempfile::tempdir().map_err(Failure::infrastructure)?;
            let scenario = Scenario::of_seed(seed);
            let stack = scenario
                .write(folder.path())
                .map_err(Failure::infrastructure)?;
            args.stacks.stacks = stack.parent().map(Path::to_owned);
            args.stack = Some(stack);
            args.rehearsal.faults = scenario.faults;
            made = Some(folder);
        }
        if args.management.first().is_some_and(|mode| mode == EXISTING) {
            let engine = args.engine.engine.get_or_insert(EngineKind::Existing);
            if *engine != EngineKind::Existing {
                let error =
                    anyhow!("failed to start: --management existing is an engine of its own");
                return Err(Failure::input(error).hint("leave out --engine"));
            }
        }
        let (management, surplus) = Management::resolve(&args.management)?;
        let stack = match (args.stack, surplus) {
            (Some(stack), None) => stack,
            (None, Some(stack)) => PathBuf::from(stack),
            (Some(_), Some(name)) => {
                let error = anyhow!(
                    "failed to understand --management {} {name}",
                    args.management[0]
                );
                return Err(Failure::input(error).hint("only keep and reuse take a name"));
            }
            (None, None) => {
                let error = anyhow!("failed to start: no STACK was given");
                return Err(Failure::input(error).hint("usage: stackgate run STACK [OPTIONS]"));
            }
        };
        let engine = match (args.engine.engine, &management) {
            (Some(EngineKind::Kind | EngineKind::Existing), _) if args.rehearsal.is_any() => {
                let error = anyhow!(
                    "failed to start: --seed, --real-time, --fault and --missing-image are for simulated clusters"
                );
                return Err(Failure::input(error).hint("leave out --engine, or these"));
            }
            (engine, _)
                if engine != Some(EngineKind::Existing) && args.existing.kubeconfig.is_some() =>
            {
                let error = anyhow!(
                    "failed to start: --kubeconfig names a management cluster that is there, which this run does not use"
                );
                return Err(
                    Failure::input(error).hint("add --engine existing, or leave out --kubeconfig")
                );
            }
            (Some(EngineKind::Existing), Some(_)) => {
                let error = anyhow!(
                    "failed to start: the management cluster of engine existing is there already"
                );
                return Err(Failure::input(error).hint("leave out --management"));
            }
            (Some(EngineKind::Embedded), Some(management)) if *management != Management::Fresh => {
                let error = anyhow!("failed to start: simulated clusters end with their run");
                return Err(Failure::input(error).hint("leave out --management"));
            }
            // One that stays, or that is made of containers, is a real one.
            (None, Some(management)) if *management != Management::Fresh => Some(EngineKind::Kind),
            (None, _) if args.rehearsal.is_any() => Some(EngineKind::Embedded),
            (engine, _) => engine,
        };
        let typed = stack.to_string_lossy().into_owned();
        let mut stack = stacks::find(&stack, args.stacks.stacks.as_deref())?;
        let typed_stacks = args.stacks.stacks.clone();
        if let Some(name) = &args.scenario {
            let delivery = args.delivery.map(Into::into);
            let its = scenarios::make(name, &stack, args.stacks.stacks.as_deref(), delivery)?;
            args.stacks.stacks = its.stack.parent().map(Path::to_owned);
            stack = its.stack;
            made = its.folder;
        }
        Ok(Self {
            made,
            scenario: args.scenario,
            typed,
            stack,
            typed_stacks,
            stacks: args.stacks.stacks,
            engine,
            delivery: args.delivery.map(Into::into),
            management,
            existing: args.existing,
            // What is made from a seed is there to go wrong.
            no_lint: args.no_lint || args.rehearsal.simulated,
            rehearsal: args.rehearsal,
            keep: args.keep.into(),
            pause: args.pause,
            timeout_scale: args.timeout_scale,
            reports: args.reports,
            open: args.open,
            now: args.now,
        })
    }
}

impl Run {
    /// Where the management cluster comes from: as the command line says, else as the stack does.
    fn management_of(&self, stack: &Stack) -> Management {
        let by_stack = stack.spec.management.mode;
        self.management.clone().unwrap_or_else(|| by_stack.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    fn resolve(line: &str) -> Result<Run, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let stack = folder.path().join("demo");
        std::fs::create_dir(&stack).unwrap();
        std::fs::write(stack.join("stack.yaml"), "").unwrap();
        let stacks = folder.path().to_str().unwrap();
        let words = ["stackgate", "run", "--stacks", stacks];
        let cli = Cli::try_parse_from(words.into_iter().chain(line.split(' '))).unwrap();
        match cli.command {
            Command::Run(args) => Run::resolve(args),
            other => panic!("{other:?} is not a run"),
        }
    }

    #[test]
    fn a_management_mode_is_resolved_wherever_the_stack_stands() {
        let name = || "warm-1".to_owned();
        for (line, expected) in [
            ("demo --management kind", Management::Fresh),
            ("demo --management fresh", Management::Fresh),
            ("--management fresh demo", Management::Fresh),
            ("--management light demo", Management::Light),
            ("demo --management light", Management::Light),
            ("--management keep warm-1 demo", Management::Keep(name())),
            ("demo --management reuse warm-1", Management::Reuse(name())),
        ] {
            let run = resolve(line).unwrap_or_else(|failure| panic!("{line}: {failure:?}"));
            assert_eq!(run.management, Some(expected), "{line}");
            assert!(run.stack.ends_with("demo"), "{line}");
        }
    }

    #[test]
    fn a_management_cluster_that_is_there_is_an_engine() {
        for line in [
            "demo --engine existing --kubeconfig k --context c",
            "demo --management existing --kubeconfig k --context c",
            "--management existing demo --kubeconfig k --context c",
        ] {
            let run = resolve(line).unwrap_or_else(|failure| panic!("{line}: {failure:?}"));
            assert_eq!(run.engine, Some(EngineKind::Existing), "{line}");
            assert_eq!(run.management, None, "{line}");
            assert_eq!(run.existing.context.as_deref(), Some("c"), "{line}");
        }
    }

    #[test]
    fn a_management_mode_that_makes_no_sense_is_refused_with_the_way_out() {
        for (line, hint) in [
            (
                "demo --management keep",
                "expected kind, light, existing, keep NAME or reuse NAME",
            ),
            (
                "demo --management warm x",
                "expected kind, light, existing, keep NAME or reuse NAME",
            ),
            (
                "demo --management fresh x",
                "only keep and reuse take a name",
            ),
            (
                "demo --management light x",
                "only keep and reuse take a name",
            ),
            (
                "demo --management light --engine embedded",
                "leave out --management",
            ),
            ("--management keep demo", "usage: stackgate run STACK"),
            ("--management fresh", "usage: stackgate run STACK"),
            (
                "demo --management existing --engine kind",
                "leave out --engine",
            ),
            (
                "demo --management existing x",
                "only keep and reuse take a name",
            ),
            (
                "demo --engine existing --management light",
                "leave out --management",
            ),
            (
                "demo --engine existing --seed 1",
                "leave out --engine, or these",
            ),
            ("demo --kubeconfig k", "add --engine existing"),
            ("demo --management keep A_b", "lower-case letters"),
            ("demo --management keep -", "no hyphen at the ends"),
        ] {
            let Err(failure) = resolve(line) else {
                panic!("{line} was taken")
            };
            let shown = format!("{} {}", failure.error, failure.hints.join(" "));
            assert!(shown.contains(hint), "{line}: {shown}");
        }
    }

    #[test]
    fn what_keeps_a_stack_from_real_clusters_is_what_it_lacks_issue_7() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("stacks-under-test/docker-demo/stack.yaml"));
        let text = text.unwrap();
        let missing = |fields: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("stacks/demo");
            let configs = folder.path().join("kind-configs");
            std::fs::create_dir_all(place.join("releases/cluster-stacks")).unwrap();
            std::fs::create_dir_all(&configs).unwrap();
            let config = "management.yaml";
            std::fs::copy(root.join("kind-configs").join(config), configs.join(config)).unwrap();
            let is_left_out = |line: &&str| {
                let line = line.trim();
                !fields.iter().any(|field| line.starts_with(field))
            };
            let text: Vec<&str> = text.lines().filter(is_left_out).collect();
            std::fs::write(place.join("stack.yaml"), text.join("\n")).unwrap();
            let stack = Stack::load(&place.to_string_lossy(), &folder.path().join("stacks"));
            let chosen = choose(&resolve("demo").unwrap(), &stack.unwrap()).unwrap();
            assert_eq!(chosen.engine, EngineKind::Embedded);
            chosen.missing
        };
        let said = |field: &str| {
            format!(
                "stack.yaml: there is no `{field}`, of which engine kind makes the management cluster"
            )
        };
        assert_eq!(missing(&["nodeImage:"]), [said("nodeImage")]);
        assert_eq!(missing(&["kindConfig:"]), [said("kindConfig")]);
        assert_eq!(
            missing(&["kindConfig:", "nodeImage:"]),
            [said("kindConfig"), said("nodeImage")]
        );
    }
}
