//! The admin API: access, addresses, limits, errors, status and services.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Client, get};
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::wait_for;

/// A config with this `admin` key.
fn config(admin: &str) -> Config {
    Config::new().all_respond("hello").key(&format!("admin: {admin}"))
}

#[test]
fn cross_origin_requests_refused() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let address = gateway.admin_address();
    let put = |fields: &str| {
        let body = "{\"a\": 1}";
        let request = format!(
            "PUT /api/v1/routes/all/split HTTP/1.1\r\n{fields}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Client::connect(address).ask(request).status()
    };
    let own = format!("Host: {address}\r\n");
    // DNS rebinding, another origin, a sandboxed page, a cross-site subresource.
    assert_eq!(put("Host: evil.example:9900\r\n"), 403);
    assert_eq!(put(&format!("{own}Origin: http://evil.example\r\n")), 403);
    assert_eq!(put(&format!("{own}Origin: null\r\n")), 403);
    assert_eq!(put(&format!("{own}Sec-Fetch-Site: cross-site\r\n")), 403);
    // Same origin, and no browser: these get as far as the route, which has no split.
    assert_eq!(put(&format!("{own}Origin: http://{address}\r\n")), 422);
    assert_eq!(put(&own), 422);
    let read = Client::connect(address).ask("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(read.status(), 403);
    // No CORS header allows another origin to read a response.
    let preflight = format!(
        "OPTIONS /api/v1/status HTTP/1.1\r\n{own}Origin: http://{address}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    );
    let response = Client::connect(address).ask(preflight);
    assert_eq!(response.values("access-control-allow-origin").len(), 0);
}

#[test]
fn token_required_and_names_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, "ann secret-of-ann\nsecret-of-unknown\n").unwrap();
    let service = Service::echo("a");
    let path = directory.path().join("waypost.yaml");
    let admin = format!("admin: {{ bind: 0.0.0.0:0, token_file: {} }}", tokens.display());
    fs::write(&path, Config::new().all_to(&service).key(&admin)).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let port = gateway.admin_address().port();
    let ask = |request: &str| Client::connect(([127, 0, 0, 1], port).into()).ask(request);
    let get = |path: &str, token: &str| {
        ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: gateway.internal\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
    };
    assert_eq!(get("/api/v1/status", "secret-of-ann").status(), 200);
    assert_eq!(get("/metrics", "secret-of-unknown").status(), 200);
    let refused = get("/api/v1/status", "secret-of-an");
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"waypost\"")
    );
    assert_eq!(
        ask("GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n").status(),
        401
    );
    // Health checks need no token.
    assert_eq!(ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status(), 200);
    assert_eq!(ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status(), 200);

    let admin = format!("http://127.0.0.1:{port}");
    let dial = ["dial", "all", "a=7", "--admin", &admin];
    waypost_in(gateway.directory(), &dial).expect(1);
    let with_token = [&dial[..], &["--token", "secret-of-ann", "--format", "json"]].concat();
    let dialed = waypost_in(gateway.directory(), &with_token).expect(0).json();
    assert_eq!(dialed["by"], "ann");
    let with_file = [&dial[..], &["--token-file", "tokens"]].concat();
    waypost_in(gateway.directory(), &with_file).expect(0);

    fs::write(gateway.directory().join("tokens"), "bob secret-of-bob-x\n").unwrap();
    assert_eq!(
        get("/api/v1/status", "secret-of-ann").status(),
        401,
        "the file is read again"
    );
    assert_eq!(get("/api/v1/status", "secret-of-bob-x").status(), 200);
}

#[test]
fn token_for_reading_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, "eve secret-of-eve read\nann secret-of-ann\n").unwrap();
    let service = Service::echo("a");
    let path = directory.path().join("waypost.yaml");
    let admin = format!("admin: {{ bind: 127.0.0.1:0, token_file: {} }}", tokens.display());
    fs::write(&path, Config::new().all_to(&service).key(&admin)).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let fields = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        gateway.admin(method, path, &fields, body)
    };
    for (method, path) in [
        ("GET", "/api/v1/routes"),
        ("GET", "/api/v1/config"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/timeline"),
        ("GET", "/api/v1/revisions"),
    ] {
        assert_eq!(ask("secret-of-eve", method, path, "").status(), 200, "{path}");
    }
    let question = "{\"method\": \"GET\", \"url\": \"http://a/\"}";
    assert_eq!(
        ask("secret-of-eve", "POST", "/api/v1/explain", question).status(),
        200
    );
    // Every operation that is not a GET, as the document lists them, also for what is not there.
    let document = ask("secret-of-eve", "GET", "/api/v1/openapi.json", "").json();
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|method| *method != "get")
        {
            if path == "/api/v1/explain" {
                continue;
            }
            let path = path
                .replace("{name}", "all")
                .replace("{number}", "1")
                .replace("{action}", "pause");
            let response = ask("secret-of-eve", &method.to_ascii_uppercase(), &path, "{}");
            assert_eq!(response.status(), 403, "{method} {path}");
            let detail = response.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("`eve` is for reading only"), "{detail}");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    let dry = ask("secret-of-eve", "PUT", "/api/v1/config?dry_run=true", "");
    assert_eq!(dry.status(), 403, "a config can name files and variables");
    let who = |token: &str| ask(token, "GET", "/api/v1/whoami", "").json();
    assert_eq!(who("secret-of-eve"), json!({ "name": "eve", "role": "read" }));
    assert_eq!(who("secret-of-ann"), json!({ "name": "ann", "role": "write" }));
    assert_eq!(ask("read", "GET", "/api/v1/whoami", "").status(), 401);
    // Commands take the token from the same file.
    let admin = format!("http://{}", gateway.admin_address());
    let dial = ["dial", "all", "a=7", "--token-file", "tokens", "--admin", &admin];
    let output = waypost_in(gateway.directory(), &dial).expect(1);
    assert!(output.stderr.contains("reading only"), "{}", output.stderr);
    let listed = ["routes", "--token-file", "tokens", "--admin", &admin];
    waypost_in(gateway.directory(), &listed).expect(0);
    let open = Gateway::with(Config::new().all_respond("hello"));
    assert_eq!(open.admin_json("/api/v1/whoami")["role"], "write");
}

#[test]
fn word_read_is_no_token() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokens"), "ann secret\nbob read\n").unwrap();
    let text = config("{ bind: 127.0.0.1:0, token_file: tokens }");
    fs::write(directory.path().join("waypost.yaml"), text).unwrap();
    let ran = waypost_in(directory.path(), &["run"]).expect(2);
    assert!(ran.stderr.contains("`read` in line 2"), "{}", ran.stderr);
}

#[test]
fn token_file_is_found_beside_the_config() {
    let directory = tempfile::tempdir().unwrap();
    let configs = directory.path().join("configs");
    fs::create_dir(&configs).unwrap();
    fs::write(
        configs.join("waypost.yaml"),
        config("{ bind: 127.0.0.1:0, token_file: tokens }"),
    )
    .unwrap();
    // A fault in the file shows which of them was read.
    fs::write(configs.join("tokens"), "beside read\n").unwrap();
    fs::write(directory.path().join("tokens"), "ann secret\n").unwrap();
    let ran = waypost_in(directory.path(), &["run", "configs/waypost.yaml"]).expect(2);
    assert!(ran.stderr.contains("`configs/tokens`"), "{}", ran.stderr);
}

#[test]
fn missing_token_file_refuses_start() {
    let directory = tempfile::tempdir().unwrap();
    let text = config("{ bind: 127.0.0.1:0, token_file: nowhere }");
    fs::write(directory.path().join("waypost.yaml"), text).unwrap();
    let ran = waypost_in(directory.path(), &["run"]).expect(2);
    assert!(ran.stderr.contains("nowhere` cannot be read"), "{}", ran.stderr);
}

#[test]
fn taken_address_refuses_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = config(&format!("{{ bind: {address} }}"));
    fs::write(directory.path().join("waypost.yaml"), text).unwrap();
    let ran = waypost_in(directory.path(), &["run"]).expect(2);
    let expected = format!("cannot listen on the admin address {address}");
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
}

#[test]
fn unix_socket_private_and_removed_at_exit() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let path = directory.path().join("waypost.yaml");
    fs::write(&path, config(&format!("{{ bind: unix:{} }}", socket.display()))).unwrap();
    let mut gateway = Gateway::run(directory, path, &[]);
    let address = format!("unix:{}", socket.display());
    gateway.wait_for(&format!("admin on {address}"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("ok\n"),
        "{response}"
    );
    waypost_in(gateway.directory(), &["status", "--admin", &address]).expect(0);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!socket.exists());
    // The socket of a killed process is reused.
    let mut gateway = gateway.restarted();
    gateway.kill();
    assert!(socket.exists());
    gateway.restarted();
}

#[test]
fn reload_moves_and_disables_the_admin_api() {
    let gateway = Gateway::verbatim(config("off"));
    assert!(
        !gateway.said().iter().any(|line| line.starts_with("admin on")),
        "{:?}",
        gateway.said()
    );
    gateway.rewrite(config("{ bind: 127.0.0.1:0 }"));
    gateway.wait_for("admin on http://");
    let first = gateway.admin_address();
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
    gateway.rewrite(config("{ bind: \"[::1]:0\" }"));
    gateway.wait_for("admin on http://[::1]");
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
    assert!(Client::try_connect(first).is_err(), "the old one is closed");
    gateway.rewrite(config("off"));
    gateway.wait_for_revision(4);
    assert!(Client::try_connect(gateway.admin_address()).is_err());
}

#[test]
fn taken_address_refuses_reload() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    gateway.rewrite(config(&format!("{{ bind: {} }}", taken.local_addr().unwrap())));
    gateway.wait_for("waypost: the change is refused: cannot listen on the admin address");
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!((&status["revision"], &status["ok"]), (&json!(1), &json!(false)));
}

#[test]
fn reload_adds_tokens_on_the_same_address() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let address = gateway.admin_address();
    fs::write(gateway.directory().join("tokens"), "secret-secret\n").unwrap();
    let tokens = gateway.directory().join("tokens");
    gateway.rewrite(config(&format!(
        "{{ bind: 127.0.0.1:0, token_file: {} }}",
        tokens.display()
    )));
    gateway.wait_for_revision(2);
    assert_eq!(gateway.admin_address(), address);
    assert_eq!(gateway.admin("GET", "/metrics", "", "").status(), 401);
    let gateway = gateway.with_token("secret-secret");
    assert_eq!(gateway.admin("GET", "/metrics", "", "").status(), 200);
    gateway.command(&["status"]).expect(0);
}

#[test]
fn openapi_operations_exist() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let document = gateway.admin_json("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            count += 1;
            // Streams have no end.
            if ["/api/v1/events", "/api/v1/tail"].contains(&path.as_str()) {
                continue;
            }
            let path = path.replace("{name}", "all").replace("{number}", "1");
            let response = gateway.admin(&method.to_uppercase(), &path, "", "");
            let status = response.status().to_string();
            assert!(
                !operation["responses"][&status].is_null(),
                "{method} {path}: {status} is not described"
            );
            assert_ne!(response.status(), 405, "{method} {path}");
        }
    }
    assert!(count >= 20, "{count} operations");
    assert_eq!(gateway.admin("PATCH", "/api/v1/status", "", "").status(), 405);
    let nothing = gateway.admin("GET", "/api/v2", "", "");
    assert_eq!(
        (nothing.status(), nothing.header("content-type")),
        (404, Some("application/problem+json"))
    );
}

#[test]
fn not_ready_while_draining() {
    let slow = Service::scripted(|talk| {
        talk.request();
        talk.read_to_end();
    });
    let mut gateway = Gateway::to(&slow);
    assert_eq!(gateway.admin("GET", "/readyz", "", "").status(), 200);
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    slow.wait_for("GET / ");
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    assert_eq!(gateway.admin("GET", "/readyz", "", "").status(), 503);
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
    assert_eq!(gateway.dial("all", &json!({ "service": 1 })).status(), 503);
    client.reset();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn services_list_endpoints_and_routes() {
    let (up, down) = (Service::echo("up"), Service::refusing());
    let gateway = Gateway::with(
        Config::new()
            .service(&up, "")
            .service(&down, "")
            .item(
                "services",
                "  v: { endpoints: [{ url: http://10.0.0.1, weight: 7 }, { url: http://10.0.0.2, backup: true }] }",
            )
            .route("name: v, match: { path: /v }, to: v")
            .route("name: r, to: { up: 1, refusing: 1 }, force: { header: x, values: { d: refusing } }")
            .route("name: m, match: { path: /m }, to: up, mirror: { to: refusing }"),
    );
    let listened = Client::connect(gateway.admin_address());
    let mut events = listened;
    events.send(format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        gateway.admin_address()
    ));
    assert_eq!(
        events.response_head().header("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(
        gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nX: d\r\n\r\n").status(),
        502
    );
    events.expect("event: endpoint_ejected\n");
    events.expect("\"service\":\"refusing\"");
    let all = gateway.admin_json("/api/v1/services");
    let by_name = |name: &str| {
        all.as_array()
            .unwrap()
            .iter()
            .find(|service| service["name"] == name)
            .unwrap()
            .clone()
    };
    let down_now = by_name("refusing");
    assert_eq!(
        (&down_now["routes"], &down_now["mirrors"]),
        (&json!(["r"]), &json!(["m"]))
    );
    assert_eq!(
        down_now["endpoints"][0]["addresses"],
        json!([{ "address": down.address().to_string(), "ejected": true }])
    );
    assert_eq!(by_name("up")["endpoints"][0]["addresses"][0]["ejected"], false);
    let said = |endpoint: &serde_json::Value| (endpoint["weight"].clone(), endpoint["backup"].clone());
    let weighted = by_name("v")["endpoints"].as_array().unwrap().clone();
    assert_eq!(
        weighted.iter().map(said).collect::<Vec<_>>(),
        [(json!(7), json!(false)), (json!(1), json!(true))]
    );
    assert_eq!(gateway.dial("r", &json!({ "up": 9 })).status(), 200);
    events.expect("event: dial\n");
    events.expect("\"route\":\"r\"");
}

#[test]
fn oversized_body_and_head_refused() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let address = gateway.admin_address();
    let mut client = Client::connect(address);
    client.send(format!(
        "PUT /api/v1/config HTTP/1.1\r\nHost: {address}\r\nIf-Match: *\r\nContent-Type: application/yaml\r\nContent-Length: 99999999\r\n\r\n"
    ));
    assert_eq!(client.response().status(), 413);
    let mut client = Client::connect(address);
    // Exactly the size of hyper's largest read buffer: bytes left unread would turn the close into a reset.
    const HEAD_BYTES: usize = (8 << 10) + 100 * (4 << 10);
    let start = "GET /";
    client.send(start.to_owned() + &"x".repeat(HEAD_BYTES - start.len()));
    assert_eq!(client.response().status(), 431);
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
}

#[test]
fn status_fails_until_the_config_is_fixed() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let status = gateway.command(&["status"]).expect(0);
    assert!(
        status.stdout.starts_with("status     ok\nrevision   1\n"),
        "{}",
        status.stdout
    );
    gateway.rewrite(config("{ bind: 127.0.0.1:0 }").key("typo: 1"));
    gateway.wait_for("waypost: revision 1 stays in force");
    let status = gateway.command(&["status"]).expect(1);
    assert!(
        status.stdout.contains("`typo` is not a key of the configuration"),
        "{}",
        status.stdout
    );
    let json: Value = gateway.admin_json("/api/v1/status");
    assert_eq!(json["failed_load"]["diagnostics"][0]["code"], "unknown-key");
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("\nwaypost_config_last_load_successful 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_config_loads_total{outcome=\"refused\"} 1\n"),
        "{metrics}"
    );
    gateway.rewrite(config("{ bind: 127.0.0.1:0 }"));
    gateway.wait_for("revision 1 is in force");
    gateway.command(&["status"]).expect(0);
}

#[test]
fn commands_report_an_unreachable_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = Service::refusing();
    let ran = waypost_in(directory.path(), &["status", "--admin", &nowhere.url()]).expect(2);
    assert!(
        ran.stderr.contains("no gateway is reachable at") && ran.stderr.contains("hint:"),
        "{}",
        ran.stderr
    );
    waypost_in(directory.path(), &["status", "--admin", "unix:nowhere.sock"]).expect(2);
    let wrong = waypost_in(directory.path(), &["status", "--admin", "localhost:9900"]).expect(2);
    assert!(
        wrong.stderr.contains("is not an admin address"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn closing_the_address_closes_its_connections() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let address = gateway.admin_address();
    let mut client = Client::connect(address);
    let status = format!("GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(client.ask(&status).status(), 200);
    gateway.rewrite(config("off"));
    gateway.wait_for_revision(2);
    // It is closed with the address, or just behind it.
    client.assert_closed();
}

#[test]
fn response_to_the_change_that_disables_the_api_arrives() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    let response = gateway.admin("PUT", "/api/v1/config", fields, config("off").as_ref());
    assert_eq!(
        (response.status(), &response.json()["revision"]),
        (200, &json!(2))
    );
}

#[test]
fn reload_moves_to_another_address_of_the_same_port() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let port = gateway.admin_address().port();
    gateway.rewrite(config(&format!("{{ bind: 127.0.0.1:{port} }}")));
    gateway.wait_for_revision(2);
    fs::write(gateway.directory().join("tokens"), "secret-secret\n").unwrap();
    let tokens = gateway.directory().join("tokens");
    let open = format!("{{ bind: 0.0.0.0:{port}, token_file: {} }}", tokens.display());
    gateway.rewrite(config(&open));
    gateway.wait_for(&format!("admin on http://0.0.0.0:{port}"));
    assert_eq!(gateway.admin("GET", "/metrics", "", "").status(), 401);
}

#[test]
fn regular_file_at_the_socket_path_kept() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokens"), "precious").unwrap();
    fs::write(
        directory.path().join("waypost.yaml"),
        config("{ bind: unix:tokens }"),
    )
    .unwrap();
    waypost_in(directory.path(), &["run"]).expect(2);
    assert_eq!(
        fs::read_to_string(directory.path().join("tokens")).unwrap(),
        "precious"
    );
}

#[test]
fn errors_are_problem_documents() {
    let gateway = Gateway::verbatim(config("{ bind: 127.0.0.1:0 }"));
    let long = "x".repeat((32 << 20) + (65 << 10));
    let chunked = format!(
        "PUT /api/v1/config HTTP/1.1\r\nHost: localhost\r\nIf-Match: *\r\nContent-Type: application/yaml\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    let too_long = Client::connect(gateway.admin_address()).ask(chunked);
    let fields = "If-Match: *\r\nContent-Type: application/yaml\r\n";
    for (response, status) in [
        (gateway.admin("GET", "/api/v1/stats?bogus=1", "", ""), 400),
        (
            gateway.admin("PUT", "/api/v1/config?dry_run=yes", fields, "x"),
            400,
        ),
        (
            gateway.admin(
                "PUT",
                "/api/v1/config",
                "If-Match: \"*\"\r\nContent-Type: application/yaml\r\n",
                "x",
            ),
            412,
        ),
        (gateway.admin("PUT", "/api/v1/status", "", ""), 405),
        (too_long, 413),
    ] {
        assert_eq!(response.status(), status, "{}", response.text());
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{}",
            response.text()
        );
    }
}

#[test]
fn recreated_service_starts_without_ejections() {
    let down = Service::refusing();
    let config = |keys: &str| {
        Config::new()
            .service(&down, keys)
            .route("name: all, to: refusing")
    };
    let gateway = Gateway::with(config(""));
    let ejected =
        || gateway.admin_json("/api/v1/services")[0]["endpoints"][0]["addresses"][0]["ejected"].clone();
    assert_eq!(gateway.get("http://a/").status(), 502);
    wait_for("the ejection", || (ejected() == true).then_some(()));
    gateway.rewrite(config("timeouts: { connect: 1s }"));
    gateway.wait_for_revision(2);
    assert_eq!(ejected(), false);
}
