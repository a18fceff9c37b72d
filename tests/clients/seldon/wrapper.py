"""Seldon's wrapper as it is, but listening on loopback only: it knows no setting for that."""

import socket
import sys

import grpc._server
from seldon_core.microservice import main

bind, add_port = socket.socket.bind, grpc._server._Server.add_insecure_port


def bind_on_loopback(self, address):
    return bind(self, ("127.0.0.1", address[1]) if self.family == socket.AF_INET else address)


def add_port_on_loopback(self, address):
    return add_port(self, f"127.0.0.1:{address.rpartition(':')[2]}")


socket.socket.bind = bind_on_loopback
grpc._server._Server.add_insecure_port = add_port_on_loopback
sys.exit(main())
