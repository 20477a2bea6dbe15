//! What `render` prints is taken by the API server and by the control plane.

use testbed::mesh::istio::Istio;
use testbed::read;

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_files_are_taken_by_the_api_server_and_the_control_plane() {
    let istio = Istio::start().await.unwrap();
    for file in ["istio-gateway.yaml", "istio-sidecar.yaml", "istio-virtual-service.yaml"] {
        istio.kubernetes.judge(&read(&format!("envoy/{file}")).unwrap()).await.unwrap();
    }
}
