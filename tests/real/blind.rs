//! Node blindness: who carries a report to the origin sees nothing of it, and a public node holds nothing of
//! what only the origin may know, neither in its files nor in its memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekd::service::control::ControlRequest;

use super::answers::until_serial;
use super::asker::Asker;
use super::keys::keys;
use super::server::{Place, Server};
use super::tree::contents;

/// Content types of TLS, and the longest record (RFC 8446, 5.1).
const TLS_CONTENT: std::ops::RangeInclusive<u8> = 20..=23;
const TLS_APPLICATION_DATA: u8 = 23;
const TLS_RECORD: usize = (1 << 14) + 256;
/// Bytes of memory looked at in one piece.
const PIECE: usize = 4 << 20;
/// Pieces overlap by more than anything that is looked for.
const OVERLAP: usize = 256;

/// Everything that went one way over one connection.
type Recording = Arc<Mutex<Vec<u8>>>;

/// Passes connections on to a server and keeps what goes by. It ends with the process.
struct TcpRelay {
    address: SocketAddr,
    recordings: Arc<Mutex<Vec<Recording>>>,
}

impl TcpRelay {
    fn to(server: SocketAddr) -> TcpRelay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an ephemeral port");
        let address = listener.local_addr().expect("bound");
        let recordings: Arc<Mutex<Vec<Recording>>> = Arc::default();
        let kept = Arc::clone(&recordings);
        std::thread::spawn(move || {
            for front in listener.incoming().map_while(Result::ok) {
                let back = TcpStream::connect(server).expect("the server listens");
                let ends = [front.try_clone(), back.try_clone()].map(|end| end.expect("a socket"));
                let [front_again, back_again] = ends;
                for (from, to) in [(front, back_again), (back, front_again)] {
                    let recording = Recording::default();
                    kept.lock().expect("nobody panics").push(Arc::clone(&recording));
                    std::thread::spawn(move || pass_on(from, to, &recording));
                }
            }
        });
        TcpRelay { address, recordings }
    }

    fn seen(&self) -> Vec<Vec<u8>> {
        let recordings = self.recordings.lock().expect("nobody panics");
        recordings.iter().map(|r| r.lock().expect("nobody panics").clone()).collect()
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, recording: &Recording) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        recording.lock().expect("nobody panics").extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Asserts that bytes are TLS records and nothing else; how many of them carry data.
#[track_caller]
fn records(mut bytes: &[u8]) -> usize {
    let mut carrying = 0;
    while let [kind, major, minor, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(TLS_CONTENT.contains(kind) && (*major, *minor) <= (3, 3) && *major == 3, "{kind} {major}");
        assert!(length <= TLS_RECORD);
        carrying += usize::from(*kind == TLS_APPLICATION_DATA);
        bytes = rest.get(length..).unwrap_or_default();
    }
    carrying
}

/// Runs `tekctl` as a phone, and returns what it printed.
#[track_caller]
fn phone(server: SocketAddr, trust: &Path, words: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekctl"));
    command.args(["--json", "--transport", "tls", "--server", &server.to_string(), "--trust"]).arg(trust);
    let output = command.args(words).output().expect("tekctl can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("one document, not {e}: {said}"))
}

/// What nobody but phone and origin may know, in every form that might be written.
fn forms(secrets: &[Vec<u8>], code: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = secrets.to_vec();
    forms.extend(secrets.iter().map(|s| hex::encode(s).into_bytes()));
    forms.extend(secrets.iter().map(|s| STANDARD.encode(s).trim_end_matches('=').as_bytes().to_vec()));
    forms.extend([code.as_bytes().to_vec(), code.replace('-', "").into_bytes()]);
    forms
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    holds_any(bytes, &[needle])
}

/// Whether any of the needles is in the bytes, all looked for at once.
fn holds_any<N: AsRef<[u8]>>(bytes: &[u8], needles: &[N]) -> bool {
    let mut first = [false; 256];
    needles.iter().for_each(|needle| first[usize::from(needle.as_ref()[0])] = true);
    let begins = |at: usize| needles.iter().any(|needle| bytes[at..].starts_with(needle.as_ref()));
    (0..bytes.len()).any(|at| first[usize::from(bytes[at])] && begins(at))
}

/// Calls `look` with all memory of a process that can be read, in pieces that overlap.
fn memory(pid: u32, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut piece = vec![0; PIECE];
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vvar_vclock]") {
            continue;
        }
        let bound = |text: &str| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (begin, end) = range.split_once('-').ok_or_else(|| io::Error::other(line.to_owned()))?;
        let (mut at, end) = (bound(begin)?, bound(end)?);
        while at < end {
            let length = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
            // What was unmapped meanwhile is no memory of it any more.
            let Ok(()) = memory.read_exact_at(&mut piece[..length], at) else { break };
            look(&piece[..length]);
            at += if length == PIECE { PIECE - OVERLAP } else { length } as u64;
        }
    }
    Ok(())
}

/// A code of a new provider.
fn code(origin: &Server) -> String {
    let (key, issuer, audience) = (None, None, None);
    let clinic = ControlRequest::ProviderAdd { name: "clinic".to_owned(), key, issuer, audience, set: 1 };
    let provider = origin.done(&clinic)["provider"].as_u64().expect("a number");
    let codes = origin.done(&ControlRequest::CodesIssue {
        provider: u32::try_from(provider).expect("a small number"),
        set: 1,
        count: 1,
        lifetime_s: 86_400,
        report_type: "confirmed".to_owned(),
        onset_day: None,
    });
    codes["codes"][0].as_str().expect("a code").to_owned()
}

#[test]
fn neither_who_carries_a_report_nor_a_public_node_holds_anything_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    origin.release();
    let node = Place::new(dir.path(), "node").following(origin.tls(), &origin.ready.trust).start();
    let code = code(&origin);
    let mine = keys(72, 2);
    let (public, embargoed) = (mine[0].as_bytes(), mine[1].as_bytes());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let line = |key: &[u8], ago: u64| {
        let start = (now / 86_400 - ago) * 144;
        json!({ "key": STANDARD.encode(key), "rollingStartNumber": start, "rollingPeriod": 144 })
    };
    let file = dir.path().join("keys.json");
    let document = json!({ "temporaryExposureKeys": [line(public, 2), line(embargoed, 0)] });
    std::fs::write(&file, document.to_string()).expect("a file");

    let relay = TcpRelay::to(origin.tls());
    let words = ["submit", "--code", &code, "--keys", file.to_str().expect("text")];
    let told = phone(relay.address, &origin.ready.trust, &words);
    assert_eq!((&told["outcome"], &told["keys"]["embargo"]), (&json!("done"), &json!(1)), "{told}");
    let of = |field: &str| hex::decode(told[field].as_str().expect("hex")).expect("hex");
    let (report, secret) = (of("report"), of("secret"));
    let receipt = of("receipt");
    let words =
        ["report-status", told["report"].as_str().unwrap(), "--secret", told["secret"].as_str().unwrap()];
    assert_eq!(phone(relay.address, &origin.ready.trust, &words)["outcome"], "done");

    let only_origin = forms(&[report, secret, embargoed.to_vec()], &code);
    let mut hidden = only_origin.clone();
    hidden.extend([public.to_vec(), receipt[..128].to_vec()]);
    let seen = relay.seen();
    assert_eq!(seen.len(), 4, "two connections, both ways");
    for bytes in &seen {
        assert!(records(bytes) > 0 && bytes.len() > 4096, "{} bytes", bytes.len());
        assert!(!holds_any(bytes, &hidden));
    }

    let (serial, _) = origin.release();
    until_serial(&mut Asker::new(node.udp(), origin.trust().service), serial);
    let mut found = false;
    for (name, _) in contents(&node.place.data).iter().filter(|(_, digest)| digest.is_some()) {
        let bytes = std::fs::read(node.place.data.join(name)).expect("a file");
        assert!(!holds_any(&bytes, &only_origin), "in {}", name.display());
        found |= holds(&bytes, public);
    }
    assert!(found, "the released key is there: the right files were looked at");
    blind_memory(&node, &only_origin, public);
    node.stop();
}

/// Nothing hidden is in the memory of a node, and what is public is.
fn blind_memory(node: &Server, hidden: &[Vec<u8>], public: &[u8]) {
    let (mut found, mut looked) = (false, 0);
    let read = memory(node.ready.pid, |piece| {
        assert!(!holds_any(piece, hidden), "in the memory of a public node");
        found |= holds(piece, public);
        looked += piece.len();
    });
    match read {
        Ok(()) => {
            println!("looked at {looked} bytes of memory");
            assert!(found, "the released key is there: the right memory was looked at");
        }
        // Looking at a child is what a system may forbid, and all that may keep this from being seen.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("SKIPPED: the memory of the node was not looked at, the system forbids it: {e}");
        }
        Err(e) => panic!("the memory of the node can be read: {e}"),
    }
}
