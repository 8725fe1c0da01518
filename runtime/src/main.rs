//! The `concord` program: see `concord --help`.

#[global_allocator]
static ALLOCATOR: concord::Allocator = concord::Allocator;

fn main() -> std::process::ExitCode {
    concord::cli::main()
}
