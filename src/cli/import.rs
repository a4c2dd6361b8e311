//! x
use super::Failure;
/// x
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {}
/// x
pub fn run(_: &Arguments) -> Result<(), Failure> {
    Ok(())
}
