//! hyper's own client and server on streams and timers of this crate.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::os::fd::AsFd;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use riata::hyper::{Executor, Timer};
use riata::net::{Stream, TcpListener, TcpStream, UnixStream};
use riata::{Runtime, run, spawn};

/// Answers with the path and the body.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(response(StatusCode::BAD_REQUEST, Bytes::new())),
    };
    Ok(response(
        StatusCode::OK,
        [path.as_bytes(), b" ", &body].concat().into(),
    ))
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

fn request(path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://localhost{path}"))
        .body(Full::new(body.into()))
        .unwrap()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Small and large bodies, one after the other, on one connection.
async fn exchange_over_http1<S: AsFd + Unpin + 'static>(near: Stream<S>, far: Stream<S>) {
    let server = spawn(async move {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(Timer::new());
        http.serve_connection(far, service_fn(echo)).await
    });
    let (mut client, connection) = hyper::client::conn::http1::handshake(near).await.unwrap();
    let connection = spawn(connection);
    for length in [0, 1, 10_000, 3 << 20] {
        let body = vec![b'x'; length];
        let path = format!("/{length}");
        client.ready().await.unwrap();
        let response = client
            .send_request(request(&path, body.clone()))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert!(answer == [path.as_bytes(), b" ", &body].concat());
    }
    drop(client);
    connection.await.unwrap().unwrap();
    server.await.unwrap().unwrap();
}

#[test]
fn http1_over_tcp() {
    run(async {
        let (client, server) = pair().await;
        exchange_over_http1(client, server).await;
    });
}

#[test]
fn http1_over_a_unix_stream() {
    run(async {
        let (client, server) = UnixStream::pair().unwrap();
        exchange_over_http1(client, server).await;
    });
}

#[test]
fn many_requests_at_once_over_http2() {
    run(async {
        let (client, server) = pair().await;
        let server = spawn(async move {
            let mut http = hyper::server::conn::http2::Builder::new(Executor);
            http.timer(Timer::new());
            http.serve_connection(server, service_fn(echo)).await
        });
        let mut http = hyper::client::conn::http2::Builder::new(Executor);
        http.timer(Timer::new());
        let (client, connection) = http.handshake(client).await.unwrap();
        let connection = spawn(connection);
        let requests: Vec<_> = (0..50)
            .map(|number| {
                let mut client = client.clone();
                spawn(async move {
                    let path = format!("/{number}");
                    let body = vec![number; 10_000];
                    let response = client
                        .send_request(request(&path, body.clone()))
                        .await
                        .unwrap();
                    let answer = response.into_body().collect().await.unwrap().to_bytes();
                    assert!(answer == [path.as_bytes(), b" ", &body].concat());
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        drop(client);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn hypers_timeouts_run_on_the_loops_clock() {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(async {
        let (_silent, server) = pair().await;
        let before = riata::time();
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(Timer::new());
        let limit = std::time::Duration::from_secs(3600);
        http.header_read_timeout(limit);
        let error = http
            .serve_connection(server, service_fn(echo))
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(riata::time() - before, limit);
    });
}
