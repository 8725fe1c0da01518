//! `concord why`: stub.
use super::{Found, PipelineArgument};
pub const EXAMPLES: &str = "";
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
}
pub async fn run(_: Arguments) -> anyhow::Result<Found> {
    anyhow::bail!("not there yet")
}
