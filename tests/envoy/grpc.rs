//! gRPC calls: the class of their responses, and of their copies.

use std::net::SocketAddr;

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::bootstrap::{add_empty_cluster, clusters, speak_http2};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::inference::{InferenceClient, InferenceServer, id};
use testbed::policies::{all_to, shadowed};
use testbed::socket::{read_until, serve_each};
use testbed::wait_until;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Code;

const CLASSES: [&str; 4] = ["2xx", "4xx", "5xx", "none"];

/// The class of the HTTP status to which google.rpc.Code maps a gRPC status.
fn class(code: Code) -> &'static str {
    match code as i32 {
        0 => "2xx",
        1 | 3 | 5..=11 | 16 => "4xx",
        _ => "5xx",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_and_its_copy_count_by_their_grpc_status() {
    let (main, copy) = (InferenceServer::start("main").unwrap(), InferenceServer::start("copy").unwrap());
    let policy = shadowed(json!({ "copy": 1 }));
    let envoy = envoy(policy, [("main", main.address), ("copy", copy.address)]).await;
    let mut client = InferenceClient::connect(envoy.address).await.unwrap();
    let mut expected = Counts::default();
    for is_stream in [false, true] {
        for n in 0..17 {
            // The copy ends with another status than the call.
            let (code, of_copy) = (Code::from_i32(n), Code::from_i32((n + 5) % 17));
            let id = id(&[("main", code), ("copy", of_copy)]);
            let ended = if is_stream {
                let mut responses = client.stream_infer(&id).await.unwrap();
                assert_eq!(responses.next().await.unwrap().unwrap().id, id);
                responses.next().await.transpose().map(|_| ())
            } else {
                client.infer(&id).await.map(|response| assert_eq!(response.raw_output_contents, [[1; 16]]))
            };
            assert_eq!(ended.err().map_or(Code::Ok, |status| status.code()), code);
            expected.add(class(code), class(of_copy));
            expected.wait(&envoy, &format!("{code:?}, its copy {of_copy:?}, as a stream: {is_stream}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_that_envoy_answers_counts_by_the_grpc_status_that_the_client_gets() {
    let mut setup = Setup::new(all_to("empty"), &[]);
    setup.adapt = |bootstrap| add_empty_cluster(bootstrap, "empty");
    setup.clusters.push(("unused".to_owned(), SocketAddr::from(([127, 0, 0, 1], 9))));
    let envoy = Envoy::start(&setup).await.unwrap();
    let mut client = InferenceClient::connect(envoy.address).await.unwrap();
    assert_eq!(client.infer("any").await.unwrap_err().code(), Code::Unavailable);
    wait_until("the call is counted", async || responses(&envoy, "5xx").await == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_that_breaks_off_counts_by_who_ended_it() {
    let main = InferenceServer::start("main").unwrap();
    let envoy = envoy(all_to("main"), [("main", main.address)]).await;
    let mut client = InferenceClient::connect(envoy.address).await.unwrap();
    // The filter learns that this backend speaks gRPC.
    client.infer("main=0").await.unwrap();
    let responses_of = async |client: &mut InferenceClient| {
        let mut responses = Box::pin(client.stream_infer("endless").await.unwrap());
        responses.next().await.unwrap().unwrap();
        responses
    };
    drop(responses_of(&mut client).await);
    wait_until("the client's reset is counted", async || responses(&envoy, "4xx").await == 1).await.unwrap();
    let mut broken = responses_of(&mut client).await;
    drop(main);
    assert!(broken.next().await.unwrap().is_err());
    wait_until("the server's end is counted", async || responses(&envoy, "5xx").await == 1).await.unwrap();
    assert_eq!(responses(&envoy, "2xx").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_status_counts_in_the_response_of_a_grpc_call_only() {
    let serve = |mut stream: TcpStream| async move {
        while let Ok(request) = read_until(&mut stream, "body").await {
            let rest = match request.split(' ').nth(1) {
                Some("/json") => "application/json\r\ngrpc-status: 13\r\ncontent-length: 0\r\n\r\n",
                Some("/grpc") => "application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n",
                // Its status is in its body.
                _ => "application/grpc-web+proto\r\ncontent-length: 4\r\n\r\nbody",
            };
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: {rest}").as_bytes()).await.unwrap();
        }
    };
    let policy = json!({ "backends": { "copy": { "cluster": "main" } },
        "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 } }] });
    let mut setup = Setup::new(policy.to_string(), &[]);
    setup.clusters.push(("main".to_owned(), serve_each(serve).await.unwrap()));
    let envoy = Envoy::start(&setup).await.unwrap();
    let mut expected = Counts::default();
    // The filter knows from the second response on that this backend speaks gRPC.
    for (path, class) in [("/json", "2xx"), ("/grpc", "4xx"), ("/json", "2xx"), ("/grpc-web", "2xx")] {
        let headers = [("content-type", b"application/grpc".as_slice())];
        assert_eq!(envoy.client(Http::V1).send("POST", path, headers, "body").await.unwrap().status(), 200);
        expected.add(class, class);
        expected.wait(&envoy, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_of_good_and_bad_responses_are_there_before_the_first() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 0.9, "new": 0.1 }, "shadow": { "copy": 1 },
        "cohorts": [{ "name": "c", "match": { "methods": ["PUT"] }, "traffic": { "main": 1 } }] }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    envoy.wait_until_published(&policy.to_string()).await.unwrap();
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    for class in ["2xx", "5xx"] {
        for (cohort, backend) in [("", "main"), ("", "new"), (r#"cohort="c","#, "main")] {
            let labels = format!(r#"endpoint="e",{cohort}backend="{backend}",code_class="{class}""#);
            assert!(has_zero(&page, "traffic_policy_responses_total", &labels), "{labels}\n{page}");
        }
        let labels = format!(r#"endpoint="e",backend="copy",result="{class}""#);
        assert!(has_zero(&page, "traffic_policy_shadow_total", &labels), "{labels}\n{page}");
    }
}

/// Whether the series with exactly these labels, in any order, is on the page with value 0.
fn has_zero(page: &str, metric: &str, labels: &str) -> bool {
    let sorted = |labels: &str| {
        let mut labels: Vec<_> = labels.split(',').map(str::to_owned).collect();
        labels.sort();
        labels
    };
    page.lines()
        .filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.strip_suffix("} 0"))
        .any(|found| sorted(found) == sorted(labels))
}

/// How many responses and copies have ended with each class.
#[derive(Default, Debug, PartialEq)]
struct Counts {
    responses: [u64; CLASSES.len()],
    copies: [u64; CLASSES.len()],
}

impl Counts {
    fn add(&mut self, response: &str, copy: &str) {
        let number = |class| CLASSES.iter().position(|known| *known == class).unwrap();
        self.responses[number(response)] += 1;
        self.copies[number(copy)] += 1;
    }

    async fn wait(&self, envoy: &Envoy, what: &str) {
        wait_until(what, async || {
            let mut seen = Self::default();
            for (n, class) in CLASSES.into_iter().enumerate() {
                seen.responses[n] = responses(envoy, class).await;
                seen.copies[n] = envoy.outcomes("copy", class).await.unwrap();
            }
            seen == *self
        })
        .await
        .unwrap();
    }
}

async fn responses(envoy: &Envoy, class: &str) -> u64 {
    envoy.metric("traffic_policy_responses_total", &[("code_class", class)]).await.unwrap()
}

async fn envoy<const N: usize>(policy: String, servers: [(&str, SocketAddr); N]) -> Envoy {
    let adapt = |bootstrap: &mut Value| clusters(bootstrap).iter_mut().for_each(speak_http2);
    let mut setup = Setup { adapt, ..Setup::new(policy, &[]) };
    setup.clusters.extend(servers.map(|(name, address)| (name.to_owned(), address)));
    Envoy::start(&setup).await.unwrap()
}
