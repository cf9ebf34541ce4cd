//! Packages of the field, packages made here, and bytes that are no packages.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use sha2::{Digest, Sha256};

use super::container::{EXPORT, SIGNATURE, read_members, write_members};
use super::proto;
use super::*;

const GOLDEN: &str = "gaen-export-golden/testExport-2-records-1-of-1.zip";

/// A file of the shared data, or `None` and a line that says what is skipped.
fn shared_data(name: &str) -> Option<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let named = std::env::var_os("TEKD_SHARED_DATA").map(Into::into);
    let found = named.into_iter().chain([beside]).map(|folder| folder.join(name)).find(|path| path.exists());
    match found {
        Some(path) => Some(std::fs::read(path).expect("a file that exists is readable")),
        None => {
            println!("skipped: {name} is neither in ../shared/data nor in $TEKD_SHARED_DATA");
            None
        }
    }
}

fn shared_text(name: &str) -> Option<String> {
    shared_data(name).map(|bytes| String::from_utf8(bytes).expect("text"))
}

fn meta() -> PackageMeta {
    let (start, end) = (1_600_000_000, 1_600_086_400);
    PackageMeta { region: "XX".to_owned(), start, end, batch_num: 1, batch_size: 1 }
}

fn generated(n_keys: u64) -> Vec<ExportedKey> {
    let reports = Epidemic::new(1).reports(n_keys, 2_900_016).expect("a midnight");
    reports.flat_map(|report| report.keys).collect()
}

fn package_of(export: &[u8], signature: Option<&[u8]>) -> Vec<u8> {
    let members: Vec<_> = [Some((EXPORT, export)), signature.map(|bytes| (SIGNATURE, bytes))].into();
    write_members(&members.into_iter().flatten().collect::<Vec<_>>()).expect("small members")
}

fn export_of(message: &proto::Export) -> Vec<u8> {
    [&EXPORT_HEADER[..], &message.encode_to_vec()].concat()
}

fn message_key(key_data: &[u8]) -> proto::Key {
    proto::Key {
        key_data: Some(key_data.to_vec()),
        rolling_start_interval_number: Some(2_649_888),
        ..proto::Key::default()
    }
}

/// A P-256 key and its PEM, always the same for the same number.
fn signing_key(number: u8) -> (SigningKey, String) {
    let pair = SigningKey::from_bytes(&[number; 32].into()).expect("a small scalar that is not zero");
    let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hex");
    der.extend_from_slice(pair.verifying_key().to_sec1_point(false).as_bytes());
    (pair, pem("PUBLIC KEY", &der))
}

static SIGNING_KEY: LazyLock<(SigningKey, String)> = LazyLock::new(|| signing_key(1));

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\r\n{}\r\n-----END {label}-----\r\n", STANDARD.encode(der))
}

fn signed(keys: &[ExportedKey], pair: &SigningKey) -> Vec<u8> {
    let mut sign = |bytes: &[u8]| -> Result<Vec<u8>, SignError> {
        let signature: DerSignature = pair.sign(bytes);
        Ok(signature.as_bytes().to_vec())
    };
    let info = SignatureInfo {
        verification_key_id: Some("262".to_owned()),
        verification_key_version: Some("v1".to_owned()),
        signature_algorithm: Some("1.2.840.10045.4.3.2".to_owned()),
        ..SignatureInfo::default()
    };
    write_package(keys, &meta(), Some(PackageSigner { info, sign: &mut sign })).expect("writable keys")
}

#[test]
fn the_real_package_is_read_whole() {
    let Some(zip) = shared_data("cwa-demo-package.zip") else { return };
    let package = Package::read(&zip).expect("a package that a mobile app shipped");
    assert_eq!(package.keys.len(), 2392);
    assert_eq!((package.revised_keys.len(), package.malformed.total(), package.signature_count()), (0, 0, 0));
    let distinct = |of: fn(&ExportedKey) -> u32| package.keys.iter().map(of).collect::<BTreeSet<_>>();
    let days = distinct(|key| key.start);
    // 2020-04-27 to 2020-05-22, UTC midnights.
    assert!(days.iter().copied().eq((0..26).map(|day| 1_587_945_600 / 600 + 144 * day)));
    assert_eq!(distinct(|key| key.period), BTreeSet::from([144]));
    assert_eq!(distinct(|key| key.risk.into()).len(), 5);
    assert_eq!(package.keys.iter().map(|key| key.key).collect::<BTreeSet<_>>().len(), 2392);
}

#[test]
fn the_real_package_rebased_has_1268_keys_live_for_14_days_at_any_hour() {
    let Some(zip) = shared_data("cwa-demo-package.zip") else { return };
    let keys = Package::read(&zip).expect("readable").keys;
    for now in 2_900_000..2_900_000 + INTERVALS_PER_DAY {
        let mut keys = keys.clone();
        rebase(&mut keys, now).expect("in range");
        let live = |days: u32| keys.iter().filter(|key| key.end() > u64::from(now - 144 * days)).count();
        assert_eq!((live(14), live(30)), (1268, 2392), "at interval {now}");
    }
}

#[test]
fn the_golden_package_holds_its_source_keys_and_its_signature_is_valid() {
    let (Some(zip), Some(pem), Some(json)) = (
        shared_data(GOLDEN),
        shared_text("gaen-export-golden/public.pem"),
        shared_text("gaen-export-golden/keys.json"),
    ) else {
        return;
    };
    let package = Package::read(&zip).expect("the field's own sample");
    assert_eq!((package.region.as_str(), package.batch_num, package.batch_size), ("US", 1, 1));
    assert_eq!((package.start, package.end), (1_590_159_600, 1_590_246_000));
    assert_eq!(package.malformed, Malformed::default());
    let source: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let source = source["temporaryExposureKeys"].as_array().expect("a list");
    assert_eq!(package.keys.len(), source.len());
    for (key, source) in package.keys.iter().zip(source) {
        assert_eq!(STANDARD.encode(key.key), source["key"].as_str().expect("text"));
        assert_eq!(Some(u64::from(key.start)), source["rollingStartNumber"].as_u64());
        assert_eq!(Some(u64::from(key.period)), source["rollingPeriod"].as_u64());
        assert_eq!(Some(u64::from(key.risk)), source["transmissionRisk"].as_u64());
    }
    let check = verify(&package, &pem).expect("its signature is valid");
    assert_eq!((check.index, check.of, check.info.verification_key_id()), (0, 1, "some_id"));
}

#[test]
fn the_golden_package_is_refused_with_any_bit_of_keys_or_signature_flipped() {
    let (Some(zip), Some(pem)) = (shared_data(GOLDEN), shared_text("gaen-export-golden/public.pem")) else {
        return;
    };
    every_flipped_bit_is_refused(&zip, &pem);
}

#[test]
fn a_package_signed_here_is_refused_with_any_bit_of_keys_or_signature_flipped() {
    let (pair, pem) = signing_key(1);
    every_flipped_bit_is_refused(&signed(&generated(3), &pair), &pem);
}

fn every_flipped_bit_is_refused(zip: &[u8], pem: &str) {
    let members = read_members(zip).expect("a package");
    let signature = members.signature.expect("a signed package");
    let accepted = |export: &[u8], signature: &[u8]| {
        let package = Package::read(&package_of(export, Some(signature)));
        package.is_ok_and(|package| verify(&package, pem).is_ok())
    };
    assert!(accepted(&members.export, &signature));
    for bit in 0..members.export.len() * 8 {
        let mut flipped = members.export.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&flipped, &signature), "bit {bit} of export.bin");
    }
    let list = proto::decode_signatures(&signature).expect("a signature list");
    for bit in 0..list.signatures[0].signature().len() * 8 {
        let mut flipped = list.clone();
        flipped.signatures[0].signature.as_mut().expect("present")[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&members.export, &flipped.encode_to_vec()), "bit {bit} of the signature");
    }
}

#[test]
fn one_valid_signature_among_several_is_enough() {
    let (pair, pem) = signing_key(1);
    let members = read_members(&signed(&generated(20), &pair)).expect("a package");
    let mut list = proto::decode_signatures(&members.signature.expect("signed")).expect("a list");
    let mut other = list.signatures[0].clone();
    other.signature.as_mut().expect("present")[10] ^= 1;
    list.signatures.insert(0, other.clone());
    let check = |list: &proto::SignatureList| {
        let zip = package_of(&members.export, Some(&list.encode_to_vec()));
        verify(&Package::read(&zip).expect("readable"), &pem)
    };
    assert_eq!(check(&list).map(|found| (found.index, found.of)).expect("the second is valid"), (1, 2));
    list.signatures[1] = other;
    let refused = check(&list).expect_err("none is valid");
    assert!(matches!(refused, SignatureError::NoneValid { count: 2, .. }));
    assert!(refused.to_string().contains("262 v1"), "{refused}");
}

#[test]
fn an_unsigned_package_and_another_key_are_told_apart() {
    let (pair, _) = signing_key(1);
    let (_, other_pem) = signing_key(2);
    let keys = generated(5);
    let unsigned = Package::read(&write_package(&keys, &meta(), None).expect("writable")).expect("readable");
    assert!(matches!(verify(&unsigned, &other_pem), Err(SignatureError::Unsigned)));
    let package = Package::read(&signed(&keys, &pair)).expect("readable");
    assert!(matches!(verify(&package, &other_pem), Err(SignatureError::NoneValid { count: 1, .. })));
}

#[test]
fn what_is_no_p256_public_key_is_named() {
    let (pair, good) = signing_key(1);
    let package = Package::read(&signed(&generated(1), &pair)).expect("readable");
    let refused = |pem: &str| verify(&package, pem).expect_err("not a key");
    let der = STANDARD.decode(good.lines().nth(1).expect("a body")).expect("base64");
    let mut off_curve = der.clone();
    off_curve[90] ^= 1;
    let mut compressed = der.clone();
    compressed[26] = 2;
    assert!(matches!(refused(""), SignatureError::NotPem { .. }));
    assert!(matches!(refused("-----BEGIN PUBLIC KEY-----\nAAAA"), SignatureError::NotPem { .. }));
    assert!(matches!(refused(&good.replace("MF", "!!")), SignatureError::NotPem { .. }));
    assert!(matches!(refused(&" ".repeat(MAX_PEM_BYTES + 1)), SignatureError::NotPem { .. }));
    assert!(matches!(refused(&pem("CERTIFICATE", &der)), SignatureError::WrongLabel { .. }));
    for der in [&off_curve[..], &compressed, &der[..90], &[&der[..], &[0]].concat(), &[]] {
        let refused = refused(&pem("PUBLIC KEY", der));
        assert!(matches!(refused, SignatureError::NotP256 { bytes, .. } if bytes == der.len()), "{refused}");
    }
    verify(&package, &format!("a comment\n{good}")).expect("text around the key does not matter");
}

#[test]
fn equal_keys_in_any_order_give_equal_bytes_on_every_machine() {
    let keys = generated(5000);
    let zip = write_package(&keys, &meta(), None).expect("writable");
    let reversed: Vec<_> = keys.iter().rev().copied().collect();
    assert_eq!(write_package(&reversed, &meta(), None).expect("writable"), zip);
    assert_eq!(
        hex::encode(Sha256::digest(&zip)),
        "d3a94cb58c46d7cdb1ba2305e73fa58c77563515edb9467a246f45d4f3274f87"
    );
    let package = Package::read(&zip).expect("readable");
    assert!(package.keys.is_sorted_by_key(|key| key.key));
    assert_eq!(zip[10..14], [0, 0, 0x21, 0], "time and date of the first member: 1980-01-01 00:00");
}

#[test]
fn values_the_format_allows_and_this_program_does_not_hold_are_clamped_dropped_or_counted() {
    let good = message_key(&[1; 16]);
    let message = proto::Export {
        keys: vec![
            good.clone(),
            proto::Key { transmission_risk_level: Some(-1), report_type: Some(6), ..good.clone() },
            proto::Key {
                transmission_risk_level: Some(256),
                report_type: Some(-1),
                days_since_onset_of_symptoms: Some(128),
                rolling_period: Some(0),
                ..good.clone()
            },
            proto::Key { days_since_onset_of_symptoms: Some(-128), report_type: Some(5), ..good.clone() },
            message_key(&[]),
            message_key(&[1; 17]),
            proto::Key { key_data: None, ..good.clone() },
            proto::Key { rolling_start_interval_number: Some(-1), ..good.clone() },
        ],
        revised_keys: vec![proto::Key { rolling_period: Some(-5), ..good.clone() }, message_key(&[2; 16])],
        ..proto::Export::default()
    };
    let package = Package::read(&package_of(&export_of(&message), None)).expect("readable");
    let plain =
        ExportedKey { key: [1; 16], risk: 0, start: 2_649_888, period: 144, report_type: 0, onset: None };
    let wanted = [
        plain,
        plain,
        ExportedKey { risk: 255, period: 0, ..plain },
        ExportedKey { onset: Some(-128), report_type: 5, ..plain },
    ];
    assert_eq!(package.keys, wanted);
    assert_eq!(package.revised_keys, [ExportedKey { key: [2; 16], ..plain }]);
    assert_eq!(package.malformed, Malformed { key_length: 3, rolling_start: 1, rolling_period: 1 });
    assert_eq!(package.malformed.total(), 5);
}

#[test]
fn unknown_fields_of_every_wire_type_are_ignored() {
    // Field 15 as number, 8 bytes, 4 bytes, text and group; then variant_of_concern (8) inside of a key.
    let mut key = message_key(&[3; 16]).encode_to_vec();
    key.extend_from_slice(&[0x40, 0x02]);
    let mut export = EXPORT_HEADER.to_vec();
    export.extend_from_slice(&[0x78, 0x05, 0x79, 0, 0, 0, 0, 0, 0, 0, 0, 0x7d, 0, 0, 0, 0, 0x7a, 0x01, 0x41]);
    export.extend_from_slice(&[0x7b, 0x3a, 0x00, 0x7c]);
    export.extend_from_slice(&[0x3a, key.len() as u8]);
    export.extend_from_slice(&key);
    let package = Package::read(&package_of(&export, None)).expect("readable");
    assert_eq!(package.keys.iter().map(|key| key.key).collect::<Vec<_>>(), [[3; 16]]);
    assert_eq!((package.malformed.total(), package.signed_bytes()), (0, &export[..]));
}

#[test]
fn other_headers_and_cut_messages_are_refused_with_the_place() {
    let export = export_of(&proto::Export { keys: vec![message_key(&[1; 16])], ..proto::Export::default() });
    let refused = |export: &[u8]| Package::read(&package_of(export, None)).expect_err("not sound");
    let mut version_2 = export.clone();
    version_2[11] = b'2';
    assert!(refused(&version_2).to_string().contains("EK Export v2"));
    assert!(matches!(refused(&export[..15]), PackageError::Proto(ProtoError::Header { .. })));
    for end in 17..export.len() {
        let refused = refused(&export[..end]);
        let PackageError::Proto(ProtoError::Damaged { member, offset, .. }) = refused else {
            panic!("cut at {end}: {refused}");
        };
        assert_eq!((member, offset), (EXPORT, 16));
    }
    let inside = [&EXPORT_HEADER[..], &[0x3a, 0x02, 0x0a, 0x09]].concat();
    assert!(matches!(refused(&inside), PackageError::Proto(ProtoError::Inside { .. })));
    let never_ends = [&EXPORT_HEADER[..], &[0xff; 11]].concat();
    assert!(matches!(refused(&never_ends), PackageError::Proto(ProtoError::Damaged { offset: 16, .. })));
    Package::read(&package_of(&EXPORT_HEADER, None)).expect("no keys are allowed");
}

#[test]
fn limits_hold_before_memory_is_spent() {
    let crowded = |tag: u8, count: usize| [&EXPORT_HEADER[..], &[tag, 0].repeat(count)].concat();
    let read = |export: &[u8]| Package::read(&package_of(export, None));
    let refused = read(&crowded(0x3a, MAX_KEYS + 1)).expect_err("a key too many");
    assert!(
        matches!(refused, PackageError::Proto(ProtoError::TooManyKeys { found, .. }) if found == MAX_KEYS + 1)
    );
    assert_eq!(read(&crowded(0x3a, MAX_KEYS)).expect("as many as allowed").malformed.key_length, MAX_KEYS);
    let refused = read(&crowded(0x32, MAX_SIGNATURES + 1)).expect_err("a description too many");
    assert!(matches!(refused, PackageError::Proto(ProtoError::TooManySignatures { member: EXPORT, .. })));
    let list = [0x0a, 0].repeat(MAX_SIGNATURES + 1);
    let refused = Package::read(&package_of(&EXPORT_HEADER, Some(&list))).expect_err("a signature too many");
    assert!(matches!(refused, PackageError::Proto(ProtoError::TooManySignatures { member: SIGNATURE, .. })));
    let long = vec![0; MAX_SIGNATURE_BYTES + 1];
    let refused = Package::read(&package_of(&EXPORT_HEADER, Some(&long))).expect_err("too long");
    let PackageError::Container(ContainerError::MemberTooLarge { member, limit, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!((member, limit), (SIGNATURE, MAX_SIGNATURE_BYTES));
    let refused = Package::read(&vec![0; MAX_ZIP_BYTES + 1]).expect_err("too long");
    assert!(matches!(refused, PackageError::Container(ContainerError::ZipTooLarge { .. })));
}

#[test]
fn a_zip_bomb_is_not_unpacked_whatever_size_it_claims() {
    let honest = package_of(&vec![0; MAX_EXPORT_BYTES + 1], None);
    assert!(honest.len() < 1 << 20, "it is small while packed");
    let mut lying = honest.clone();
    let claimed = (MAX_EXPORT_BYTES as u32 + 1).to_le_bytes();
    let places: Vec<_> = (0..lying.len() - 4).filter(|at| lying[*at..at + 4] == claimed).collect();
    assert!(!places.is_empty());
    for at in places {
        lying[at..at + 4].copy_from_slice(&16_u32.to_le_bytes());
    }
    let refused = Package::read(&honest).expect_err("a bomb");
    let PackageError::Container(ContainerError::MemberTooLarge { declared, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!(declared, MAX_EXPORT_BYTES as u64 + 1);
    let refused = Package::read(&lying).expect_err("a bomb that claims to unpack to 16 bytes");
    assert!(matches!(refused, PackageError::Container(ContainerError::Member { .. })), "{refused}");
}

#[test]
fn archives_that_are_no_packages_are_named() {
    let read = |members: &[(&str, &[u8])]| Package::read(&write_members(members).expect("small"));
    let refused = read(&[("index.txt", b"x"), (SIGNATURE, b"")]).expect_err("no keys");
    assert!(refused.to_string().contains("[index.txt, export.sig]"), "{refused}");
    let names: Vec<_> = (0..=MAX_MEMBERS).map(|number| format!("{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let refused = read(&many).expect_err("too many members");
    assert!(matches!(refused, PackageError::Container(ContainerError::TooManyMembers { .. })), "{refused}");
    let mut doubled =
        write_members(&[(EXPORT, &EXPORT_HEADER), ("export.xxx", &EXPORT_HEADER)]).expect("small");
    for at in 0..doubled.len() - 10 {
        if doubled[at..].starts_with(b"export.xxx") {
            doubled[at..at + 10].copy_from_slice(EXPORT.as_bytes());
        }
    }
    let refused = Package::read(&doubled).expect_err("ambiguous");
    assert!(matches!(refused, PackageError::Container(ContainerError::DuplicateMembers)), "{refused}");
    let refused = Package::read(b"").expect_err("nothing");
    assert!(
        matches!(refused, PackageError::Container(ContainerError::NotAZip { bytes: 0, .. })),
        "{refused}"
    );
}

#[test]
fn what_the_format_cannot_hold_is_not_written() {
    let mut keys = generated(3);
    keys[1].start = 1 << 31;
    let refused = write_package(&keys, &meta(), None).expect_err("beyond int32");
    assert!(matches!(refused, WriteError::OutOfRange { index: 1, field: "rolling start", .. }), "{refused}");
    keys[1].start = 0;
    keys[2].period = u32::MAX;
    let refused = write_package(&keys, &meta(), None).expect_err("beyond int32");
    assert!(matches!(refused, WriteError::OutOfRange { index: 2, field: "rolling period", .. }), "{refused}");
    let refused = write_package(&vec![keys[0]; MAX_KEYS + 1], &meta(), None).expect_err("too many");
    assert!(matches!(refused, WriteError::TooManyKeys { .. }), "{refused}");
    let mut sign = |_: &[u8]| -> Result<Vec<u8>, SignError> { Err("the key is locked".into()) };
    let signer = PackageSigner { info: SignatureInfo::default(), sign: &mut sign };
    let refused = write_package(&keys[..1], &meta(), Some(signer)).expect_err("no signature");
    assert!(refused.to_string().contains("the key is locked"), "{refused}");
}

fn any_key() -> impl Strategy<Value = ExportedKey> {
    let numbers = (0..=i32::MAX as u32, prop_oneof![Just(144), 0..=i32::MAX as u32]);
    (any::<[u8; 16]>(), any::<u8>(), numbers, 0..=5_u8, any::<Option<i8>>()).prop_map(
        |(key, risk, (start, period), report_type, onset)| ExportedKey {
            key,
            risk,
            start,
            period,
            report_type,
            onset,
        },
    )
}

/// Whether an import that demands a signature by `pem` would take these bytes, and which keys.
fn accepted(zip: &[u8], pem: &str) -> Option<Vec<ExportedKey>> {
    let package = Package::read(zip).ok()?;
    verify(&package, pem).ok()?;
    Some(package.keys)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        keys in vec(any_key(), 0..50),
        (region, start, end) in (".{0,8}", any::<u64>(), any::<u64>()),
        (batch_num, batch_size) in any::<(i32, i32)>(),
    ) {
        let meta = PackageMeta { region, start, end, batch_num, batch_size };
        let package = Package::read(&write_package(&keys, &meta, None).expect("writable")).expect("readable");
        let mut sorted = keys;
        sorted.sort();
        prop_assert_eq!(package.keys, sorted);
        let read = PackageMeta {
            region: package.region,
            start: package.start,
            end: package.end,
            batch_num: package.batch_num,
            batch_size: package.batch_size,
        };
        prop_assert_eq!(read, meta);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(Package::read(&bytes).is_err());
        let with_end = [&bytes[..], b"PK\x05\x06", &bytes[..bytes.len().min(18)]].concat();
        prop_assert!(Package::read(&with_end).is_err());
    }

    #[test]
    fn garbage_inside_of_a_package_never_counts_as_signed(
        export in vec(any::<u8>(), 0..300),
        signature in vec(any::<u8>(), 0..100),
    ) {
        let (_, pem) = &*SIGNING_KEY;
        let export = [&EXPORT_HEADER[..], &export].concat();
        prop_assert_eq!(accepted(&package_of(&export, Some(&signature)), pem), None);
        let list = proto::SignatureList {
            signatures: vec![proto::Signature { signature: Some(signature), ..proto::Signature::default() }],
        };
        prop_assert_eq!(accepted(&package_of(&export, Some(&list.encode_to_vec())), pem), None);
    }

    #[test]
    fn a_damaged_package_is_refused_or_still_what_was_signed(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (pair, pem) = &*SIGNING_KEY;
        let mut zip = signed(&generated(20), pair);
        let original = accepted(&zip, pem);
        prop_assert!(original.is_some());
        for (at, byte) in changes {
            let at = at.index(zip.len());
            zip[at] = byte;
        }
        let keys = accepted(&zip, pem);
        prop_assert!(keys.is_none() || keys == original);
    }
}

#[test]
fn a_package_cut_short_anywhere_is_refused() {
    let (pair, _) = signing_key(1);
    let zip = signed(&generated(10), &pair);
    for end in 0..zip.len() {
        assert!(Package::read(&zip[..end]).is_err(), "cut at {end} of {}", zip.len());
    }
}
