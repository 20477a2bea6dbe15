//! The clusters of `render envoy`: HTTP/2, TLS, and host names.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::cargo::build_wasm;
use testbed::client::{Client, Http};
use testbed::control_plane::ControlPlane;
use testbed::executable;
use testbed::process::Running;
use testbed::socket::free_address;
use testbed::wait_until;

use super::{Desk, POLICY};

/// An Envoy whose listener is at `address`.
struct Proxy {
    address: SocketAddr,
    admin: SocketAddr,
    _process: Running,
}

impl Proxy {
    /// Runs a configuration whose listener has port 10000, and whose admin interface has 9901.
    fn run(desk: &Desk, name: &str, config: &str) -> Self {
        let (address, admin) = (free_address().unwrap(), free_address().unwrap());
        let config = config.replace("port_value: 10000", &format!("port_value: {}", address.port()));
        let config = config.replace("port_value: 9901", &format!("port_value: {}", admin.port()));
        let mut command = Command::new(executable().unwrap());
        command.args(["-c", &desk.put(name, config), "--disable-hot-restart", "--concurrency", "1"]);
        let process = Running::start(command.args(["--log-level", "error"])).unwrap();
        Self { address, admin, _process: process }
    }

    async fn wait_until_it_serves(&self) {
        let admin = Client::new(self.admin, Http::V1);
        wait_until("Envoy is ready", async || {
            admin.get("/ready", &[]).await.is_ok_and(|answer| answer.body().as_ref() == b"LIVE\n")
        })
        .await
        .unwrap();
    }

    /// How many connections to a cluster speak HTTP/2.
    async fn http2_connections(&self, cluster: &str) -> String {
        let path = format!("/stats?filter=^cluster.{cluster}.upstream_cx_http2_total$");
        let stats = Client::new(self.admin, Http::V1).get(&path, &[]).await.unwrap();
        String::from_utf8_lossy(stats.body()).trim().to_owned()
    }
}

/// A proxy that takes TLS for `localhost`, and HTTP/2 if its client does, in front of `backend`.
fn tls_terminator(desk: &Desk, certificate: &Path, key: &Path, backend: SocketAddr) -> Proxy {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tls",
        "http_filters": [{ "name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "backend" } }] }] },
    });
    let certificate = json!({ "certificate_chain": { "filename": certificate }, "private_key": { "filename": key } });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": { "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate] },
    });
    let listener = json!({
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 10000 } },
        "filter_chains": [{
            "filters": [{ "name": "http", "typed_config": manager }],
            "transport_socket": { "name": "tls", "typed_config": tls },
        }],
    });
    let socket = json!({ "address": "127.0.0.1", "port_value": backend.port() });
    let endpoints = json!([{ "lb_endpoints": [{ "endpoint": { "address": { "socket_address": socket } } }] }]);
    let config = json!({
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 9901 } } },
        "static_resources": { "listeners": [listener], "clusters": [
            { "name": "backend", "load_assignment": { "cluster_name": "backend", "endpoints": endpoints } }] },
    });
    Proxy::run(desk, "tls.yaml", &config.to_string().replace("\"port_value\":", "port_value: "))
}

#[test]
fn envoy_takes_a_cluster_of_each_protocol_at_a_name_or_an_address() {
    let desk = Desk::with("policy.json", POLICY);
    for address in
        ["http2://ranker:80", "http2://10.0.0.1:80", "http://h:80", "https://r.example:443", "https://[::1]:443"]
    {
        let rendered = desk.ok(&format!("render envoy {} --cluster model-v1={address}", desk.file()));
        let clusters = serde_saphyr::from_str::<Value>(&rendered).unwrap()["static_resources"]["clusters"].clone();
        // The filter itself is left out: this is about the clusters.
        let file = desk.put("clusters.json", json!({ "static_resources": { "clusters": clusters } }).to_string());
        let envoy = Command::new(executable().unwrap()).args(["--mode", "validate", "-c", &file]).output().unwrap();
        assert!(envoy.status.success(), "{address}: {}", String::from_utf8_lossy(&envoy.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rendered_proxy_speaks_grpc_and_tls_to_host_names() {
    let desk = Desk::with("unused", "");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| desk.folder.path().join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
    openssl.args(["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let backend = Backend::start_all(["backend"]).await.unwrap().remove(0);
    // A gRPC server, which speaks only HTTP/2.
    let server = ControlPlane::start().await.unwrap();
    let terminator = tls_terminator(&desk, &certificate, &key, backend.address);
    const METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let endpoint = |route: &str, to: &str| json!({ "name": to, "route": route, "traffic": { to: 1 } });
    let policy = json!({ "endpoints": [endpoint(METHOD, "grpc"), endpoint("/tls", "tls"), endpoint("/ip", "ip")] });
    let policy = desk.put("policy.json", policy.to_string());
    let rendered = desk.ok(&format!(
        "render envoy {policy} --module {} --trusted-ca {} --cluster grpc=http2://localhost:{} \
         --cluster tls=https://localhost:{} --cluster ip=https://127.0.0.1:{}",
        build_wasm().unwrap().display(),
        certificate.display(),
        server.address.port(),
        terminator.address.port(),
        terminator.address.port(),
    ));
    let proxy = Proxy::run(&desk, "envoy.yaml", &rendered);
    for proxy in [&terminator, &proxy] {
        proxy.wait_until_it_serves().await;
    }
    let client = Client::new(proxy.address, Http::V2);
    let headers: [(&str, &[u8]); 2] = [("content-type", b"application/grpc"), ("te", b"trailers")];
    let answer = client.send("POST", METHOD, headers, "\0\0\0\0\0").await.unwrap();
    let status = ["grpc-status", "grpc-message"].map(|name| answer.headers()[name].to_str().unwrap());
    assert_eq!(status, ["12", "only%20state%20of%20the%20world"], "the server's own answer: {answer:?}");
    let answer = client.get("/tls", &[]).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, &b"backend\n"[..]));
    assert_eq!(proxy.http2_connections("tls").await, "cluster.tls.upstream_cx_http2_total: 1");
    // The certificate is for another name.
    assert_eq!(client.get("/ip", &[]).await.unwrap().status().as_u16(), 503);
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_scheme_or_an_authority_without_effect_is_refused() {
    let desk =
        Desk::with("policy.json", POLICY.replace("\"route\"", "\"match\": { \"hosts\": [\"h.example\"] }, \"route\""));
    for (options, status, words) in [
        ("envoy --cluster model-v1=grpc://a:1", 2, "unknown scheme \"grpc\": did you mean \"http2\"?"),
        (
            "envoy --cluster model-v1=a:1 --trusted-ca ca.pem",
            2,
            "--trusted-ca has an effect only on clusters with https",
        ),
        ("envoy-gateway --cluster model-v1=http2://a:1", 1, "has a scheme, which has an effect only in `render envoy`"),
        (
            "istio --routes virtual-service --host h.example:80 --cluster model-v1=https://a:1",
            1,
            "Istio takes the protocol from the port of the Service",
        ),
    ] {
        let (form, options) = options.split_once(' ').unwrap();
        let ended = desk.run(&format!("render {form} {} {options}", desk.file()));
        assert_eq!(ended.status, Some(status), "{options}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{options}: {}", ended.stderr);
    }
}
