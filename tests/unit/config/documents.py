"""Documents that the tests of the configuration share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.config.compile.snapshot import Configured, compile_document
from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError

MINIMAL = """\
listen: 127.0.0.1:8080
endpoints: [http://127.0.0.1:9001, http://127.0.0.1:9002]
"""

# Every key, at a value that is not its default. Files are made by `write_full`.
FULL = """\
x-shared: &headers
  set: {X-Set: one}

workers: 3
shutdown_deadline: 1m30s
request_log:
  {to: ./requests.log, format: combined, sample: 0.5, hide_query: token, clients: network}
traces:
  collector: http://collector:4318
  sample: 0.5
  errors: false
  slower_than: 2s
  service_name: shop
  headers_file: headers
metrics: {collector: "http://collector:4318", every: 30s, service_name: shop, headers_file: headers}
prompt_memory: 64MiB
via: edge
tenants:
  acme:
    keys:
      ci: {sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
      app:
        key: a-key-of-at-least-32-characters-in-all
        expires: "2027-01-31"
        revoked: true
        models: big
        limits: {requests: 5, per: second}
        budgets: {requests: 100, per: ever}
    limits:
      - {requests: 60, per: minute, burst: 0.5}
      - {tokens: 100000, per: day, by: [key, user], reserve: expected}
      - {concurrent: 8, by: model}
    budgets:
      - {cost: 50, per: week, by: key, reserve: expected}
      - {bytes: 1GiB, per: day}
    certificates: acme.example
    models: [big, small]
    aliases: {gpt: big}
    priority: batch
    weight: 2
tenants_directory: tenants
jwt:
  - issuer: https://login.example
    audience: [penstock, other]
    jwks: https://login.example/keys
    algorithms: ES384
    tenant_claim: org
    name_claim: email
    leeway: 5s
    refresh: 1m
  - {issuer: other, audience: penstock, jwks_file: keys.json}
prices: {big: {input: 1.5, output: 6, cached: 0.5}}
error_pages: {statuses: 4xx, files: page.html, text: lost}
admin:
  address: 0.0.0.0:9901
  token: an-admin-token-of-some-length

listeners:
  public:
    address: "[::1]:8443"
    tls:
      certificates:
        - certificate: server.pem
          key: server.key
          server_names: [www.example.com, "*.Example.com"]
      client_ca_file: ca.pem
      client_certificate: request
      client_certificate_header: X-Client-DER
      client_certificate_chain: true
      crl_file: crl.pem
      cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256]
    trusted_proxies: [10.0.0.0/8, 192.0.2.1]
    timeouts:
      client_headers: 11s
      client_body_idle: 31s
      keep_alive_idle: 76s
      client_write_idle: 61s
      tls_handshake: 250ms
    limits:
      header_bytes: 16KiB
      header_count: 50
      target_bytes: 4KiB
      body_bytes: 8MiB
      body_rate: 100
      connections: 1000
      connections_per_address: 10
      requests_per_connection: 100
    backlog: 128
    merge_slashes: true
    http2: {streams: 50, connection_bytes: 512KiB}
    allow: [10.0.0.0/8, "2001:db8::/32"]
    deny: 10.6.6.6
  line:
    address: "[::1]:8444"
    protocol: tls-passthrough
    trusted_proxies: 10.0.0.0/8
    proxy_protocol: require
  mail:
    address: unix:/tmp/mail.sock
    mode: "0600"
    pool: relayed
    tls: {certificates: {certificate: server.pem, key: server.key}, minimum_version: 1.3}
  arena:
    address: "[::1]:8445"
    pool: arena
    limits: {sessions: 1000, amplification: 5, datagrams_per_s: 200, datagram_bytes_per_s: 1MiB}
    trusted_proxies: 10.0.0.0/8
    proxy_protocol: {mode: require, datagrams: first}
  plain:
    address: "[::1]:8446"
    http2: off
  fetched:
    address: "[::1]:8447"
    tls:
      acme:
        names: [shop.example, www.shop.example]
        email: operator@shop.example
        directory: https://authority.example/directory
        ca_file: ca.pem
        challenge: tls-alpn-01
        agree_terms: true

routes:
  - name: named
    match: {server_names: "*.Mail.example.com", sources: 192.0.2.0/24}
    pool: relayed
  - name: chat
    match:
      listeners: public
      hosts: [API.example.com, "*.api.example.com"]
      path_prefix: /v1
      methods: [get, POST]
      headers:
        X-Tier: gold
        X-Trace: {present: false}
        X-Both: [{prefix: a}, {regex: ".*z", invert: true}]
    pools: {stable: 95, canary: 5}
    mirror: {pool: canary, share: 0.5}
    rewrite: {replacement: /api}
    request_headers:
      - remove: X-Gone
        add: {X-Many: [a, b]}
      - *headers
    response_headers:
      add: {X-Out: 1}
    compression: on
    error_pages: [{statuses: [500, 5xx], text: broken, replace_endpoint_answers: true}]
    tenants: optional
    forward_auth:
      pool: canary
      path: /verify
      pass_headers: X-User
      tenant_header: X-Tenant
      user_header: X-Person
      timeout: 1s
      cache: 5s
    priority: 5
    limits: {input_tokens: 9, per: hour, by: "header:X-App"}
    budgets: {output_tokens: 9}
  - name: old
    match: {path_regex: "/old/.*"}
    redirect: {status: 301, scheme: https, host: new.example.com, port: 8443, path: /moved}
  - name: substituted
    match: {path: /u}
    rewrite: {regex: "^/(u)", replacement: '/users/\\1'}
    upgrades: [WebSocket, own]
    pool: canary
  - name: staff
    match: {path: /staff}
    pool: canary
    basic_auth: {file: users, realm: staff, user_header: X-User}
  - name: health
    grpc_service: grpc.health.v1.Health
  - name: nothing
    respond: {status: 404, body: "not here\\n", content_type: text/markdown}

pools:
  stable:
    kind: llm
    engine:
      kind: generic
      interval: 2s
      timeout: 500ms
      silent_after: 10s
      port: 9090
      path: /custom
      headers: {Authorization: Bearer x}
      kv_tokens: 100000
      orca: true
      slots: pin
      metrics: {running: app_running, waiting: app_waiting, kv_usage: app_cache}
      kv_events: {port: 6000, replay_port: 6001, topic: kv}
    discover:
      - dns:
          name: _llm._tcp.gpu.internal
          record: SRV
          servers: ["10.0.0.53:5353"]
          least_ttl: 2s
          most_ttl: 30s
          timeout: 1s
        scheme: https
        weight: 2
        zone: eu-2
        models: big
        priority: 4
        backup: true
        max_endpoints: 50
      - file: {path: targets.json, interval: 2s}
        port: 8000
      - docker: {labels: app=llm, socket: /run/docker.sock, network: front, interval: 3s}
        port: 8000
      - kubernetes:
          service: llm
          namespace: ai
          port_name: http
          family: IPv6
          server: https://k8s.internal:6443
          token_file: token
          ca_file: ca.pem
      - kubernetes: {selector: app=llm, kubeconfig: kubeconfig, context: lab}
      - consul:
          service: llm
          url: https://consul.internal:8501
          tag: live
          datacenter: east
          headers: {X-Consul-Token: abc}
          ca_file: ca.pem
      - http:
          url: https://inventory.internal/targets
          interval: 10s
          timeout: 2s
          headers: {Authorization: Bearer abc}
          ca_file: ca.pem
    endpoints:
      - https://10.0.0.1:8443
      - url: http://10.0.0.2:8000/openai
        name: second
        headers: {Authorization: Bearer own}
        kv_events: {port: 5600}
        weight: 2.5
        max_in_flight: 64
        backup: true
        priority: 3
        zone: eu-1
        models: [big, small]
    models:
      discover: 1m
      aliases: {chat: {big: 9, small: 1}, cheap: small}
      fallbacks: {big: small}
      default: cheap
      answers: asked
    usage: asked
    malformed: refuse
    kv_transfers: pass
    request_buffer: 128KiB
    prompt_bytes: 1MiB
    policy: {name: tests.unit.config.policy:Keyed, depth: 7}
    shadow: [least-request, {name: power-of-two, choices: 3}]
    decisions: {sample: 0.5, keep: 10, max_per_s: 5, file: ./decisions.jsonl}
    hash_key: {header: X-User}
    sticky:
      cookie: where
      keys: [0123456789abcdef, fedcba9876543210]
      ttl: 1h
      path: /v1
      same_site: Strict
      secure: true
      http_only: false
      when_full: elsewhere
    drain: {sticky: move, deadline: 10m}
    host_header: endpoint
    request_headers: {set: {X-In: "1"}}
    response_headers: {remove: Server}
    error_pages: {statuses: 503, files: [page.json, page.html]}
    compression: {codings: gzip, types: [text/*], minimum_size: 2KiB, private: true}
    timeouts: {connect: 1s, first_byte: 2m, stream_idle: 3m, request: 4m}
    retry:
      attempts: 2
      on_statuses: [503]
      on_connect_failure: false
      on_reset: false
      on_timeout: true
      non_idempotent: true
      generations: false
      budget_share: 0.1
      budget_min_per_s: 1
    health_check:
      kind: http
      method: HEAD
      path: /health?deep=1
      host: health.example.com
      headers: {X-Check: "yes"}
      expect_statuses: [200, 204-206, 3xx]
      expect_body: ok
      port: 8081
      interval: 10s
      fast_interval: 2s
      timeout: 1s
      rise: 1
      fall: 5
      jitter: 0.2
      initial: down
    agent_check: {port: 9777, send: "state\n", interval: 3s, timeout: 1500ms}
    outlier:
      enabled: false
      split_local_failures: true
      consecutive_failures: 6
      consecutive_gateway_failures: 3
      consecutive_local_failures: 4
      failure_share: 0.5
      local_failure_share: 0.4
      failure_share_min_requests: 60
      success_rate_stdev_factor: 2
      local_success_rate_stdev_factor: 3
      success_rate_min_endpoints: 4
      success_rate_min_requests: 90
      interval: 11s
      base_ejection: 31s
      max_ejection: 301s
      max_ejected_share: 0.2
    circuit_breaker: {failures: 7, open: 4s, max_open: 50s, trials: 2}
    admission:
      limit: {name: gradient2, minimum: 4}
      queue:
        length: 50
        timeout: 3s
        newest_first_above: 0.5
        while_down: wait
        patience: 2s
        prefix_credit: 1000
        codel: {target: 6ms, interval: 110ms}
      throttle: {k: 1.5, window: 1m}
      success_rate: {threshold: 0.9, aggression: 2, window: 20s, max_refusal: 0.7, min_rate: 5}
      shedding: {levels: 64, mean_wait: 30ms}
      priority_header: X-Priority
      priority_clients: 10.9.0.0/16
      priorities: {interactive: 0, batch: 100}
      default_priority: 32
    limits: {requests: 10, per: second, by: address}
    budgets: {requests: 9}
    slow_start: {window: 30s, aggression: 2, min_share: 0.2}
    forecast: {method: holt-winters, step: 30s, seasons: [12h, 24h], horizon: 30m, lead: 90s}
    scale:
      max: 9
      min: 2
      mode: advise
      process: {command: "engine --port {port}", ports: 9000-9009, kill_after: 1m}
      concurrency: 8
      max_in_flight: 9
      late: 0.01
      spare: 0.1
      quantile: 0.8
      start_time: 30s
      start_quantile: 0.5
      start_timeout: 2m
      cool_down: 1m
      step_up: 3
      step_down: 1
      idle: 1m
      drain: 1m
      interval: 1s
      windows: {days: mon, begin: "08:30", end: "20:00", min: 3, max: 8}
    panic_threshold: 0.5
    connections: {max_idle: 10, idle_timeout: 20s, max_requests: 1000, response_header_bytes: 32KiB}
    tls:
      verify: false
      ca_file: ca.pem
      server_name: inner.example.com
      certificate: server.pem
      key: server.key
  canary:
    endpoints: http://10.0.1.1:8000
    policy: {name: prequal, answers: asked}
    probe: {path: "/rif?now", timeout: 100ms}
  calls:
    endpoints: [h2c://10.0.3.1:50051, https://10.0.3.2]
    http2: auto
    timeouts: {http2_connection_age: 10m}
    health_check: {kind: grpc, service: shop.Cart}
    retry: {on_grpc_statuses: [unavailable, 8]}
  engines:
    kind: llm
    endpoints: http://10.0.4.1:8000
    scale: {max: 4, ttft: 1s, token_time: 50ms, publish: {keda: "0.0.0.0:9910"}}
    timeouts:
      first_token: 5s
      token: 20s
      first_token_header: {name: X-First-Token, floor: 2s, ceiling: 30s}
    hedge: {after: p99, budget_share: 0.02}
    admission: {queue: {length: 9, preemptions: 1}}
    resume: {max_resumes: 3, exact: true, token_ids: true, answer_bytes: 2MiB}
    drain: {move_streams: 30s}
    websocket_responses:
      {message_bytes: 4MiB, most: 8, compression: {window_bits: 10, context: false}}
  hedged:
    endpoints: 10.0.5.1:80
    hedge: {after: 800ms}
  halves:
    kind: llm
    endpoints: [http://10.0.5.1:8000, http://10.0.5.2:8000]
    split: {prefill: "10.0.5.1:8000", threshold: 9, lease: 20s}
  meeting:
    kind: llm
    endpoints: [http://10.0.6.1:8000, http://10.0.6.2:8000]
    split:
      prefill: "10.0.6.1:8000"
      connector: sglang
      bootstrap_port: 9000
      bootstrap_ports: {"10.0.6.1:8000": 9001}
  transferring:
    kind: llm
    endpoints: [http://10.0.7.1:8000, http://10.0.7.2:8000]
    split: {prefill: "10.0.7.1:8000", connector: mooncake, engine_ids: {"10.0.7.1:8000": first}}
  relayed:
    endpoints: tcp://10.0.2.1:993
    timeouts: {tunnel_idle: 2h}
    health_check: {kind: tcp, send: 'a\\r\\n\\x00', expect: "hex:2b4f4b"}
    proxy_protocol: v2
  arena:
    endpoints: {url: "udp://10.0.3.1:7101", quic_server_ids: ["hex:00000001", s002]}
    quic_connection_ids: {config: 3, server_id_length: 4}
    policy: maglev
    hash_key: {bytes: {offset: 4, length: 8}}
    timeouts: {session_idle: 30s}
    proxy_protocol: {version: v2, datagrams: first}
    health_check: {kind: udp, send: "hex:00ff", expect: pong}
"""


def load(text: str, directory: Path, environ: Mapping[str, str] | None = None) -> Configured:
    """What a YAML text says when it stands in ``penstock.yaml`` in a directory."""
    file = directory / "penstock.yaml"
    file.write_text(text)
    return compile_document(load_document(file, environ or {}), file)


def errors_of(text: str, directory: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """The errors in a YAML text, one a line, beginning with line and column."""
    with pytest.raises(ConfigError) as caught:
        load(text, directory, environ)
    lines = str(caught.value).splitlines()
    if len(lines) > 1:
        assert lines.pop(0) == f"{directory / 'penstock.yaml'} has {len(lines)} errors:"
    prefix = f"{directory / 'penstock.yaml'}:"
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]
