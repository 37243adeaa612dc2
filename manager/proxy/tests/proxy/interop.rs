//! Against another implementation of HTTP/2, in both roles.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server};
use http::{Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::pki_types::ServerName};
use weft_proxy::Credentials;

use crate::support::{Mesh, echo, id, settings};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) async fn tls(mesh: &Mesh, name: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config = mesh.ca.client(&id(name), &[id("server")]).unwrap();
    let stream = TcpStream::connect(mesh.hbone()).await.unwrap();
    let address = ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into());
    TlsConnector::from(config)
        .connect(address, stream)
        .await
        .unwrap()
}

async fn connect(
    sender: &mut client::SendRequest<Bytes>,
    authority: &str,
) -> (StatusCode, SendStream<Bytes>, RecvStream) {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(authority)
        .body(())
        .unwrap();
    let (response, sending) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    (response.status(), sending, response.into_body())
}

async fn send(sending: &mut SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        sending.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx))
            .await
            .unwrap()
            .unwrap();
        sending
            .send_data(bytes.split_to(room.min(bytes.len())), false)
            .unwrap();
    }
}

async fn receive(mut receiving: RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = receiving.data().await {
        let bytes = bytes.unwrap();
        receiving
            .flow_control()
            .release_capacity(bytes.len())
            .unwrap();
        all.extend_from_slice(&bytes);
    }
    all
}

fn pattern(length: usize) -> Bytes {
    (0..length)
        .map(|it| (it / 3 % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// As ztunnel sets itself up: frames of a megabyte, windows of several.
fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size((1 << 20) - 1)
        .enable_push(false);
    builder
}

#[test]
fn serves_a_client_of_the_h2_crate() {
    let address = echo();
    let mesh = Mesh::new(settings(1)).to(address);
    runtime().block_on(async {
        let (mut sender, connection) = builder()
            .handshake(tls(&mesh, "client").await)
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let mut tunnels = Vec::new();
        for index in 0..20 {
            let (status, mut sending, receiving) = connect(&mut sender, &address.to_string()).await;
            assert_eq!(status, 200);
            tunnels.push(tokio::spawn(async move {
                let bytes = pattern(index * 300_000 + 1);
                let received = tokio::spawn(receive(receiving));
                send(&mut sending, bytes.clone()).await;
                sending.send_data(Bytes::new(), true).unwrap();
                assert!(received.await.unwrap() == bytes, "tunnel {index}");
            }));
        }
        for tunnel in tunnels {
            tunnel.await.unwrap();
        }
        for (authority, expected) in [("10.0.0.1", 400), ("shop:80", 400), ("127.0.0.1:1", 503)] {
            assert_eq!(
                connect(&mut sender, authority).await.0,
                expected,
                "{authority}"
            );
        }
        let get = Request::builder()
            .uri("https://127.0.0.1:80/")
            .body(())
            .unwrap();
        let (response, _) = sender.send_request(get, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 400);
        *mesh.world.denied.lock().unwrap() = Some("policy".into());
        assert_eq!(connect(&mut sender, &address.to_string()).await.0, 401);
        drop(sender);
        driver.await.unwrap().unwrap();
    });
}

#[test]
fn a_tunnel_reset_by_the_h2_crate_resets_the_application() {
    let (sender, seen) = std::sync::mpsc::channel();
    let address = crate::support::serve(move |mut stream| {
        let mut bytes = Vec::new();
        sender
            .send(stream.read_to_end(&mut bytes).map_err(|it| it.kind()))
            .unwrap();
    });
    let mesh = Mesh::new(settings(1)).to(address);
    runtime().block_on(async {
        let (mut sender, connection) = builder()
            .handshake(tls(&mesh, "client").await)
            .await
            .unwrap();
        tokio::spawn(connection);
        let (_, mut sending, _receiving) = connect(&mut sender, &address.to_string()).await;
        sending.send_data(pattern(10), false).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        sending.send_reset(h2::Reason::CANCEL);
        tokio::time::sleep(Duration::from_millis(200)).await;
    });
    let result = seen.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(result, Err(std::io::ErrorKind::ConnectionReset));
}

/// A proxy made of the h2 crate that echoes; after so many tunnels it says GOAWAY.
async fn peer(mesh: &Mesh, tunnels_each: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = mesh.ca.server(&id("server")).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut builder = server::Builder::new();
                builder
                    .initial_window_size(100_000)
                    .max_concurrent_streams(10);
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                let mut count = 0;
                while let Some(request) = connection.accept().await {
                    let Ok((request, mut respond)) = request else {
                        return;
                    };
                    count += 1;
                    if count == tunnels_each {
                        connection.graceful_shutdown();
                    }
                    assert_eq!(request.method(), Method::CONNECT);
                    assert_eq!(request.headers()["baggage"], "k8s.namespace.name=default");
                    tokio::spawn(async move {
                        let mut receiving = request.into_body();
                        let mut sending = respond.send_response(Response::new(()), false).unwrap();
                        while let Some(Ok(bytes)) = receiving.data().await {
                            receiving
                                .flow_control()
                                .release_capacity(bytes.len())
                                .unwrap();
                            send(&mut sending, bytes).await;
                        }
                        sending.send_data(Bytes::new(), true).ok();
                    });
                }
            });
        }
    });
    address
}

fn round(mesh: &Mesh, length: usize) {
    let bytes = pattern(length);
    let mut stream = mesh.dial();
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == bytes, "{length}: {} came back", received.len());
    sending.join().unwrap();
}

#[test]
fn uses_a_server_of_the_h2_crate() {
    let runtime = runtime();
    let mesh = Mesh::new(settings(1)).to("127.0.0.1:80".parse().unwrap());
    let address = runtime.block_on(peer(&mesh, usize::MAX));
    mesh.reach(address, &["server"]);
    // More at once than the peer allows in one connection.
    std::thread::scope(|scope| {
        for index in 0..40 {
            let mesh = &mesh;
            scope.spawn(move || round(mesh, index * 100_000 + index));
        }
    });
}

#[test]
fn goes_elsewhere_when_the_peer_goes_away() {
    let runtime = runtime();
    let mesh = Mesh::new(settings(1)).to("127.0.0.1:80".parse().unwrap());
    let address = runtime.block_on(peer(&mesh, 3));
    mesh.reach(address, &["server"]);
    for _ in 0..20 {
        round(&mesh, 10_000);
    }
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| round(&mesh, 10_000));
        }
    });
}
