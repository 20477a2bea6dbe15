//! A VM whose memory runs out.

use std::path::{Path, PathBuf};

use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::cargo::build_wasm;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::{all_to, hash, shadowed};
use testbed::upload::Upload;
use testbed::wait_until;

/// Writes the filter with at most `mib` MiB of memory into `folder`.
fn with_memory(mib: u8, folder: &Path) -> PathBuf {
    let module = std::fs::read(build_wasm().unwrap()).unwrap();
    let memory = wasmparser::Parser::new(0).parse_all(&module).find_map(|part| match part.unwrap() {
        wasmparser::Payload::MemorySection(memory) => Some(memory.range()),
        _ => None,
    });
    let memory = memory.unwrap();
    let (start, end) = (memory.start as usize, memory.end as usize);
    // One memory, with a minimum and without a maximum.
    assert_eq!(module[start..start + 2], [1, 0]);
    let pages = usize::from(mib) * 16;
    let maximum = [(pages & 0x7f) as u8 | 0x80, (pages >> 7) as u8];
    let section = [&[1, 1], &module[start + 2..end], &maximum].concat();
    // Its length, in one byte, is in front of it.
    let limited = [&module[..start - 1], &[u8::try_from(section.len()).unwrap()], &section, &module[end..]].concat();
    let path = folder.join("limited.wasm");
    std::fs::write(&path, limited).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_for_which_there_is_no_memory_is_not_copied_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = shadowed(json!({ "copy": { "fraction": 1, "max_body_bytes": 32 << 20 } }));
    let module = Some(with_memory(24, folder.path()));
    let envoy = Envoy::start(&Setup { module, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    // The first can be gathered, but not put into one piece; the second can't be gathered.
    for (round, mib) in [(1, 14), (2, 30)] {
        let answer = client.send("PUT", "/", [], vec![b'x'; mib << 20]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
        wait_until("the copy is skipped", async || envoy.outcomes("copy", "skipped_memory").await.unwrap() == round)
            .await
            .unwrap();
    }
    client.send("PUT", "/", [], vec![b'x'; 4 << 20]).await.unwrap();
    wait_until("a smaller one is copied", async || envoy.outcomes("copy", "2xx").await.unwrap() == 1).await.unwrap();
    assert_eq!(named(&backends, "main").count(), 3);
    assert!(!envoy.log().contains("panicked"), "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_memory_for_a_policy_goes_on_with_the_one_before_and_is_missing_in_the_contexts() {
    let folder = tempfile::tempdir().unwrap();
    let backends = Backend::start_all(["main", "copy", "other"]).await.unwrap();
    let policy = shadowed(json!({ "copy": { "fraction": 1, "max_body_bytes": 32 << 20 } }));
    let module = Some(with_memory(48, folder.path()));
    let envoy = Envoy::start(&Setup { module, ..Setup::new(policy.as_str(), &backends) }).await.unwrap();
    envoy.wait_until_published(&policy).await.unwrap();
    // The worker's memory is full of a body that is coming in.
    let client = envoy.client(Http::V1);
    let upload = Upload::start(&client, 30 << 20).await.unwrap();
    wait_until("the body comes in", async || named(&backends, "main").body_bytes() == 30 << 20).await.unwrap();
    let endpoint = |n: usize| json!({ "name": format!("endpoint-{n}"), "route": format!("/endpoint-{n}"), "traffic": { "other": 1 } });
    let large = json!({ "endpoints": (0..6_000).map(endpoint).collect::<Vec<_>>() }).to_string();
    envoy.put_policy(&large).unwrap();
    wait_until("the worker refuses", async || envoy.log().contains("no memory to load")).await.unwrap();
    for _ in 0..20 {
        let answer = client.get("/endpoint-1", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
    }
    // Only the main thread runs the new policy, and it is not published.
    assert_eq!(envoy.policy_hash().await.unwrap(), hash(&policy));
    // With memory again, the next policy is loaded.
    assert_eq!(served_by(&upload.finish().await.unwrap()), Some("main"));
    envoy.put_policy(&all_to("other")).unwrap();
    envoy.wait_until_published(&all_to("other")).await.unwrap();
    assert_eq!(served_by(&client.get("/", &[]).await.unwrap()), Some("other"));
    assert!(!envoy.log().contains("panicked"), "{}", envoy.log());
}
