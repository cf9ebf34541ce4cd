//! Where AF_XDP cannot be, sockets answer, and it is said why.

use std::process::Command;

use serde_json::Value;
use tekd::service::control::ControlRequest;

use super::network::{Network, SERVER_SIDE, SERVER_V4, inside};
use super::phone::{counted, phone, place};
use super::server::{Place, Server};

/// Starts a server at `place`, which has to answer through sockets and to say `why` in one line.
fn answered_by_sockets(place: &Place, why: &[&str]) -> Server {
    let server = place.start();
    let mut phone = phone(&server, SERVER_V4);
    let info = phone.info();
    assert_eq!(phone.ask(&info).len(), 64);
    assert_eq!(counted(&server, "udp", "answered"), 1);
    let log = place.log();
    let told = log.lines().filter(|line| line.contains("AF_XDP is not used, sockets answer"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(why.iter().all(|part| told[0].contains(part)), "{}", told[0]);
    server
}

/// What `health` says of AF_XDP.
fn findings(server: &Server) -> Vec<String> {
    let health = server.done(&ControlRequest::Health {});
    let all = health["findings"].as_array().expect("findings");
    let text = |finding: &Value| finding["finding"].as_str().expect("text").to_owned();
    all.iter().filter(|finding| finding["property"] == "xdp").map(text).collect()
}

#[test]
fn what_is_not_permitted_is_told_and_sockets_answer() {
    inside("falling_back::what_is_not_permitted_is_told_and_sockets_answer", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let words = network.at_server();
        let powerless = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"].map(str::to_owned);
        let place = place(network, dir.path(), "powerless").under(&[words, powerless.to_vec()].concat());
        let server = answered_by_sockets(&place, &[SERVER_SIDE, "not permitted", "CAP_NET_ADMIN"]);
        let found = findings(&server);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("sockets answer what comes by tk0: "), "{}", found[0]);
        assert_eq!(server.metric(&format!("tekd_xdp_queues{{interface=\"{SERVER_SIDE}\"}}")), 0.0);
        server.stop();
    });
}

#[test]
fn an_interface_that_another_program_has_is_left_to_it() {
    inside("falling_back::an_interface_that_another_program_has_is_left_to_it", |network: &Network| {
        let dir = tempfile::tempdir().expect("a directory");
        let first = place(network, dir.path(), "first").start();
        let second = place(network, dir.path(), "second");
        let second = answered_by_sockets(&second, &["another XDP program", "`ip link set dev tk0 xdp off`"]);
        second.stop();
        let mut phone = phone(&first, SERVER_V4);
        let info = phone.info();
        phone.ask(&info);
        assert_eq!(counted(&first, "xdp", "answered"), 1, "the first has what it had");
        first.stop();
    });
}

#[test]
fn an_interface_that_is_not_there_costs_only_itself() {
    inside("falling_back::an_interface_that_is_not_there_costs_only_itself", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let server = place(network, dir.path(), "origin").with("--xdp", "nosuch0,tk0").start();
        let mut phone = phone(&server, SERVER_V4);
        let info = phone.info();
        phone.ask(&info);
        assert_eq!(counted(&server, "xdp", "answered"), 1);
        let found = findings(&server);
        assert!(found.len() == 1 && found[0].contains("`ip link` lists"), "{found:?}");
        server.stop();
        let auto = place(network, dir.path(), "auto").with("--xdp", "auto");
        let server = answered_by_sockets(&auto, &["no network card"]);
        assert_eq!(findings(&server), Vec::<String>::new(), "nobody asked for one by name");
        server.stop();
    });
}

#[test]
fn an_interface_with_another_on_top_is_left_to_the_kernel() {
    inside("falling_back::an_interface_with_another_on_top_is_left_to_the_kernel", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let words = network.at_server();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["ip", "link", "add", "mv0", "link", SERVER_SIDE, "type", "macvlan"]);
        if !command.status().expect("ip runs").success() {
            return eprintln!("skipped: this kernel puts no interface on top of another");
        }
        let place = place(network, dir.path(), "origin");
        answered_by_sockets(&place, &[SERVER_SIDE, "has another interface on top of it: mv0"]).stop();
    });
}

#[test]
fn frames_are_copied_where_the_driver_offers_nothing_else() {
    inside("falling_back::frames_are_copied_where_the_driver_offers_nothing_else", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let words = [network.at_server(), vec!["env".into(), "TEKD_LISTEN_XDP_MODE=zero-copy".into()]];
        let place = place(network, dir.path(), "origin").under(&words.concat());
        let server = place.start();
        let mut phone = phone(&server, SERVER_V4);
        let info = phone.info();
        phone.ask(&info);
        assert_eq!(counted(&server, "xdp", "answered"), 1);
        assert!(place.log().contains("the driver of tk0 offers AF_XDP no frames without a copy"));
        server.stop();
    });
}
