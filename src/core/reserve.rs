//! Reservations of links with a limit, made durable: see [`crate::clicks::reservations`].

use std::sync::Arc;

use super::{Error, Links};
use crate::clicks::counter::Counter;
use crate::log::Proposal;
use crate::model::id::Id;

impl Links {
    /// Makes some of `limit` clicks ready to be taken; returns once they are durable, or at once
    /// when there are some, or none left. Visitors of one link wait for one reservation.
    pub async fn reserve(&self, counter: &Arc<Counter>, limit: u64) -> Result<(), Error> {
        let reservations = self.0.cache.counters().reservations();
        let reserve_lock = reservations.reserve_lock(counter);
        let _turn = reserve_lock.lock().await;
        let (total, pending) = {
            let _order = self.0.totals.lock();
            let asked = self.0.cache.counters().ask(counter, &reserve_lock, limit);
            let Some((total, own)) = asked else { return Ok(()) };
            let put = self.0.put_total(counter.id(), own);
            (total, self.0.log.commit(Proposal { puts: vec![put], ..Proposal::default() }))
        };
        match pending.await {
            Ok(_) => {
                reservations.grant(counter, &reserve_lock, total);
                Ok(())
            }
            Err(error) => {
                reservations.refuse(counter, &reserve_lock);
                Err(Error::Log(error))
            }
        }
    }

    /// Makes the clicks of a link durable whose limit is about to change, and gives back what it
    /// has reserved: the new limit begins from what was really clicked.
    pub(super) async fn settle_clicks(&self, id: Id) -> Result<(), Error> {
        let counters = self.0.cache.counters();
        let Some(counter) = counters.live(id) else { return Ok(()) };
        let pending = {
            let _order = self.0.totals.lock();
            counters.settle(&counter);
            let totals = counters.tally(&[counter]);
            let puts = totals.into_iter().map(|(id, own)| self.0.put_total(id, own)).collect();
            self.0.log.commit(Proposal { puts, ..Proposal::default() })
        };
        let position = pending.await.map_err(Error::Log)?;
        self.0.table.wait(position).await;
        Ok(())
    }
}
