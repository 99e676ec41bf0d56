//! Fetching every page that can be reached from the first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use html5gum::{Token, Tokenizer};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode, client};
use indicatif::ProgressBar;
use riata::net::TcpStream;
use rustix::time::{ClockId, clock_gettime};
use url::Url;

use crate::report::Report;

/// Where a page's links lead.
pub(crate) fn links(text: &str) -> impl Iterator<Item = String> {
    Tokenizer::new(text)
        .flatten()
        .filter_map(|token| match token {
            Token::StartTag(tag) if *tag.name == b"a" => {
                let address = tag.attributes.get(b"href".as_slice())?;
                Some(String::from_utf8_lossy(address).into_owned())
            }
            _ => None,
        })
}

/// Why a page could not be had. Where aiohttp has a name for it, it is written as that name, so
/// that both reports can be compared.
pub(crate) enum Failure {
    Timeout,
    Status(StatusCode),
    Connect,
    Disconnected,
    BrokenBody,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Connect => f.write_str("ClientConnectorError"),
            Self::Disconnected => f.write_str("ServerDisconnectedError"),
            Self::BrokenBody => f.write_str("ClientPayloadError"),
        }
    }
}

/// An open connection; dropping it closes it.
pub(crate) struct Connection {
    pub(crate) sender: client::conn::http1::SendRequest<Empty<Bytes>>,
    pub(crate) driver: riata::Task<()>,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::conn::http1::handshake(stream).await?;
        let driver = riata::spawn(async {
            // How it ends is told to whoever waits for a response.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.cancel();
    }
}

/// Fetches every page that can be reached from the first, each once.
pub(crate) struct Crawler {
    pub(crate) server: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) limit: usize,
    pub(crate) bar: ProgressBar,
    pub(crate) seen: RefCell<HashSet<Url>>,
    pub(crate) waiting: riata::Queue<Url>,
    pub(crate) report: RefCell<Report>,
}

impl Crawler {
    /// Has a page fetched, unless it was before or enough were.
    pub(crate) fn add(&self, address: Url) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() < self.limit && seen.insert(address.clone()) {
            self.bar.set_length(seen.len() as u64);
            // It has no limit and is shut down when nobody adds any more.
            let _ = self.waiting.put_nowait(address);
        }
    }

    /// Follows links from `first` until none are left, at most `concurrency` requests at a time.
    pub(crate) async fn crawl(
        self: Rc<Self>,
        first: Url,
        concurrency: usize,
    ) -> Result<Report, Box<dyn Error>> {
        let (started, cpu) = (Instant::now(), process_time());
        self.add(first);
        let crawler = Rc::clone(&self);
        riata::task_group(async |group: riata::TaskGroup<riata::TaskDoneTooOften>| {
            for _ in 0..concurrency {
                group.spawn(Rc::clone(&crawler).work()).detach();
            }
            crawler.waiting.join().await;
            crawler.waiting.shutdown(); // the workers find it empty and end
            Ok(())
        })
        .await?;
        let mut report = self.report.take();
        report.elapsed = started.elapsed().as_secs_f64();
        report.cpu = process_time() - cpu;
        Ok(report)
    }

    /// Fetches page after page, on one connection while it lasts.
    pub(crate) async fn work(self: Rc<Self>) -> Result<(), riata::TaskDoneTooOften> {
        let mut connection = None;
        while let Ok(address) = self.waiting.get().await {
            let fetched = riata::timeout(self.timeout, self.fetch(&mut connection, &address));
            let failure = match fetched.await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure),
                Err(riata::Elapsed) => Some(Failure::Timeout),
            };
            if let Some(failure) = failure {
                if !matches!(failure, Failure::Status(_)) {
                    connection = None;
                }
                let mut report = self.report.borrow_mut();
                *report.errors.entry(failure.to_string()).or_default() += 1;
            }
            self.bar.inc(1);
            self.waiting.task_done()?;
        }
        Ok(())
    }

    pub(crate) async fn fetch(
        &self,
        open: &mut Option<Connection>,
        address: &Url,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let is_open = match open {
            Some(connection) => connection.sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let connection = Connection::open(self.server).await;
            *open = Some(connection.map_err(|_| Failure::Connect)?);
        }
        let Some(connection) = open else {
            return Err(Failure::Connect);
        };
        let request = Request::get(address.path()).header(HOST, self.server.to_string());
        let request = request.body(Empty::new()).map_err(|_| Failure::Connect)?;
        let sent = connection.sender.send_request(request).await;
        let response = sent.map_err(|_| Failure::Disconnected)?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|_| Failure::BrokenBody)?.to_bytes();
        if status.is_client_error() || status.is_server_error() {
            return Err(Failure::Status(status));
        }
        let text = String::from_utf8_lossy(&body);
        {
            let mut report = self.report.borrow_mut();
            report.latencies.push(started.elapsed().as_secs_f64());
            report.pages += 1;
            report.bytes += text.len();
        }
        for link in links(&text) {
            // What is no address is no page.
            if let Ok(mut found) = address.join(&link) {
                found.set_fragment(None);
                self.add(found);
            }
        }
        Ok(())
    }
}

/// CPU seconds of this process, on all its threads.
fn process_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
