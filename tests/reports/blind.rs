//! Node blindness, frame by frame: who passes a report on sees that a frame went by, and nothing of it.

use std::sync::{Arc, Mutex};

use tekd::client::DummyForm;
use tekd::wire::report::{GRANT_CODE, Outcome, ReportType};

use super::world::{Core, MORNING, World, amend, is_sealed, submit};

const FRAME: usize = 4096;

/// Whether it was sealed, a question, its answer.
type Exchange = (bool, Vec<u8>, Vec<u8>);

#[test]
fn who_passes_reports_on_sees_frames_of_one_size_and_nothing_in_them() {
    let mut world = World::new(51);
    let provider = world.provider("clinic");
    let code = world.codes(provider, 2, ReportType::Confirmed).codes[0];
    let author = world.dice.author();
    let (keys, more) = (world.dice.days(MORNING, 1, 13), world.dice.days(MORNING, 1, 1));
    let form = DummyForm { grant: (GRANT_CODE, b"0123-4567-89AB"), keys: 14, key_len: 16 };
    let seen: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let relay = move |core: &mut Core, question: &[u8]| {
        let answer = core.answer(question);
        let back = answer.clone().unwrap_or_default();
        notes.lock().expect("one thread").push((is_sealed(question), question.to_vec(), back));
        answer
    };
    let (mut client, now) = (world.client_through(relay), world.now());
    let outcomes = [
        submit(&mut client, now, &author, code, &keys).outcome,
        amend(&mut client, now, &author, &more).outcome,
        client.report_status(now, &author).expect("an answer").outcome,
        client.dummy(now, &form).expect("an answer").outcome,
        client.cancel(now, &author).expect("an answer").outcome,
        submit(&mut client, now, &world.dice.author(), code, &keys).outcome,
    ];
    let dummy = outcomes[3];
    let done = Outcome::Done;
    assert_eq!(outcomes, [done, done, done, dummy, done, Outcome::Spent]);

    let seen = seen.lock().expect("one thread");
    let sealed: Vec<_> = seen.iter().filter(|(sealed, ..)| *sealed).collect();
    assert_eq!(sealed.len(), 6, "each was asked once");
    for (_, question, answer) in &sealed {
        assert_eq!((question.len(), answer.len()), (FRAME, FRAME));
    }
    let authored = world.core().set().report(&author.report).expect("stored").1.authored.clone();
    let told = authored.expect("a phone made it").told;
    let text = code.to_text();
    let mut secrets: Vec<&[u8]> =
        vec![&author.report, &author.secret, text.as_bytes(), &told.content, form.grant.1];
    let (bare, hash) = (text.replace('-', ""), author.secret_hash());
    secrets.extend([bare.as_bytes(), &hash]);
    secrets.extend(keys.iter().chain(&more).map(|k| k.key.as_bytes()));
    for (_, question, answer) in seen.iter() {
        for secret in &secrets {
            let holds = |bytes: &[u8]| bytes.windows(8).any(|w| w == &secret[..8]);
            assert!(!holds(question) && !holds(answer));
        }
    }
    // The parts of two frames that are equal are those of the header; what is sealed is fresh each time.
    for (i, (_, one, back)) in sealed.iter().enumerate() {
        for (_, other, back_of_other) in &sealed[i + 1..] {
            assert!(differ(&one[80..112], &other[80..112]), "the encapsulation");
            assert!(differ(&one[1232..], &other[1232..]), "the ciphertext");
            assert!(differ(&back[64..], &back_of_other[64..]), "the answer");
        }
    }
}

/// Whether two byte strings have no 8 bytes in common at one place.
fn differ(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.windows(8).zip(other.windows(8)).all(|(a, b)| a != b)
}
