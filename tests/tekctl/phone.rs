//! What a phone's author reads: of a report that was made, of one that was not, of one that is taken back.

use serde_json::Value;

use super::reference::key_file;
use super::server::{Run, Server, tekctl, text};

/// A phone's command over TLS as people give it: lines, not documents.
fn say(server: &Server, line: &str) -> Run {
    let address = server.ready.tls.expect("TLS is on").to_string();
    let mut words = vec!["--server", &address, "--trust", text(&server.ready.trust), "--transport", "tls"];
    words.extend(line.split_ascii_whitespace());
    tekctl(&words)
}

#[test]
fn an_author_is_told_what_holds_and_what_to_do() {
    let server = Server::start();
    server.operate("provider add Clinic").ok();
    let issued = server.operate("codes issue --provider 1 --count 1").ok();
    let code = issued["codes"][0].as_str().expect("a code");
    let keys = key_file(&server, "keys.json", 3);
    let submit = format!("submit --code {code} --keys {keys}");

    let early = say(&server, &submit);
    assert_eq!((early.code, &*early.stdout), (4, ""), "{early:?}");
    assert!(
        early.stderr.contains("no release yet") && early.stderr.contains("nothing was sent"),
        "{early:?}"
    );

    server.operate("release now --set 1").ok();
    let made = server.tls(&submit).ok();
    let own = format!(
        "{} --secret {}",
        made["report"].as_str().expect("hex"),
        made["secret"].as_str().expect("hex")
    );
    let stands = say(&server, &format!("report-status {own}"));
    assert!(stands.stdout.contains("nothing is published yet: 3 keys, of these"), "{stands:?}");

    let spent = say(&server, &submit);
    assert_eq!((spent.code, &*spent.stdout), (4, ""), "{spent:?}");
    assert!(spent.stderr.contains("spent: the grant was used for another report"), "{spent:?}");
    let spent = server.tls(&submit).ended(4);
    assert_eq!((&spent["report"], &spent["secret"]), (&Value::Null, &Value::Null));

    let cancelled = say(&server, &format!("report-cancel {own}"));
    assert!(cancelled.code == 0 && !cancelled.stdout.contains("keep it"), "{cancelled:?}");
    let stands = say(&server, &format!("report-status {own}"));
    assert!(stands.stdout.contains("taken back before any of its 3 keys was published"), "{stands:?}");
    let other = say(&server, &own.replacen("", "report-status ", 1).replace(&own[50..60], "0000000000"));
    assert_eq!((other.code, &*other.stdout), (4, ""), "{other:?}");
}
