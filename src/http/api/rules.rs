//! Runs each [`RuleCommand`] on the core.

use crate::core::{Context, Error, Links};
use crate::http::api::dialect::{Created, Reply, RuleCommand};

/// Runs a command.
pub(super) async fn run(links: &Links, context: &Context, command: RuleCommand) -> Result<Reply, Error> {
    Ok(match command {
        RuleCommand::List(link, paging) => Reply::Rules(links.rules(context, link, paging).await?),
        RuleCommand::Create(link, patch) => {
            let rule = links.create_rule(context, link, patch).await?;
            Reply::Made(Created::Rule(Box::new(rule)), None)
        }
        RuleCommand::One(id) => Reply::Rule(Box::new(links.rule(context, id).await?)),
        RuleCommand::Update(id, patch) => Reply::Rule(Box::new(links.update_rule(context, id, patch).await?)),
        RuleCommand::Delete(id) => {
            links.delete_rule(context, id).await?;
            Reply::RuleDeleted(id)
        }
    })
}
