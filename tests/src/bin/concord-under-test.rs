//! The `concord` program once more: a test can only name programs of its own package, and cargo builds these before it.

fn main() -> std::process::ExitCode {
    concord::cli::main()
}
