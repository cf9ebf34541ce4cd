//! Every vector of `protocol-spec/vectors/trust.json`, which was written from the spec without this code.
#![cfg(feature = "net")]

use serde_json::Value;
use tekd::release::*;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/protocol-spec/vectors/trust.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("vectors are there"))
        .expect("vectors are JSON")
}

fn rows<'a>(all: &'a Value, part: &str, least: usize) -> &'a [Value] {
    let rows = all[part].as_array().unwrap_or_else(|| panic!("{part} is a list"));
    assert!(rows.len() >= least, "{part} has only {} cases", rows.len());
    rows
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{field} of {row} is text"))
}

fn number(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} of {row} is a number"))
}

fn small<T: TryFrom<u64, Error: std::fmt::Debug>>(row: &Value, field: &str) -> T {
    T::try_from(number(row, field)).expect("the number fits its field")
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(row, field)).expect("hex")
}

fn array<const N: usize>(row: &Value, field: &str) -> [u8; N] {
    bytes(row, field).try_into().expect("as long as the spec says")
}

fn accept(row: &Value) -> bool {
    row["accept"].as_bool().expect("accept is there")
}

fn label(row: &Value) -> String {
    format!("{} (clause {})", row["name"], row["clause"])
}

fn texts(row: &Value, field: &str) -> Vec<String> {
    row[field].as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
}

fn hashes(row: &Value, field: &str) -> Vec<[u8; 32]> {
    texts(row, field).iter().map(|h| hex::decode(h).unwrap().try_into().unwrap()).collect()
}

fn signing_key(all: &Value, name: &str) -> SigningKey {
    let row = rows(all, "keys", 6).iter().find(|row| row["name"] == name).expect("the key is there");
    SigningKey::from_secret(array(row, "secret"))
}

fn checkpoint_fields(row: &Value) -> CheckpointFields {
    CheckpointFields {
        set: small(row, "set"),
        service: array(row, "service"),
        version: number(row, "version"),
        time: number(row, "time"),
        fresh_until: number(row, "fresh_until"),
        horizon: small(row, "horizon"),
        schema: small(row, "schema"),
        bits: small(row, "bits"),
        count: number(row, "count"),
        log_size: number(row, "log_size"),
        root: array(row, "root"),
        log_root: array(row, "log_root"),
        manifest: array(row, "manifest"),
        history: array(row, "history"),
        key_epoch: small(row, "key_epoch"),
    }
}

#[test]
fn keys_and_their_ids() {
    for row in rows(&vectors(), "keys", 6) {
        let public = SigningKey::from_secret(array(row, "secret")).public();
        assert_eq!(public, PublicKey(array(row, "public")), "{}", row["name"]);
        assert_eq!(public.id(), KeyId(array(row, "id")), "{}", row["name"]);
    }
}

#[test]
fn encoders_write_what_the_spec_says() {
    let all = vectors();
    let row = &all["encodings"]["checkpoint"];
    let checkpoint = Checkpoint::new(&checkpoint_fields(&row["fields"]));
    assert_eq!(checkpoint.as_bytes(), bytes(row, "bytes"));
    assert_eq!(checkpoint.sign(&signing_key(&all, text(row, "signer"))), bytes(row, "signatures"));
    assert_eq!(Checkpoint::parse(&bytes(row, "bytes")), Ok(checkpoint));

    let row = &all["encodings"]["delegation"];
    let fields = &row["fields"];
    let delegation = Delegation::new(&DelegationFields {
        epoch: small(fields, "epoch"),
        service: array(fields, "service"),
        not_before: number(fields, "not_before"),
        not_after: number(fields, "not_after"),
        online: PublicKey(array(fields, "online")),
    });
    let roots: Vec<_> = texts(row, "signers").iter().map(|name| signing_key(&all, name)).collect();
    assert_eq!(delegation.sign(&roots), bytes(row, "bytes"));
    assert_eq!(Delegation::parse(&bytes(row, "bytes")[..DELEGATION_LEN]), Ok(delegation));
}

#[test]
fn signature_lists() {
    for row in rows(&vectors(), "lists", 13) {
        let (list, known) = (bytes(row, "list"), hashes(row, "known"));
        let known: Vec<_> = known.into_iter().map(PublicKey).collect();
        let signers = SignatureList::parse(&list).and_then(|(parsed, used)| {
            assert_eq!(used, list.len(), "{}", label(row));
            verify(&parsed, text(row, "context"), &bytes(row, "body"), &known)
        });
        let expected = accept(row).then(|| number(row, "signers") as usize);
        assert_eq!(signers.ok(), expected, "{}", label(row));
    }
}

fn reason(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Service { .. } => "service",
        VerifyError::Set { .. } | VerifyError::SetNotTrusted(_) => "set",
        VerifyError::Trust(TrustError::Signature(_)) => "delegation-signature",
        VerifyError::Trust(_) => "threshold",
        VerifyError::EpochBack { .. } => "epoch-back",
        VerifyError::Epoch { .. } => "epoch",
        VerifyError::Signature(_) => "checkpoint-signature",
        VerifyError::Unsigned(_) => "unsigned",
        VerifyError::Time { .. } => "time",
        VerifyError::VersionBack { .. } => "version-back",
        VerifyError::TimeBack { .. } => "time-back",
        VerifyError::Equivocation { .. } => "equivocation",
    }
}

#[test]
fn checkpoint_answers_under_trust() {
    for row in rows(&vectors(), "answers", 57) {
        let trust = Trust::parse_json(text(row, "trust")).expect("the trust of an answer is valid");
        let mut verifier = Verifier::new(trust, small(row, "set"));
        for before in texts(row, "before") {
            let answer = parse_answer_body(&hex::decode(before).unwrap()).expect("well-formed");
            let _: Result<Checkpoint, VerifyError> = verifier.accept(&answer);
        }
        let body = bytes(row, "body");
        let refused = match parse_answer_body(&body) {
            Err(_) => Some("malformed"),
            Ok(answer) => {
                assert_eq!(answer.to_body(), body, "{}", label(row));
                verifier.accept(&answer).err().as_ref().map(reason)
            }
        };
        assert_eq!(refused, row["reason"].as_str(), "{}", label(row));
        assert_eq!(refused.is_none(), accept(row), "{}", label(row));
    }
}

#[test]
fn trust_files() {
    for row in rows(&vectors(), "trust_files", 17) {
        let trust = Trust::parse_json(text(row, "text"));
        assert_eq!(trust.is_ok(), accept(row), "{}: {trust:?}", label(row));
        if let Ok(trust) = trust {
            assert_eq!(Trust::parse_json(&trust.to_json()).unwrap(), trust, "{}", label(row));
        }
    }
}

fn list<T>(row: &Value, field: &str, read: impl Fn(&Value) -> T) -> Vec<T> {
    row[field].as_array().expect("a list").iter().map(read).collect()
}

fn node(row: &Value) -> Node {
    let transport = match small(row, "transport") {
        1u8 => NodeTransport::Udp,
        2 => NodeTransport::Tls,
        3 => NodeTransport::Quic,
        other => NodeTransport::Other(other),
    };
    Node { transport, address: text(row, "address").to_owned() }
}

fn seal_key(row: &Value) -> SealKey {
    SealKey {
        kem: small(row, "kem"),
        kdf: small(row, "kdf"),
        aead: small(row, "aead"),
        not_before: number(row, "not_before"),
        not_after: number(row, "not_after"),
        id: array(row, "id"),
        public: bytes(row, "public"),
    }
}

fn other(row: &Value) -> OtherTlv {
    let value = if row["zeros"].is_null() { bytes(row, "value") } else { vec![0; small(row, "zeros")] };
    OtherTlv { ty: small(row, "type"), value }
}

fn manifest(row: &Value) -> Manifest {
    Manifest {
        service: array(row, "service"),
        set: small(row, "set"),
        number: small(row, "number"),
        time: number(row, "time"),
        schema: small(row, "schema"),
        retention_days: small(row, "retention_days"),
        interval_s: small(row, "interval_s"),
        fresh_s: small(row, "fresh_s"),
        too_old_s: small(row, "too_old_s"),
        embargo_s: small(row, "embargo_s"),
        min_reports: small(row, "min_reports"),
        max_wait_s: small(row, "max_wait_s"),
        decoys: row["decoys"].as_bool().expect("decoys"),
        min_protocol: small(row, "min_protocol"),
        max_keys: small(row, "max_keys"),
        max_keys_per_start: small(row, "max_keys_per_start"),
        min_period: small(row, "min_period"),
        max_period: small(row, "max_period"),
        max_ahead_s: small(row, "max_ahead_s"),
        client_wait_s: small(row, "client_wait_s"),
        key_epoch: small(row, "key_epoch"),
        nodes: list(row, "nodes", node),
        seal_keys: list(row, "seal_keys", seal_key),
        witnesses: list(row, "witnesses", |row| Witness {
            key: PublicKey(array(row, "key")),
            name: text(row, "name").to_owned(),
        }),
        other: list(row, "other", other),
    }
}

#[test]
fn manifests() {
    let all = vectors();
    let mut written_back = 0;
    for row in rows(&all, "manifests", 29) {
        let mut signed = bytes(row, "bytes");
        if !row["zeros"].is_null() {
            let at: usize = small(row, "zeros_at");
            signed.splice(at..at, vec![0; small(row, "zeros")]);
        }
        let read = Manifest::parse_verified(&signed, &PublicKey(array(row, "online")));
        assert_eq!(read.is_ok(), accept(row), "{}: {:?}", label(row), read.as_ref().err());
        let Ok(read) = read else { continue };
        assert_eq!(read, manifest(&row["fields"]), "{}", label(row));
        assert_eq!(manifest_digest(&signed), array(row, "digest"), "{}", label(row));
        let again = read.encode_signed(&signing_key(&all, "online")).expect("what was read can be written");
        written_back += usize::from(again == signed);
        assert_eq!(Manifest::parse_unverified(&again), Ok(read), "{}", label(row));
    }
    assert!(written_back >= 4, "all without reserved or critical bits come back to the byte: {written_back}");
}

#[test]
fn log_roots_and_proofs() {
    let all = vectors();
    let log = &all["log"];
    let (leaf_hashes, roots) = (hashes(log, "leaf_hashes"), hashes(log, "roots"));
    let mut tree = LogTree::new();
    for leaf in texts(log, "leaves") {
        tree.push(log_leaf_hash(&hex::decode(leaf).unwrap()));
    }
    assert_eq!(tree.leaves(), leaf_hashes);
    for (size, root) in (0u64..).zip(&roots) {
        assert_eq!(tree.root_at(size).as_ref(), Some(root), "size {size}");
    }
    let root = |size: u64| &roots[usize::try_from(size).unwrap()];
    let mut out = [[0; 32]; MAX_PROOF_HASHES];
    for row in rows(log, "inclusion", 84) {
        let (index, size, proof) = (number(row, "index"), number(row, "size"), hashes(row, "proof"));
        let leaf = &leaf_hashes[usize::try_from(index).unwrap()];
        assert_eq!(verify_inclusion(leaf, index, size, &proof, root(size)), accept(row), "{row}");
        let made = tree.inclusion(index, size, &mut out).map(|len| &out[..len]);
        assert_eq!(made == Some(&proof[..]), accept(row), "{row}");
    }
    for row in rows(log, "consistency", 98) {
        let (old, new, proof) = (number(row, "old"), number(row, "new"), hashes(row, "proof"));
        assert_eq!(verify_consistency(old, new, root(old), root(new), &proof), accept(row), "{row}");
        let made = tree.consistency(old, new, &mut out).map(|len| &out[..len]);
        assert_eq!(made == Some(&proof[..]), accept(row), "{row}");
    }
}

#[test]
fn ages() {
    for row in rows(&vectors(), "ages", 9) {
        let checkpoint = Checkpoint::parse(&bytes(row, "checkpoint")).unwrap();
        let judged = age(&checkpoint, number(row, "clock"), number(row, "newest"), small(row, "too_old_s"));
        let state = match judged.0 {
            Age::Fresh => "fresh",
            Age::Stale => "stale",
            Age::TooOld => "too-old",
        };
        assert_eq!((state, judged.1), (text(row, "state"), number(row, "age_s")), "{row}");
    }
}
