//! Codes, certificates and JWTs.

use serde_json::Value;
use tekd::authority::{
    Code, CodesKey, Grant, Issuer, KeyDirectory, KeyMaterial, Keyring, Provider, ProviderKey, Registry,
    Standing, Vouched, certificate, jwt, tekmac,
};
use tekd::wire::report::{Outcome, ReportType};

use super::{Keys, array, bytes, document, list, number, outcome, text};

#[test]
fn codes_follow_from_the_key_and_are_read_as_typed() {
    let codes = &document()["codes"];
    let key = CodesKey::new(array(&codes["codes_key"]));
    for batch in list(&codes["batches"]) {
        let secret = key.batch(&array(&batch["nonce"]));
        for code in list(&batch["codes"]) {
            assert_eq!(secret.code(number(&code["index"])).to_text(), text(&code["text"]));
        }
    }
    for vector in list(&codes["typed"]) {
        let read = Code::parse(text(&vector["typed"]).as_bytes()).ok();
        let symbols = read.map(|code| Value::from(code.to_text().replace('-', ""))).unwrap_or_default();
        assert_eq!(symbols, vector["symbols"], "{}", vector["name"]);
    }
}

fn key(material: KeyMaterial, key_id: &Value) -> ProviderKey {
    let key_id = text(key_id).to_owned();
    ProviderKey { material, key_id, not_before: 0, not_after: u64::MAX, revoked: None }
}

/// What the registry says of a grant that was read, as the writer does it.
fn judge(registry: &mut Registry, vector: &Value, set: u32, read: Result<Vouched, Outcome>) -> Outcome {
    for identity in list(&vector["spent"]) {
        let grant = Grant::Certificate { signer: [0; 8], identity: array(identity), until: u64::MAX };
        registry.spend(set, 1, 0, &grant);
    }
    let judged = read.and_then(|vouched| registry.judge_vouched(&vouched, set, number(&vector["now"])));
    let asked = ReportType::from_number(number(&vector["asked"]));
    match judged {
        Err(outcome) => outcome,
        Ok(a) if asked.is_some_and(|asked| asked != a.report_type) => Outcome::Type,
        Ok(a) if a.report_type == ReportType::Negative => Outcome::Type,
        Ok(_) => Outcome::Done,
    }
}

#[test]
fn certificates_hold_or_fail_as_the_vectors_say() {
    let document = document();
    let (service, set) = (array(&document["service"]), number(&document["set"]));
    let group = &document["certificates"];
    for vector in list(&group["cases"]) {
        let name = &vector["name"];
        let mut registry = Registry::default();
        for p in list(&group["providers"]) {
            let mut provider = Provider::new(name.to_string(), 0);
            provider.standing = match text(&p["state"]) {
                "suspended" => Standing::Suspended,
                "revoked" => Standing::Revoked,
                _ => Standing::Active,
            };
            let keys = list(&p["keys"]).iter();
            provider.keys = keys
                .map(|k| key(KeyMaterial::ed25519(&bytes(&k["public"])).expect("a key"), &k["id"]))
                .collect();
            registry.providers.insert(number(&p["provider"]), provider);
        }
        let keys = Keys::of(&vector["keys"]);
        let value = bytes(&vector["value"]);
        let read = certificate::verify(&value, service, &keys.sent(), &Keyring::of(&registry));
        if let (Ok(vouched), Some(identity)) = (&read, vector["identity"].as_str()) {
            assert_eq!(hex::encode(vouched.identity), identity, "{name}");
            assert_eq!(hex::encode(certificate::commitment(&keys.sent())), vector["commitment"], "{name}");
            assert_eq!(vouched.onset_day.unwrap_or(0), number::<u32>(&vector["fields"]["onset"]), "{name}");
        }
        assert_eq!(judge(&mut registry, vector, set, read), outcome(&vector["outcome"]), "{name}");
    }
}

#[test]
fn the_fields_jwts_hold_or_fail_as_the_vectors_say() {
    let document = document();
    let set = number(&document["set"]);
    let group = &document["jwts"];
    for vector in list(&group["tekmac"]) {
        use base64::Engine as _;
        let keys = Keys::of(&vector["keys"]);
        let mac = base64::engine::general_purpose::STANDARD.decode(text(&vector["tekmac"])).expect("base64");
        let holds = tekmac::is_tekmac(&mac, &bytes(&vector["hmac_key"]), &keys.sent());
        let risky = keys.0.iter().any(|k| k.3 != 0);
        assert_eq!(holds, vector["risks"] == true || !risky, "{}", vector["name"]);
    }
    for vector in list(&group["cases"]) {
        let name = &vector["name"];
        let mut registry = Registry::default();
        for issuer in list(&group["issuers"]) {
            let mut provider = Provider::new(name.to_string(), 0);
            let (name, audience) = (text(&issuer["issuer"]).to_owned(), text(&issuer["audience"]).to_owned());
            provider.issuer = Some(Issuer { name, audience, set });
            let material = KeyMaterial::es256(&bytes(&issuer["public"])).expect("a key");
            provider.keys.push(key(material, &issuer["kid"]));
            registry.providers.insert(1, provider);
        }
        let ring = Keyring::of(&registry);
        assert!(ring.ed25519(1, [0; 8]).is_none());
        let keys = Keys::of(&vector["keys"]);
        let read = jwt::verify(&bytes(&vector["value"]), &keys.sent(), &ring);
        if let (Ok(vouched), Some(identity)) = (&read, vector["identity"].as_str()) {
            assert_eq!(hex::encode(vouched.identity), identity, "{name}");
        }
        assert_eq!(judge(&mut registry, vector, set, read), outcome(&vector["outcome"]), "{name}");
    }
}
