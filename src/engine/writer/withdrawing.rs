//! Withdrawals by operators, and their undoing.

use super::super::event::{Event, Withdrawn};
use super::super::input::{Reply, WithdrawCount};
use super::super::refusal::Refusal;
use super::{Writer, check_text};
use crate::authority::Scope;

impl Writer {
    pub(super) fn withdraw(&mut self, now: u64, w: Withdrawn, dry_run: bool) -> Result<Reply, Refusal> {
        check_text("the reason", &w.reason)?;
        self.check_scope(&w.scope)?;
        let claims = self.state.would_take_back(&w.scope);
        if claims.is_empty() {
            return Err(match w.scope {
                Scope::Key { set, .. } => Refusal::NoKey { set },
                _ => Refusal::NothingLeft,
            });
        }
        let seq = (!dry_run).then(|| self.record(now, &Event::Withdrawn(w)));
        Ok(Reply::Withdrawn(WithdrawCount { claims, seq }))
    }

    fn check_scope(&self, scope: &Scope) -> Result<(), Refusal> {
        let newest = self.state.seq();
        match *scope {
            Scope::Key { set, .. } if self.state.set(set).is_none() => Err(Refusal::NoSet { set }),
            Scope::After { seq, .. } if seq > newest => Err(Refusal::NoEvent { seq, newest }),
            Scope::Provider { provider, .. }
            | Scope::After { provider: Some(provider), .. }
            | Scope::Signer { provider, .. }
                if !self.state.registry.providers.contains_key(&provider) =>
            {
                Err(Refusal::NoProvider { provider })
            }
            Scope::Batch { batch } if !self.state.registry.batches.contains_key(&batch) => {
                Err(Refusal::NoBatch { batch })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn reinstate(&mut self, now: u64, seq: u64) -> Result<Reply, Refusal> {
        let newest = self.state.seq();
        if seq > newest {
            return Err(Refusal::NoEvent { seq, newest });
        }
        let claims = self.state.would_reinstate(seq).ok_or(Refusal::NothingTaken { seq })?;
        let seq = Some(self.record(now, &Event::Reinstated { seq }));
        Ok(Reply::Withdrawn(WithdrawCount { claims, seq }))
    }
}
