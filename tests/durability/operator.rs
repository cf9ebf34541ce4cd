//! Operators who import, withdraw, release, hand out codes and take snapshots.

use serde_json::Value;
use tekd::service::control::{Base64, ControlClient, ControlReply, ControlRequest};
use tekd::wire::Key;

use super::dice::Dice;
use super::keys::import;
use super::ledger::Fate;
use super::phone::{Shared, open};
use super::server::{Server, serial_and_root};

/// Keys of one import.
const KEYS: u64 = 7;

/// Why a command was not confirmed.
#[derive(Debug)]
pub(crate) enum Unconfirmed {
    /// There was no answer: the server is gone.
    Gone,
    /// The answer is no.
    Refused(ControlReply),
}
use Unconfirmed::{Gone, Refused};

type Done<T = ()> = Result<T, Unconfirmed>;

fn confirmed(reply: ControlReply, ledger: &Shared) -> Done<Value> {
    if !reply.ok {
        return Err(Refused(reply));
    }
    open(ledger).replies += 1;
    Ok(reply.result.unwrap_or_default())
}

fn done(server: &Server, request: &ControlRequest, ledger: &Shared) -> Done<Value> {
    let mut control = ControlClient::connect(&server.ready.control).map_err(|_| Gone)?;
    confirmed(control.call(request, |_| ()).map_err(|_| Gone)?, ledger)
}

/// A batch of codes of a clinic of its own.
pub(crate) fn codes(server: &Server, clinic: &str, count: u32) -> Vec<String> {
    let clinic = ControlRequest::ProviderAdd {
        name: clinic.to_owned(),
        key: None,
        issuer: None,
        audience: None,
        set: 1,
    };
    let provider = server.done(&clinic)["provider"].as_u64().expect("a number");
    let codes = server.done(&ControlRequest::CodesIssue {
        provider: u32::try_from(provider).expect("a small number"),
        set: 1,
        count,
        lifetime_s: 7 * 86_400,
        report_type: "confirmed".to_owned(),
        onset_day: None,
    });
    let codes = codes["codes"].as_array().expect("codes").iter();
    codes.map(|code| code.as_str().expect("a code").to_owned()).collect()
}

/// Works until the server is gone; `turned` is called after each turn.
pub(crate) fn work(server: &Server, dice: &mut Dice, ledger: &Shared, mut turned: impl FnMut()) {
    loop {
        match turn(server, dice, ledger) {
            Ok(()) => turned(),
            Err(Gone) => return,
            Err(Refused(reply)) => panic!("a server that runs refused: {reply:?}"),
        }
    }
}

/// Imports, takes back, and releases.
pub(crate) fn turn(server: &Server, dice: &mut Dice, ledger: &Shared) -> Done {
    bring(server, &dice.keys(KEYS), ledger)?;
    if dice.one_in(2) {
        withdraw_key(server, dice, ledger)?;
    }
    if dice.one_in(4) {
        withdraw_report(server, dice, ledger)?;
    }
    release(server, ledger)?;
    if dice.one_in(8) {
        match done(server, &ControlRequest::SnapshotNow {}, ledger) {
            // The disk failed, the journal did not: the one before stays.
            Err(Refused(reply))
                if reply.error.as_deref().is_some_and(|e| e.contains("no snapshot was made")) => {}
            answered => drop(answered?),
        }
    }
    Ok(())
}

/// Imports keys.
pub(crate) fn bring(server: &Server, keys: &[Key], ledger: &Shared) -> Done {
    open(ledger).decide(keys.iter().copied(), Fate::Open);
    confirmed(import(server, keys).map_err(|_| Gone)?, ledger)?;
    let mut ledger = open(ledger);
    ledger.decide(keys.iter().copied(), Fate::In);
    ledger.imported.extend(keys);
    Ok(())
}

/// Makes a release.
pub(crate) fn release(server: &Server, ledger: &Shared) -> Done {
    let made = done(server, &ControlRequest::ReleaseNow { set: 1, allow_small: true }, ledger)?;
    let (serial, root) = serial_and_root(&made);
    assert_eq!(open(ledger).releases.insert(serial, root), None, "release {serial} was told once");
    Ok(())
}

/// Takes back one imported key.
pub(crate) fn withdraw_key(server: &Server, dice: &mut Dice, ledger: &Shared) -> Done {
    let key = {
        let mut ledger = open(ledger);
        let at = usize::try_from(dice.below(ledger.imported.len() as u64)).expect("an index");
        let key = ledger.imported.swap_remove(at);
        ledger.decide([key], Fate::Open);
        key
    };
    let reason = "imported by mistake".to_owned();
    let key_bytes = Base64(key.as_bytes().to_vec());
    let request =
        ControlRequest::KeyWithdraw { set: 1, key: key_bytes, reason, urgent: false, dry_run: false };
    done(server, &request, ledger)?;
    open(ledger).decide([key], Fate::Out);
    Ok(())
}

/// Takes back the report of somebody who got the last answer he waited for, and asks nothing more.
fn withdraw_report(server: &Server, dice: &mut Dice, ledger: &Shared) -> Done {
    let chosen = {
        let mut ledger = open(ledger);
        let told = ledger.stories.iter().filter(|(_, story)| story.told && !story.withdrawn);
        let told: Vec<[u8; 16]> = told.map(|(report, _)| *report).collect();
        let Some(last) = (told.len() as u64).checked_sub(1) else { return Ok(()) };
        let report = told[usize::try_from(dice.below(last + 1)).expect("an index")];
        let story = ledger.stories.get_mut(&report).expect("it was found");
        story.withdrawn = true;
        let keys: Vec<Key> = story.keys().collect();
        ledger.decide(keys.iter().copied(), Fate::Open);
        (report, keys)
    };
    let (report, keys) = chosen;
    let reason = "taken back by the clinic".to_owned();
    let request =
        ControlRequest::ReportWithdraw { report: hex::encode(report), reason, urgent: false, dry_run: false };
    done(server, &request, ledger)?;
    open(ledger).decide(keys, Fate::Out);
    Ok(())
}
