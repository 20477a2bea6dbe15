//! What `render` prints: the API server and the control plane take it, and a proxy does it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::bootstrap::{http_filters, trust_source_and_metadata};
use testbed::cases::{self, Table};
use testbed::client::{Http, served_by};
use testbed::mesh::gateway::{Gateway, Setup};
use testbed::mesh::istio::Istio;
use testbed::{read, read_yaml, wait_until};

use crate::team::{self, Mesh, list};

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_files_are_taken_by_the_api_server_and_the_control_plane() {
    let istio = Istio::start(Ipv4Addr::LOCALHOST).await.unwrap();
    let folder = std::fs::read_dir(testbed::project().join("envoy")).unwrap();
    let mut files: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file.starts_with("istio-") && !file.contains("stat-tags"));
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let warnings = istio.kubernetes.judge(&read(&format!("envoy/{file}")).unwrap()).await.unwrap();
        // The control plane warns of each EnvoyFilter.
        let others =
            warnings.lines().filter(|line| !line.contains("EnvoyFilter exposes internal implementation details"));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{file}");
    }
}

/// The Service of a cluster of the tables.
fn service(cluster: &str) -> String {
    cluster.replace(['|', '.'], "-")
}

/// A service for each cluster of the tables; all other requests get 404.
async fn services(mesh: &Mesh, names: &BTreeSet<String>) -> Vec<Backend> {
    let backends = Backend::start_all(names).await.unwrap();
    let mut objects = Vec::new();
    for backend in &backends {
        backend.remember();
        objects.push(team::service(&service(&backend.name), backend.address.port()));
        objects.push(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": { "name": format!("of-{}", service(&backend.name)) },
            "spec": { "address": "127.0.0.1", "labels": { "app": service(&backend.name) } },
        }));
    }
    objects.push(team::gateway(mesh.port));
    objects.push(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": "rest" },
        "spec": { "hosts": ["*"], "gateways": ["public"], "http": [{ "name": "rest", "directResponse": { "status": 404 } }] },
    }));
    objects.push(trust());
    mesh.istio.kubernetes.apply(&list(objects)).await.unwrap();
    backends
}

/// Lets clients choose their address and metadata, as in the tests with a lone Envoy.
fn trust() -> Value {
    let mut bootstrap = read_yaml("envoy/envoy.yaml").unwrap();
    trust_source_and_metadata(&mut bootstrap);
    let metadata = http_filters(&mut bootstrap)[0].clone();
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager" });
    let in_manager = json!({ "context": "GATEWAY", "listener": { "filterChain": { "filter": filter } } });
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": { "name": "trust" },
        "spec": { "workloadSelector": { "labels": { "istio": "gateway" } }, "configPatches": [
            { "applyTo": "HTTP_FILTER", "match": in_manager, "patch": { "operation": "INSERT_FIRST", "value": metadata } },
            { "applyTo": "NETWORK_FILTER", "match": in_manager, "patch": { "operation": "MERGE", "value": {
                "typed_config": { "@type": manager, "xff_num_trusted_hops": 1 } } } },
        ] },
    })
}

/// The policy of a table, whose explicit clusters are Istio's.
fn in_mesh(table: &Table) -> Value {
    let in_istio = |name: &Value| {
        let service = service(name.as_str().unwrap());
        json!(format!("outbound|8080||{service}.default.svc.cluster.local"))
    };
    let mut policy = table.policy.clone();
    if let Some(cluster) = policy.get_mut("default_cluster") {
        *cluster = in_istio(cluster);
    }
    for backend in
        policy.get_mut("backends").and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut())
    {
        if let Some(cluster) = backend.get_mut("cluster") {
            *cluster = in_istio(cluster);
        }
    }
    policy
}

/// Cases that are decided otherwise because Istio normalizes paths, and the backend that serves them.
const NORMALIZED: [(&str, &str); 3] = [
    ("match-paths.json: a path regex and a percent-encoded letter", "regex"),
    ("match-paths.json: an exact path, percent-encoded", "exact"),
    ("routes.json: an encoded letter is no letter", "rank"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_decides_as_the_tables_say() {
    let mesh = Mesh::start([127, 0, 0]).await;
    let tables = cases::tables().unwrap();
    let names: BTreeSet<String> = tables.iter().flat_map(Table::clusters).collect();
    let backends = services(&mesh, &names).await;
    let gateway = Gateway::start(&mesh.istio, &Setup::new(mesh.port)).await.unwrap();
    let client = gateway.client(Http::V1);
    let (mut expected_copies, mut requests) = (BTreeMap::new(), 0);
    let mut otherwise = BTreeMap::new();
    for table in &tables {
        let objects = mesh.render(&in_mesh(table), "--gateway gateway --all-hosts --port 8080");
        mesh.apply(&objects, &gateway).await;
        for case in table.cases.iter().filter(|case| case.only_native.is_none()) {
            let rule = format!("{}: {}", table.file, case.rule);
            let answer = case.send(&client, &rule).await.unwrap();
            let served = served_by(&answer);
            match (&case.cluster, &case.decision) {
                (Some(cluster), _) => assert_eq!(served, cluster.as_deref(), "{rule}"),
                (None, Some(expected)) => {
                    assert!(served.is_some_and(|name| expected.backend.contains(name)), "{rule}: {answer:?}");
                }
                (None, None) if served.is_some() => {
                    otherwise.insert(rule.clone(), served.unwrap().to_owned());
                }
                (None, None) => assert_eq!(answer.status(), 404, "{rule}"),
            }
            requests += 1;
            let copies = case.copies();
            if !copies.is_empty() {
                expected_copies.insert(rule, copies);
            }
        }
    }
    let normalized = NORMALIZED.map(|(rule, backend)| (rule.to_owned(), backend.to_owned()));
    assert_eq!(otherwise, BTreeMap::from(normalized));
    assert!(requests > 300, "{requests}");
    let copies: u64 = expected_copies.values().map(|copies| copies.len() as u64).sum();
    let mut seen_copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = 0;
    // If this fails, the comparison below says what is missing.
    let _ = wait_until("every copy comes", async || {
        for received in backends.iter().flat_map(Backend::take_received) {
            // The marker of a copy is the name of its shadow, or of its cluster if Envoy mirrors. A
            // client's own marker is another string.
            let marker = received.header("x-traffic-shadow").concat();
            let service = marker.strip_prefix("outbound|8080||").and_then(|host| host.split('.').next());
            let shadow = service.unwrap_or(&marker).to_owned();
            if names.contains(&shadow) {
                seen += 1;
                seen_copies.entry(received.header("x-case").concat()).or_default().push(shadow);
            }
        }
        seen >= copies
    })
    .await;
    seen_copies.values_mut().for_each(|copies| copies.sort());
    assert_eq!(seen_copies, expected_copies);
}
