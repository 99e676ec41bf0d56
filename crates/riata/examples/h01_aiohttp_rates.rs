//! A web server and its client in one loop: five requests that take half a second each, at once.

mod as_python;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use riata::net::{TcpListener, TcpStream};
use serde::{Deserialize, Serialize};

const SYMBOLS: [&str; 5] = ["USD", "EUR", "PLN", "NOK", "CZK"];
const BASES: [&str; 5] = SYMBOLS;

#[derive(Serialize, Deserialize)]
struct Rates {
    rates: BTreeMap<String, f64>,
}

async fn rates(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, serde_json::Error> {
    riata::sleep(Duration::from_millis(500)).await;
    let query = request.uri().query().unwrap_or_default();
    let base = query.strip_prefix("base=").unwrap_or_default();
    let others = SYMBOLS.iter().filter(|&&symbol| symbol != base);
    let rates = others.map(|&symbol| (symbol.into(), 1.5)).collect();
    let body = serde_json::to_vec(&Rates { rates })?;
    Ok(Response::new(body.into()))
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        riata::spawn(async {
            let connection =
                server::conn::http1::Builder::new().serve_connection(stream, service_fn(rates));
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

async fn rates_of(server: SocketAddr, base: &str) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
    riata::spawn(connection).detach();
    let request = Request::get(format!("/rates?base={base}")).header(HOST, server.to_string());
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let body = response.into_body().collect().await?.to_bytes();
    let Rates { mut rates } = serde_json::from_slice(&body)?;
    rates.insert(base.into(), 1.0);
    Ok(rates)
}

fn present_result(base: &str, rates: &BTreeMap<String, f64>) {
    let rates = SYMBOLS.map(|symbol| format!("{:7.1} {symbol}", rates[symbol]));
    println!("1 {base} = {}", rates.join(", "));
}

async fn main_task() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let serving = riata::spawn(serve(listener));
    let requests = BASES.map(|base| async move { (base, rates_of(server, base).await) });
    for (base, rates) in riata::gather(requests).await {
        present_result(base, &rates?);
    }
    serving.cancel();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    riata::run(main_task())?;
    let at_once = started.elapsed() < Duration::from_millis(1500);
    println!("concurrent: {}", as_python::truth(at_once));
    Ok(())
}
