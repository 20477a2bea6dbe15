//! How the module reaches a proxy, and what becomes of requests if it does not.

use testbed::cargo::build_wasm;
use testbed::client::Http;
use testbed::mesh::gateway::{Gateway, Setup};
use testbed::mesh::registry::{Registry, module_digest, sha256};
use testbed::wait_until;

use crate::alerts;
use crate::team::{Mesh, Watch, is_decided, policy, untouched};

const OPTIONS: &str = "--gateway gateway --host ranker.example.com";

/// Starts a mesh and a registry, from which its gateways may fetch modules.
async fn start() -> (Mesh, Registry, Setup) {
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let registry = Registry::start().await.unwrap();
    let setup = Setup { insecure_registries: registry.address().to_string(), ..Setup::new(mesh.port) };
    (mesh, registry, setup)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_comes_from_a_registry_by_http_or_from_a_file() {
    let (mesh, registry, setup) = start().await;
    let address = registry.address();
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let image = registry.push("target/image", "traffic-policy:1").unwrap();
    let artifact = registry.push("target/artifact", "artifact:1").unwrap();
    let module = build_wasm().unwrap();
    let (in_artifact, in_file) = (module_digest().unwrap(), sha256(&module).unwrap());
    let watch = Watch::start(&client);
    for (image, digest) in [
        (format!("{address}/traffic-policy:1"), &image),
        (format!("oci://{address}/artifact:1"), &artifact),
        // The last layer of the artifact is the module itself.
        (format!("http://{address}/v2/artifact/blobs/sha256:{in_artifact}"), &in_artifact),
        (format!("file://{}", module.display()), &in_file),
    ] {
        let objects = mesh.render_image(&policy(), OPTIONS, &image, digest);
        mesh.istio.kubernetes.apply(&objects).await.unwrap();
        wait_until(&format!("the filter from {image} decides"), async || is_decided(&client).await)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", gateway.log()));
        mesh.istio.kubernetes.delete(&objects).await.unwrap();
        wait_until("the filter is gone", async || !is_decided(&client).await).await.unwrap();
    }
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_be_fetched_leaves_the_teams_own_routes() {
    let (mesh, registry, setup) = start().await;
    let address = registry.address();
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let before = untouched(&client).await;
    let digest = registry.push("target/image", "traffic-policy:1").unwrap();
    let image = format!("{address}/traffic-policy:1");
    let good = mesh.render_image(&policy(), OPTIONS, &image, &digest);
    mesh.apply(&good, &gateway).await;

    let watch = Watch::start(&client);
    let wrong_digest = mesh.render_image(&policy(), OPTIONS, &image, &"0123456789abcdef".repeat(4));
    mesh.istio.kubernetes.apply(&wrong_digest).await.unwrap();
    wait_until("the filter is gone", async || !is_decided(&client).await).await.unwrap();
    assert_eq!(untouched(&client).await, before);
    alerts::assert_holds(&gateway, "ProxyWithoutFilter").await;
    mesh.apply(&good, &gateway).await;
    wait_until("the filter decides again", async || is_decided(&client).await).await.unwrap();

    // The registry is down, and another version is asked for.
    drop(registry);
    let other =
        mesh.render_image(&policy(), OPTIONS, &format!("{address}/traffic-policy:2"), &"fedcba9876543210".repeat(4));
    mesh.istio.kubernetes.apply(&other).await.unwrap();
    wait_until("the filter is gone", async || !is_decided(&client).await).await.unwrap();
    assert_eq!(untouched(&client).await, before);
    watch.stop().await;

    // A new proxy, with the registry still down.
    drop(gateway);
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let watch = Watch::start(&client);
    assert_eq!(untouched(&client).await, before);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!is_decided(&client).await);
    alerts::assert_holds(&gateway, "ProxyWithoutFilter").await;
    assert!(watch.stop().await > 50);
}
