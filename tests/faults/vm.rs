//! A VM that dies.

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use http_body_util::channel::Channel;
use serde_json::json;
use testbed::backend::Backend;
use testbed::cargo::build_wasm;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::{all_to, hash, one_endpoint};
use testbed::{wait_for, wait_until};

/// Writes the filter with a bug into the file `into`: it traps when a request has trailers.
fn trapping_at_trailers(into: &Path) {
    const CALLBACK: &str = "proxy_on_request_trailers";
    let mut module = std::fs::read(build_wasm().unwrap()).unwrap();
    let (mut imported, mut callback, mut bodies) = (0, None, Vec::new());
    for part in wasmparser::Parser::new(0).parse_all(&module) {
        match part.unwrap() {
            wasmparser::Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map(Result::unwrap);
                imported = imports.filter(|import| matches!(import.ty, wasmparser::TypeRef::Func(_))).count();
            }
            wasmparser::Payload::ExportSection(exports) => {
                let exports: Vec<_> = exports.into_iter().map(Result::unwrap).collect();
                let of_name = exports.iter().find(|export| export.name == CALLBACK).unwrap();
                let sharing =
                    exports.iter().filter(|export| export.kind == of_name.kind && export.index == of_name.index);
                assert_eq!(sharing.count(), 1, "another export is the same function");
                callback = Some(of_name.index as usize);
            }
            wasmparser::Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    // No locals, `unreachable` up to the end, and `end`. The length stays the same, so nothing else
    // moves.
    let body = bodies.swap_remove(callback.unwrap() - imported);
    let body = &mut module[body.start as usize..body.end as usize];
    body.fill(0);
    *body.last_mut().unwrap() = 0x0b;
    std::fs::write(into, module).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_dies_fails_the_requests_in_flight_and_the_next_request_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("trapping.wasm");
    trapping_at_trailers(&module);
    let backends = Backend::start_all(["a", "b", "copy"]).await.unwrap();
    let traffic = json!({ "a": 0.5, "b": 0.5 });
    let policy = one_endpoint(json!({ "name": "e", "traffic": traffic, "shadow": { "copy": 1 } }));
    let setup = Setup { module: Some(module), ..Setup::new(policy.as_str(), &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    let client = envoy.client(Http::V1);
    let keys: Vec<_> = (0..20).map(|n| format!("user-{n}")).collect();
    let placed = async || {
        let mut placed = Vec::new();
        for key in &keys {
            let answer = client.get("/", &[("x-serve-shard-key", key)]).await.unwrap();
            placed.push(served_by(&answer).map(str::to_owned));
        }
        placed
    };
    let before = placed().await;
    assert!(before.iter().all(Option::is_some), "{before:?}");
    let copied = async || envoy.outcomes("copy", "2xx").await.unwrap();
    wait_until("all requests are copied", async || copied().await == 20).await.unwrap();
    let reloads = async || envoy.stat("wasm.traffic-policy.vm_reload_success").await.unwrap();
    for death in 1..=3 {
        // In flight: a request whose upstream is slow, and one that is still coming in.
        backends.iter().for_each(|backend| backend.answer_after(Duration::from_secs(1)));
        let seen = || backends.iter().take(2).map(Backend::count).sum::<u64>();
        let before_slow = seen();
        let slow = tokio::spawn({
            let client = client.clone();
            async move { client.get("/slow", &[]).await.unwrap() }
        });
        let (mut sender, body) = Channel::<bytes::Bytes>::new(1);
        let upload = tokio::spawn({
            let client = client.clone();
            async move { client.send_body("PUT", "/upload", [], body).await.unwrap() }
        });
        let bytes_before: u64 = backends.iter().map(Backend::body_bytes).sum();
        sender.send_data("half".into()).await.unwrap();
        wait_until("both are in flight", async || {
            seen() > before_slow && backends.iter().map(Backend::body_bytes).sum::<u64>() > bytes_before
        })
        .await
        .unwrap();
        backends.iter().for_each(|backend| backend.answer_after(Duration::ZERO));
        // The request that kills the VM.
        let (mut killer, body) = Channel::new(1);
        let trap = tokio::spawn({
            let client = envoy.client(Http::V2);
            async move { client.send_body("POST", "/", [], body).await }
        });
        killer.send_data("body".into()).await.unwrap();
        killer
            .send_trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-a"), "1".parse().unwrap())]))
            .await
            .unwrap();
        drop(killer);
        let killed = trap.await.unwrap().unwrap();
        assert_eq!(killed.status(), StatusCode::SERVICE_UNAVAILABLE);
        // Each request fails when Envoy calls the filter for it again.
        sender.send_data("rest".into()).await.unwrap();
        drop(sender);
        for (what, request) in [("the slow one", slow), ("the upload", upload)] {
            let answer = request.await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
        }
        // The VM has lived longer than the back-off. So the next request starts a new one, and is
        // served.
        assert_eq!(placed().await, before, "after death {death}");
        assert_eq!(reloads().await, death);
        let copies = copied().await;
        client.get("/", &[]).await.unwrap();
        wait_until("copies are sent", async || copied().await > copies).await.unwrap();
    }
    assert!(envoy.log().contains("unreachable"), "the VM has died for another reason");
}

/// Sends the request that kills the VM of the worker that gets it.
async fn kill(envoy: &Envoy) {
    let (mut killer, body) = Channel::<bytes::Bytes>::new(1);
    let client = envoy.client(Http::V2);
    let trap = tokio::spawn(async move { client.send_body("POST", "/", [], body).await });
    killer.send_data("body".into()).await.unwrap();
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-a"), "1".parse().unwrap())]);
    killer.send_trailers(trailers).await.unwrap();
    drop(killer);
    assert_eq!(trap.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_is_started_again_goes_on_with_the_last_good_policy_after_a_refused_one() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("trapping.wasm");
    trapping_at_trailers(&module);
    let backends = Backend::start_all(["a"]).await.unwrap();
    let good = all_to("a");
    let envoy = Envoy::start(&Setup { module: Some(module), ..Setup::new(good.as_str(), &backends) }).await.unwrap();
    envoy.wait_until_published(&good).await.unwrap();
    let client = envoy.client(Http::V1);
    envoy.put_policy(r#"{"if_invalid": "keep", "endpoints": 7}"#).unwrap();
    let refused = async || envoy.metric("traffic_policy_refused", &[]).await.unwrap();
    wait_until("the policy is refused", async || refused().await == 1).await.unwrap();
    for death in 1..=2 {
        // Longer than the back-off: otherwise Envoy waits with the new VM.
        tokio::time::sleep(Duration::from_millis(500)).await;
        kill(&envoy).await;
        for _ in 0..20 {
            assert_eq!(served_by(&client.get("/", &[]).await.unwrap()), Some("a"), "after death {death}");
        }
        assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload_success").await.unwrap(), death);
        assert_eq!((refused().await, envoy.policy_hash().await.unwrap()), (1, hash(&good)));
    }
    let next = one_endpoint(json!({ "name": "next", "traffic": { "a": 1 } }));
    envoy.put_policy(&next).unwrap();
    envoy.wait_until_published(&next).await.unwrap();
    assert_eq!(refused().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_vm_has_died_for_good_is_missing_in_the_contexts_within_two_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("trapping.wasm");
    trapping_at_trailers(&module);
    let backends = Backend::start_all(["a"]).await.unwrap();
    let policy = all_to("a");
    let setup = Setup { module: Some(module), workers: 2, ..Setup::new(policy.as_str(), &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    let verdict = envoy.judge(async || {
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(envoy.policy_file())?)?;
        let config = &mut file["resources"][0]["typed_config"]["config"];
        config["failure_policy"] = json!("FAIL_OPEN");
        config.as_object_mut().unwrap().remove("reload_config");
        envoy.put_file(file.to_string().as_bytes())
    });
    verdict.await.unwrap();
    let contexts = async || envoy.stat("wasmcustom.traffic_policy_policy_contexts").await.unwrap();
    wait_until("all threads run the policy", async || contexts().await == 3).await.unwrap();
    kill(&envoy).await;
    let patience = Duration::from_secs(120);
    wait_for(patience, "the dead one is missing", async || contexts().await == 2).await.unwrap();
    // The others go on to count.
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(contexts().await, 2);
}
