//! The `concord` program: see `concord --help`.

fn main() -> std::process::ExitCode {
    concord::cli::main()
}
