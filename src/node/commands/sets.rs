//! Sets: listed, shown, made, changed.

use super::super::listing;
use super::super::origin::Origin;
use super::{Commands, Done, asked, failed};
use crate::engine::{DEFAULT_PARAMS, Input, Params, ParamsChange, Refusal};
use crate::release::Schema;
use crate::service::control::{ControlReply, SetSettings};

impl Commands {
    pub(super) fn list_sets(&self) -> Done {
        let sets = self
            .origin()?
            .look(|o| o.state().sets().map(|(id, s)| listing::set_line(id, s)).collect::<Vec<_>>())
            .map_err(asked)?;
        Ok(sets.into())
    }

    pub(super) fn show_set(&self, set: u32) -> Done {
        let now = self.clock.now().unix;
        let page = self.origin()?.look(move |o| o.state().set(set).map(|s| listing::set_page(set, s, now)));
        page.map_err(asked)?.ok_or_else(|| asked(Refusal::NoSet { set }.into()))
    }

    pub(super) fn create_set(&self, set: u32, settings: &SetSettings) -> Done {
        let params: Params = change_of(settings)?.apply_to(DEFAULT_PARAMS);
        self.ask(Input::CreateSet { set, params })?;
        let written = self.origin()?.look(Origin::write_trust).map_err(asked)?;
        written.map_err(failed)?;
        self.show_set(set)
    }

    pub(super) fn configure(&self, set: u32, settings: &SetSettings) -> Done {
        let change = change_of(settings)?;
        self.ask(Input::Configure { set, change })?;
        self.show_set(set)
    }
}

fn change_of(settings: &SetSettings) -> Result<ParamsChange, ControlReply> {
    let schema = match &settings.schema {
        None => None,
        Some(name) => Some(Schema::from_name(name).ok_or_else(|| {
            ControlReply::usage(format!(
                "there is no schema {name:?}; choose gaen-minimal, gaen-full or dp3t"
            ))
        })?),
    };
    Ok(ParamsChange {
        schema,
        retention_days: settings.retention_days,
        interval_s: settings.interval_s,
        embargo_s: settings.embargo_s,
        min_reports: settings.min_reports,
        max_wait_s: settings.max_wait_s,
        decoys: settings.decoys,
    })
}
