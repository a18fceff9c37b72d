//! gRPC: where it is spoken.

use std::net::{SocketAddr, TcpListener};

use crate::connection::Connection;
use crate::repository;
use crate::running_server::{RunningServer, portend};

/// A server with these settings of the port for gRPC alone.
fn serve(grpc_port: &str) -> RunningServer {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]);
    command.env("PORTEND_GRPC_PORT", grpc_port);
    RunningServer::start(command)
}

/// The address of the port for gRPC alone, as it is told.
fn grpc_address(server: &RunningServer) -> Option<SocketAddr> {
    let log = server.log();
    let address = log.lines().find_map(|line| line.strip_prefix("listening for gRPC alone on http://"));
    address.map(|address| address.parse().unwrap())
}

#[test]
fn the_port_for_grpc_alone_has_no_other_routes() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = serve(&free.to_string());
    let address = grpc_address(&server).unwrap();
    assert_eq!(address.port(), free);
    for target in ["/ready", "/deployments", "/v2"] {
        let answer = Connection::open(address).ask("GET", target, &[], b"");
        let expected = "{\"message\":\"this port speaks gRPC alone: the other protocols are on the server's main port\"}";
        assert_eq!((answer.status, answer.text()), (404, expected), "{target}");
    }
    server.stop();
    let server = serve("0");
    assert_eq!(grpc_address(&server), None);
    server.stop();
}

#[test]
fn a_port_for_grpc_that_is_taken_ends_the_start_where_it_was_asked_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0", "--grpc-port", &port]);
    let ended = command.output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && told.contains("--grpc-port") && told.contains(&port), "{told}");
}
