//! Clients as they are, against a served cluster.

mod bench;
mod helm;
mod kubectl;
mod python;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let clients = [kubectl::client(), helm::client(), python::client()];
    let trials = clients.into_iter().flat_map(bench::Client::trials);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
