#!/usr/bin/env python3
"""Call Portend from programs that OpenTelemetry's SDK traces, and read what a collector gets with its own messages.

    python traces.py PORTEND
"""

import gzip
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import context
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from server import DEMO, Connection, expect, serving

PREDICTIONS = "/deployments/fraud/predictions"
PARTS = ["queue", "decode", "score", "encode"]


class Collector(BaseHTTPRequestHandler):
    """Takes spans as the protocol has it, and keeps them."""

    protocol_version = "HTTP/1.1"
    spans, resources, wrong = [], [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if (self.path, self.headers["Content-Type"]) != ("/v1/traces", "application/x-protobuf"):
            self.wrong.append(f"{self.path} {self.headers}")
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(told(resource_spans.resource.attributes))
            for scope in resource_spans.scope_spans:
                self.spans.extend(scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def told(attributes):
    values = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}
    expect("each attribute stands once", len(values), len(attributes))
    return values


def in_trace(trace_id):
    return [span for span in Collector.spans if int.from_bytes(span.trace_id, "big") == trace_id]


def waited(trace_id, count):
    end = time.monotonic() + 20
    while len(in_trace(trace_id)) < count and time.monotonic() < end:
        time.sleep(0.05)
    return in_trace(trace_id)


def ask(connection, propagator, sampler, rows):
    """Ask for predictions within a span of a client; gives that span, and its times."""
    tracer = TracerProvider(sampler=sampler).get_tracer("client")
    with tracer.start_as_current_span("ask") as span:
        headers = {}
        propagator.inject(headers, context.get_current())
        before = time.time_ns()
        status, _, _ = connection.post(PREDICTIONS, rows, Content_Type="text/csv", **headers)
        expect("status", status, 200)
        return span.get_span_context(), before, time.time_ns()


def check_traced(what, connection, propagator, rows):
    caller, before, after = ask(connection, propagator, ALWAYS_ON, rows)
    spans = waited(caller.trace_id, 1 + len(PARTS))
    by_name = {span.name: span for span in spans}
    name = "POST /deployments/{id}/predictions"
    expect(f"{what}: the spans", sorted(by_name), sorted([name, *PARTS]))
    server = by_name[name]
    expect(f"{what}: its parent", int.from_bytes(server.parent_span_id, "big"), caller.span_id)
    expect(f"{what}: its kind", server.kind, Span.SPAN_KIND_SERVER)
    expect(f"{what}: its status", server.status.code, Status.STATUS_CODE_UNSET)
    attributes = told(server.attributes)
    for key, value in {
        "http.request.method": "POST",
        "http.route": "/deployments/{id}/predictions",
        "http.response.status_code": 200,
        "url.path": PREDICTIONS,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": connection.port,
        "user_agent.original": "client-test",
        "portend.model": "fraud",
        "portend.protocol": "pps",
        "portend.rows": rows.count("\n") - 1,
    }.items():
        expect(f"{what}: {key}", attributes.get(key), value)
    inside = [server.start_time_unix_nano]
    for part in PARTS:
        span = by_name[part]
        expect(f"{what}: parent of {part}", span.parent_span_id, server.span_id)
        inside += [span.start_time_unix_nano, span.end_time_unix_nano]
    inside.append(server.end_time_unix_nano)
    expect(f"{what}: one part after the other", inside, sorted(inside))
    # one clock for both, read twice at each end
    expect(f"{what}: within the call", before - 10**6 <= inside[0] and inside[-1] <= after + 10**6, True)


def main():
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    rows = (DEMO / "fraud-scoring.csv").read_text()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,team=a%20b",
        "OTEL_SERVICE_NAME": "scores",
    }
    with serving(sys.argv[1], DEMO, **settings) as port:
        connection = Connection(port)
        connection.post(PREDICTIONS, rows, Content_Type="text/csv")  # until the model is there
        for what, propagator in {
            "W3C": TraceContextTextMapPropagator(),
            "B3 in one header": B3SingleFormat(),
            "B3 in several headers": B3MultiFormat(),
        }.items():
            check_traced(what, connection, propagator, rows)
            caller, _, _ = ask(connection, propagator, ALWAYS_OFF, rows)
            later, _, _ = ask(connection, propagator, ALWAYS_ON, rows)
            waited(later.trace_id, 1 + len(PARTS))
            expect(f"{what}: a trace that its caller does not keep", in_trace(caller.trace_id), [])
        last, _, _ = ask(connection, TraceContextTextMapPropagator(), ALWAYS_ON, rows)
    expect("the last spans of a server that stopped", len(in_trace(last.trace_id)), 1 + len(PARTS))
    expect("what is wrong about requests to the collector", Collector.wrong, [])
    for resource in Collector.resources:
        for key, value in {
            "service.name": "scores",
            "deployment.environment.name": "test",
            "team": "a b",
            "telemetry.sdk.name": "opentelemetry",
        }.items():
            expect(key, resource.get(key), value)
    print("traces: ok,", len(Collector.spans), "spans")


main()
