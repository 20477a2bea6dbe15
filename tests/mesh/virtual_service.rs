//! The VirtualService form, for meshes in which EnvoyFilters are forbidden.

use serde_json::Value;
use testbed::client::{Http, served_by};
use testbed::mesh::gateway::{Gateway, Setup};
use testbed::wait_until;

use crate::team::{Mesh, RANKER, assert_no_trace, is_decided, policy, untouched, virtual_service};

#[tokio::test(flavor = "multi_thread")]
async fn routes_in_the_teams_own_virtual_service_follow_the_filter_and_its_other_routes_stay() {
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let gateway = Gateway::start(&mesh.istio, &Setup::new(mesh.port)).await.unwrap();
    let before = untouched(&gateway.client(Http::V1)).await;
    let file = mesh.istio.kubernetes.folder().join("ranker.yaml");
    std::fs::write(&file, serde_saphyr::to_string(&virtual_service("ranker", RANKER, "v1")).unwrap()).unwrap();
    let scope = "--gateway gateway --host ranker.example.com";
    let into = format!("{scope} --routes virtual-service --into {}", file.display());
    let merged = mesh.render(&policy(), &into);
    assert_eq!(serde_saphyr::from_str::<Value>(&merged).unwrap()["kind"], "VirtualService");
    let plugin = mesh.render(&policy(), &format!("{scope} --routes none"));
    mesh.istio.kubernetes.apply(&merged).await.unwrap();
    mesh.apply(&plugin, &gateway).await;

    let client = gateway.client(Http::V1);
    wait_until("the filter decides", async || is_decided(&client).await).await.unwrap();
    mesh.assert_split(&client, RANKER, "/rank").await;
    mesh.forget();
    assert_eq!(untouched(&client).await, before);
    assert_no_trace(&mesh.backends);

    // Merged again into its own result, it is the same.
    std::fs::write(&file, &merged).unwrap();
    assert_eq!(mesh.render(&policy(), &into), merged);
    // Without the filter, the team's own routes serve.
    mesh.istio.kubernetes.delete(&plugin).await.unwrap();
    wait_until("the filter is gone", async || !is_decided(&client).await).await.unwrap();
    for _ in 0..50 {
        assert_eq!(served_by(&client.get("/rank", &[("host", RANKER)]).await.unwrap()), Some("v1"));
    }
}
