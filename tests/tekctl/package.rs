//! Packages to import: the real one where it is at hand, a generated one elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekd::gaen::{Epidemic, ExportedKey, Package, PackageMeta, write_package};

/// A newest day whose keys have long expired: 2020-05-22.
const OLD_DAY: u32 = 2_651_040;
/// Keys of the generated package.
const GENERATED: u64 = 1500;

/// A file of the shared data, or `None` and a line that says what is done without it.
pub(crate) fn shared_data(name: &str) -> Option<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let named = std::env::var_os("TEKD_SHARED_DATA").map(Into::into);
    let found = named.into_iter().chain([beside]).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        println!(
            "{name} is neither in ../shared/data nor in $TEKD_SHARED_DATA: a generated one takes its place"
        );
    }
    found.map(|path| std::fs::read(path).expect("a file that exists is readable"))
}

/// What a package says about itself.
pub(crate) fn meta() -> PackageMeta {
    PackageMeta {
        region: "XX".to_owned(),
        start: 1_590_000_000,
        end: 1_590_086_400,
        batch_num: 1,
        batch_size: 1,
    }
}

/// A package and the keys in it.
pub(crate) struct Fixture {
    /// The ZIP.
    pub(crate) zip: Vec<u8>,
    /// Its keys.
    pub(crate) keys: Vec<ExportedKey>,
    /// Keys that a retention of 14 days takes after a rebase, where the package's are known for good.
    pub(crate) within_14_days: Option<u64>,
}

/// The real package, or a generated one of expired keys on 14 days and 14 days before.
pub(crate) fn expired_package() -> Fixture {
    if let Some(zip) = shared_data("cwa-demo-package.zip") {
        let keys = Package::read(&zip).expect("a package that a mobile app shipped").keys;
        assert_eq!(keys.len(), 2392);
        return Fixture { zip, keys, within_14_days: Some(1268) };
    }
    let mut keys = Vec::new();
    for (seed, newest) in [(1, OLD_DAY), (2, OLD_DAY - 14 * 144)] {
        let reports = Epidemic::new(seed).reports(GENERATED / 2, newest).expect("a midnight");
        keys.extend(reports.flat_map(|report| report.keys).map(|key| ExportedKey { period: 144, ..key }));
    }
    let zip = write_package(&keys, &meta(), None).expect("writable keys");
    Fixture { zip, keys, within_14_days: None }
}

/// A schema as the lines of `--keys-out` show it, written out again from the contract.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// `gaen-minimal`.
    Minimal,
    /// `gaen-full`.
    Full,
}

/// What `--keys-out` has to hold for these keys, moved by `days`: key bytes to line, in key order.
pub(crate) fn expected_lines(keys: &[ExportedKey], days: i64, shown: Shown) -> BTreeMap<[u8; 16], Value> {
    keys.iter().map(|key| (key.key, line(key, days, shown))).collect()
}

fn line(key: &ExportedKey, days: i64, shown: Shown) -> Value {
    let mut line = json!({
        "key": STANDARD.encode(key.key),
        "rollingStartNumber": i64::from(key.start) + 144 * days,
        "rollingPeriod": key.period,
        "reportType": key.report_type,
    });
    match shown {
        Shown::Minimal => line["riskClass"] = [0, 1, 1, 2, 2, 2, 3, 3, 3][usize::from(key.risk)].into(),
        Shown::Full => {
            line["transmissionRisk"] = key.risk.into();
            line["daysSinceOnset"] = key.onset.into();
        }
    }
    line
}
