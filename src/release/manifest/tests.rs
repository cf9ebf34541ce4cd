//! Manifests as they are written, read, and refused.

use proptest::prelude::*;

use super::super::checkpoint::CheckpointFields;
use super::super::manifest_tlv::NodeTransport;
use super::*;

fn online() -> SigningKey {
    SigningKey::from_secret([10; 32])
}

fn sample() -> Manifest {
    let node = |number: u8, address: &str| Node {
        transport: [NodeTransport::Udp, NodeTransport::Tls, NodeTransport::Quic][usize::from(number) - 1],
        address: address.to_owned(),
    };
    Manifest {
        service: [7; 8],
        set: 1,
        number: 4,
        time: 5000,
        schema: 1,
        retention_days: 14,
        interval_s: 900,
        decoys: true,
        nodes: vec![node(1, "node.example:8353"), node(3, "[2001:db8::1]:8354"), node(2, "192.0.2.1:8353")],
        seal_keys: vec![SealKey {
            kem: 0x20,
            kdf: 1,
            aead: 3,
            not_before: 1,
            not_after: 2,
            id: [9; 8],
            public: vec![5; 31],
        }],
        witnesses: vec![Witness { key: PublicKey([3; 32]), name: "Zürich".to_owned() }],
        other: vec![OtherTlv { ty: 0, value: vec![] }, OtherTlv { ty: 0x0a0a, value: vec![1, 2, 3] }],
        ..Manifest::default()
    }
}

/// Signs `head ‖ tlvs` with the length set right.
fn signed(tlvs: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD_LEN + tlvs.len()).unwrap();
    let mut bytes = [sample().head(length).as_bytes(), tlvs].concat();
    let list = SignatureList::sign(MANIFEST_CONTEXT, &bytes, [&online()]);
    bytes.extend_from_slice(list.as_bytes());
    bytes
}

#[test]
fn a_manifest_comes_back_as_it_was_written() {
    let bytes = sample().encode_signed(&online()).unwrap();
    assert_eq!(Manifest::parse_verified(&bytes, &online().public()), Ok(sample()));
    assert_eq!(Manifest::parse_unverified(&bytes), Ok(sample()));
    assert_eq!(sample().encode_signed(&online()).unwrap(), bytes, "signing is deterministic");
    let stranger = SigningKey::from_secret([11; 32]).public();
    assert_eq!(Manifest::parse_verified(&bytes, &stranger), Err(ManifestError::Unsigned(stranger)));
}

#[test]
fn every_flipped_bit_is_refused_or_reserved() {
    let bytes = sample().encode_signed(&online()).unwrap();
    let list = bytes.len() - 4 - 76;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted = Manifest::parse_verified(&flipped, &online().public()).is_ok();
        assert_eq!(
            accepted,
            (list + 2..list + 4).contains(&(bit / 8)),
            "bit {} of byte {}",
            bit % 8,
            bit / 8
        );
        assert_ne!(manifest_digest(&flipped), manifest_digest(&bytes));
    }
}

#[test]
fn a_manifest_must_be_the_one_its_checkpoint_names() {
    let bytes = sample().encode_signed(&online()).unwrap();
    let naming = |service, set, manifest| {
        Checkpoint::new(&CheckpointFields {
            set,
            service,
            version: 1,
            time: 0,
            fresh_until: 0,
            horizon: 0,
            schema: 1,
            bits: 0,
            count: 0,
            log_size: 0,
            root: [0; 32],
            log_root: [0; 32],
            manifest,
            history: [0; 32],
            key_epoch: 0,
        })
    };
    let digest = manifest_digest(&bytes);
    assert_eq!(Manifest::parse_matching(&bytes, &naming([7; 8], 1, digest)), Ok(sample()));
    let other = ManifestError::Digest { got: digest, signed: [0; 32] };
    assert_eq!(Manifest::parse_matching(&bytes, &naming([7; 8], 1, [0; 32])), Err(other));
    let elsewhere = Err(ManifestError::Other { service: [7; 8], set: 1 });
    assert_eq!(Manifest::parse_matching(&bytes, &naming([8; 8], 1, digest)), elsewhere);
    assert_eq!(Manifest::parse_matching(&bytes, &naming([7; 8], 2, digest)), elsewhere);
}

#[test]
fn only_the_same_set_and_no_lower_number_replaces() {
    let held = sample();
    let with = |change: fn(&mut Manifest)| {
        let mut it = sample();
        change(&mut it);
        it.may_replace(&held)
    };
    assert!(with(|_| ()) && with(|it| it.number = 5));
    assert!(!with(|it| it.number = 3) && !with(|it| it.set = 2) && !with(|it| it.service = [0; 8]));
}

#[test]
fn tlvs_out_of_order_cut_or_wrongly_filled_are_refused() {
    let read = |tlvs: &[u8]| Manifest::parse_unverified(&signed(tlvs)).map(|it| it.other.len());
    assert_eq!(read(&[]), Ok(0));
    assert_eq!(read(&[9, 0, 0, 0, 9, 0, 1, 0, 5, 0, 0, 0]), Ok(2), "a type may repeat");
    assert_eq!(read(&[9, 0, 0, 0, 8, 0, 0, 0]), Err(ManifestError::Order { ty: 8, after: 9 }));
    let critical = [9, 0, 0, 0, 1, 0x80, 4, 0, 1, b'a', b':', b'1'];
    assert_eq!(read(&critical), Err(ManifestError::Order { ty: 1, after: 9 }), "critical or not");
    assert_eq!(read(&[9, 0, 1, 0, 5, 0, 1, 0]), Err(ManifestError::Tlv(9)), "filling is not zero");
    assert_eq!(read(&[9, 0, 5, 0, 5, 0, 0, 0]), Err(ManifestError::Tlv(9)), "value beyond the body");
    assert_eq!(read(&[9, 0]), Err(ManifestError::Tlv(0)), "half a head");
    assert_eq!(read(&[9, 0x80, 0, 0]), Err(ManifestError::Critical(9)));
    assert_eq!(read(&[9, 0, 0, 0].repeat(64)), Ok(64));
    assert_eq!(read(&[9, 0, 0, 0].repeat(65)), Err(ManifestError::TooManyTlvs));
}

#[test]
fn a_critical_tlv_of_a_known_type_is_read() {
    let node = [1, 0x80, 4, 0, 1, b'a', b':', b'1'];
    let read = Manifest::parse_unverified(&signed(&node)).unwrap();
    assert_eq!(read.nodes, [Node { transport: NodeTransport::Udp, address: "a:1".to_owned() }]);
}

#[test]
fn unreadable_values_are_neither_read_nor_written() {
    for address in ["", "host", ":1", "host:", "host:65536", "host:+1", "a b:1", "ü:1"] {
        let node = Node { transport: NodeTransport::Other(9), address: address.to_owned() };
        let it = Manifest { nodes: vec![node], ..Manifest::default() };
        assert_eq!(it.encode_signed(&online()), Err(ManifestError::Value(1)), "{address:?}");
    }
    let seal = |length: u16| [&[2, 0][..], U16::from(length).as_bytes(), &vec![0; length.into()]].concat();
    assert_eq!(Manifest::parse_unverified(&signed(&seal(32))), Err(ManifestError::Value(2)), "without a key");
    assert!(Manifest::parse_unverified(&signed(&seal(36))).is_ok());
    let witness = |last: u8| [&[3, 0, 33, 0][..], &[0; 32], &[last, 0, 0, 0]].concat();
    assert_eq!(
        Manifest::parse_unverified(&signed(&witness(0xff))),
        Err(ManifestError::Value(3)),
        "not UTF-8"
    );
    assert!(Manifest::parse_unverified(&signed(&witness(b'x'))).is_ok());
}

#[test]
fn a_manifest_is_at_most_64_kib_and_ends_with_its_signatures() {
    let room = MAX_MANIFEST - HEAD_LEN - 4 - 76 - 4;
    let of = |length| Manifest { other: vec![OtherTlv { ty: 9, value: vec![0; length] }], ..sample() };
    let mut largest = of(room);
    (largest.nodes, largest.seal_keys, largest.witnesses) = Default::default();
    assert_eq!(largest.encode_signed(&online()).unwrap().len(), MAX_MANIFEST);
    assert!(matches!(of(room).encode_signed(&online()), Err(ManifestError::TooLong(_))));
    assert_eq!(of(65_536).encode_signed(&online()), Err(ManifestError::Tlv(9)));
    let bytes = sample().encode_signed(&online()).unwrap();
    assert_eq!(Manifest::parse_unverified(&[&bytes[..], &[0]].concat()), Err(ManifestError::Trailing(1)));
    for cut in 0..bytes.len() {
        assert!(Manifest::parse_unverified(&bytes[..cut]).is_err(), "cut to {cut}");
    }
    assert_eq!(Manifest::parse_unverified(&vec![0; MAX_MANIFEST + 1]), Err(ManifestError::TooLong(65_537)));
}

fn any_other() -> impl Strategy<Value = Vec<OtherTlv>> {
    let tlv = (4u16..0x8000, prop::collection::vec(any::<u8>(), 0..30));
    prop::collection::vec(tlv.prop_map(|(ty, value)| OtherTlv { ty, value }), 0..8).prop_map(|mut all| {
        all.sort_by_key(|tlv| tlv.ty);
        all
    })
}

proptest! {
    #[test]
    fn manifests_come_back(
        head in any::<([u8; 8], u32, u32, u64, u16, u16)>(),
        seconds in any::<[u32; 8]>(),
        small in any::<[u16; 5]>(),
        decoys in any::<bool>(),
        ports in prop::collection::vec((any::<u8>(), any::<u16>()), 0..9),
        name in "\\PC{0,20}",
        other in any_other(),
    ) {
        let (service, set, number, time, schema, retention_days) = head;
        let nodes = ports.iter().map(|(transport, port)| {
            Node { transport: NodeTransport::from_number(*transport), address: format!("h.example:{port}") }
        });
        let manifest = Manifest {
            service, set, number, time, schema, retention_days, decoys, other,
            interval_s: seconds[0], fresh_s: seconds[1], too_old_s: seconds[2], embargo_s: seconds[3],
            min_reports: seconds[4], max_wait_s: seconds[5], max_ahead_s: seconds[6],
            client_wait_s: seconds[7],
            min_protocol: small[0], max_keys: small[1], max_keys_per_start: small[2], min_period: small[3],
            max_period: small[4], key_epoch: seconds[0] ^ 1,
            nodes: nodes.collect(),
            seal_keys: vec![],
            witnesses: vec![Witness { key: PublicKey([1; 32]), name }],
        };
        let bytes = manifest.encode_signed(&online()).unwrap();
        prop_assert_eq!(Manifest::parse_verified(&bytes, &online().public()), Ok(manifest));
    }

    #[test]
    fn mangled_bodies_never_panic(tlvs in prop::collection::vec(0u8..5, 0..80)) {
        let bytes = signed(&tlvs);
        if let Ok(read) = Manifest::parse_unverified(&bytes) {
            let known = read.nodes.len() + read.seal_keys.len() + read.witnesses.len();
            prop_assert!(known + read.other.len() <= tlvs.len() / 4);
        }
    }
}
