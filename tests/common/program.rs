//! Programs that are asked beside stackgate: kubectl, helm; where this machine has them.

use std::path::PathBuf;

/// In PATH, or where the testbed builds it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("STACKGATE_TESTBED_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home =
            home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(home.join("stackgate-testbed"))
    });
    let testbed = cache.map(|cache| cache.join("bin"));
    std::env::split_paths(&path)
        .chain(testbed)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
