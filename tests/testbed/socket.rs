//! Plain sockets: for bytes that no HTTP client sends and no HTTP server answers.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::PATIENCE;

/// Any free port of this machine's loopback interface.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An address that was free a moment ago, for a program that can't choose one itself.
///
/// # Errors
/// When there is no free port.
pub fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind(ANY_PORT)?.local_addr()
}

/// Listens on a free port and runs `serve` for each connection. Returns the address.
///
/// The server ends with the runtime that this function runs in.
///
/// # Errors
/// When there is no free port.
pub async fn serve_each<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> std::io::Result<SocketAddr>
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// Opens a connection to `address` and sends `text`.
///
/// # Errors
/// When the connection fails.
pub async fn connect_and_send(address: SocketAddr, text: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

/// Reads up to and including `end`, and returns what it has read.
///
/// # Errors
/// When the stream ends before, or `end` does not come within [`PATIENCE`].
pub async fn read_until(stream: &mut TcpStream, end: &str) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.ends_with(end.as_bytes()) {
            let byte = stream.read_u8().await.context("the stream has ended");
            seen.push(byte?);
        }
        anyhow::Ok(())
    };
    let result = tokio::time::timeout(PATIENCE, reading).await.context("nothing more comes").flatten();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    ensure!(result.is_ok(), "waited in vain for {end:?} after {seen:?}: {result:?}");
    Ok(seen)
}
