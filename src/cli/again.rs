//! What is said before a run is run again, and before one goes on whose process is gone.

use std::path::Path;

use super::args::EngineKind;
use super::engine::Wanted;
use super::exit::Failure;
use super::run::Then;

/// Tells what is not as it was.
///
/// # Errors
/// When the engine cannot be made.
pub fn tell_differences(
    engine: EngineKind,
    wanted: &Wanted<'_>,
    then: Then,
) -> Result<(), Failure> {
    // Another engine than that of the run: what is connected here belongs to a runtime that ends here.
    let engine = super::engine::make(engine, wanted)?;
    let now = super::runtime()?.block_on(engine.properties());
    let mut lines = then.differs;
    for (name, was) in &then.facts {
        let is = now.iter().find(|(known, _)| known == name);
        if let Some((_, is)) = is.filter(|(_, is)| is != was) {
            lines.push(format!("{name} was {was}, is {is}"));
        }
    }
    for line in &lines {
        super::note(&format!("differs: {line}"));
    }
    if lines.is_empty() {
        super::note("nothing differs from the run that is run again");
    }
    Ok(())
}

/// Refuses to go on where there is nothing any more to go on with.
///
/// # Errors
/// When the clusters of the run are gone.
pub fn refuse_what_is_gone(
    engine: EngineKind,
    wanted: &Wanted<'_>,
    folder: &Path,
) -> Result<(), Failure> {
    // Another engine than that of the run: what is connected here belongs to a runtime that ends here.
    let engine = super::engine::make(engine, wanted)?;
    let remains = super::runtime()?.block_on(engine.remains());
    remains.map_err(|error| {
        let shown = folder.display();
        Failure::input(error.context(format!("failed to go on with the run in {shown}")))
            .hint(format!("run it again with: stackgate reproduce {shown}"))
            .hint(format!(
                "remove what is left with: stackgate clean {}",
                wanted.run
            ))
    })
}
