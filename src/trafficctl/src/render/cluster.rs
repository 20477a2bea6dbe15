//! A cluster of Envoy's configuration.

use std::net::IpAddr;

use super::address::{Address, Protocol};
use super::template::scalar;

/// Where Debian, Ubuntu and Envoy's images have the certificates of public authorities.
pub const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whether the cluster speaks TLS.
pub fn speaks_tls(address: &Address) -> bool {
    address.protocol == Some(Protocol::Https)
}

/// The cluster at this address, as an element of the list of clusters. `trusted` is the file with
/// the authorities whose certificates it accepts.
pub fn cluster(address: &Address, trusted: &str) -> String {
    let Address { cluster, host, port, protocol } = address;
    // By default Envoy prefers IPv6 addresses, also where it has no route to them.
    let kind = if is_ip(host) { "STATIC" } else { "STRICT_DNS\n    dns_lookup_family: V4_PREFERRED" };
    let protocol = match protocol {
        None | Some(Protocol::Http1) => String::new(),
        Some(Protocol::Http2) => protocol_options("explicit_http_config: { http2_protocol_options: {} }"),
        // HTTP/2 if the server agrees by ALPN.
        Some(Protocol::Https) => protocol_options("auto_config: {}") + &tls(host, trusted),
    };
    let (name, host) = (scalar(cluster), scalar(host));
    format!(
        "  - name: {name}
    type: {kind}
    connect_timeout: 1s
{protocol}    load_assignment:
      cluster_name: {name}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }} }}] }}]
"
    )
}

fn protocol_options(options: &str) -> String {
    format!(
        "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        {options}
"
    )
}

/// TLS that accepts only a certificate for this host from a trusted authority.
fn tls(host: &str, trusted: &str) -> String {
    let (kind, name) = if is_ip(host) { ("IP_ADDRESS", String::new()) } else { ("DNS", scalar(host)) };
    // An address is no server name (RFC 6066, section 3).
    let sni = if name.is_empty() { name } else { format!("        sni: {name}\n") };
    format!(
        "    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}        common_tls_context:
          validation_context:
            trusted_ca: {{ filename: {} }}
            match_typed_subject_alt_names: [{{ san_type: {kind}, matcher: {{ exact: {} }} }}]
",
        scalar(trusted),
        scalar(host)
    )
}

fn is_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}
