//! Clients as they are, against a served cluster.

mod bench;
mod helm;
mod kinds;
mod kubectl;
mod python;
mod workloads;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kubectl = |tests| bench::Client {
        tests,
        ..kubectl::client()
    };
    let clients = [
        kubectl::client(),
        kubectl(kinds::TESTS),
        kubectl(workloads::TESTS),
        helm::client(),
        python::client(),
    ];
    let trials = clients.into_iter().flat_map(bench::Client::trials);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
