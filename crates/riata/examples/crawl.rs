//! Serves Python's standard library as a web site, and crawls it: hyper's server and client in
//! one loop.
//!
//! The Rust twin of the repository's `examples/crawl.py`: the same pages, links and troubles,
//! the same report. Every folder of the library is a page that links to what is in it; every
//! module is pages of source, with links to what it imports. Some pages fail, as pages do: they
//! are missing, answer 500, never answer, or break off half way.
//!
//! ```sh
//! cargo run --release --example crawl
//! cargo run --release --example crawl -- --concurrency 8 --limit 500 --json report.json
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use clap::Parser;
use futures_lite::Stream;
use html5gum::{Token, Tokenizer};
use http_body_util::{BodyExt, Either, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use riata::net::{TcpListener, TcpStream};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use url::Url;

const TEXT: [&str; 11] = [
    "py", "pyi", "txt", "rst", "md", "json", "cfg", "toml", "xml", "csv", "decTest",
];
const UNSEEN: [&str; 3] = ["__pycache__", "site-packages", "dist-packages"];
/// Bytes; what is larger is not served.
const LARGEST: u64 = 1 << 20;
/// Lines of source on one page.
const LINES: usize = 75;
const TROUBLE: [&str; 4] = ["missing", "broken", "silent", "cut-off"];
const HTML: &str = "text/html; charset=utf-8";
/// What Python's `urllib.parse.quote` leaves alone.
const UNQUOTED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>>>>;
type Body = Either<Full<Bytes>, StreamBody<Chunks>>;

/// The pages of a folder: which there are, and what each says.
struct Site {
    root: PathBuf,
    /// Addresses and files, in the order of the walk.
    pages: Vec<(String, PathBuf)>,
    numbers: HashMap<String, usize>,
    read: RefCell<HashMap<usize, Rc<[String]>>>,
    import: Regex,
    closing: riata::Event,
}

impl Site {
    fn new(root: PathBuf) -> Result<Self, Box<dyn Error>> {
        let mut paths = Vec::new();
        walk(&root, &mut paths)?;
        let pages: Vec<_> = paths
            .into_iter()
            .map(|path| (address(&root, &path), path))
            .collect();
        let places = pages.iter().map(|(place, _)| place.clone());
        Ok(Self {
            numbers: places.zip(0..).collect(),
            pages,
            root,
            read: RefCell::default(),
            import: Regex::new(r"(?m)^\s*(?:import|from)\s+([A-Za-z_][\w.]*)")?,
            closing: riata::Event::new(),
        })
    }

    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let answered = match path.strip_prefix("/trouble/") {
            Some(kind) => self.trouble(kind).await,
            None => self.page(&path).await.map(|body| html(&path, &body)),
        };
        Ok(answered.unwrap_or_else(|status| {
            let mut response = Response::new(Either::Left(Full::from(status.to_string())));
            *response.status_mut() = status;
            response
        }))
    }

    async fn page(&self, path: &str) -> Result<String, StatusCode> {
        let (place, number) = path.split_once('@').unwrap_or((path, "1"));
        let Some(&page) = self.numbers.get(place) else {
            return Err(StatusCode::NOT_FOUND);
        };
        if crc32fast::hash(path.as_bytes()).is_multiple_of(199) {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if place.ends_with('/') {
            return Ok(self.folder(&self.pages[page].1));
        }
        let lines = self.lines(page).await;
        let lines = lines.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        self.source(place, number.parse().unwrap_or(0), &lines)
    }

    fn folder(&self, folder: &Path) -> String {
        let inside = self
            .pages
            .iter()
            .filter(|page| page.1.parent() == Some(folder));
        let mut inside: Vec<_> = inside
            .filter(|page| page.1 != self.root)
            .map(|page| link(&page.0))
            .collect();
        inside.push(link("CHANGES.html")); // promised everywhere, written nowhere
        if folder == self.root {
            let all = TROUBLE
                .iter()
                .flat_map(|kind| (0..4).map(move |n| (kind, n)));
            inside.extend(all.map(|(kind, n)| link(&format!("/trouble/{kind}/{n}"))));
        }
        format!("<ul><li>{}</ul>", inside.join("<li>"))
    }

    /// The lines of a file, from the disk once, and not while the loop waits.
    async fn lines(&self, page: usize) -> Result<Rc<[String]>, Box<dyn Error>> {
        if let Some(lines) = self.read.borrow().get(&page) {
            return Ok(Rc::clone(lines));
        }
        let path = self.pages[page].1.clone();
        let lines = riata::run_in_executor(move || read_lines(&path)).await??;
        let lines: Rc<[String]> = lines.into();
        self.read.borrow_mut().insert(page, Rc::clone(&lines));
        Ok(lines)
    }

    fn source(&self, place: &str, number: usize, lines: &[String]) -> Result<String, StatusCode> {
        let mut pages = lines.chunks(LINES);
        let count = pages.len();
        let shown = number.checked_sub(1).and_then(|number| pages.nth(number));
        let source = shown.ok_or(StatusCode::NOT_FOUND)?.join("\n");
        let mut seen = HashSet::new();
        let imports = self.import.captures_iter(&source);
        let mut links: Vec<_> = imports
            .filter_map(|found| found.get(1))
            .filter(|module| seen.insert(module.as_str()))
            .map(|module| format!("/{}", module.as_str().replace('.', "/")))
            .flat_map(|stem| [format!("{stem}.py"), format!("{stem}/")])
            .filter(|module| self.numbers.contains_key(module))
            .map(|module| link(&module))
            .collect();
        if number == 1 {
            links.extend((2..=count).map(|other| link(&format!("{place}@{other}"))));
        }
        let links = links.join(" ");
        Ok(format!("<nav>{links}</nav><pre>{}</pre>", escape(&source)))
    }

    async fn trouble(&self, kind: &str) -> Result<Response<Body>, StatusCode> {
        match kind.split('/').next() {
            Some("broken") => return Err(StatusCode::INTERNAL_SERVER_ERROR),
            Some("silent") => self.closing.wait().await,
            Some("cut-off") => {
                let chunks: Chunks = Box::pin(async_stream::stream! {
                    yield Ok(Frame::data(Bytes::from("<!doctype html>")));
                    riata::yield_now().await; // it is sent meanwhile
                    yield Err(io::Error::other("cut off"));
                });
                let mut response = Response::new(Either::Right(StreamBody::new(chunks)));
                let headers = response.headers_mut();
                headers.insert(CONTENT_LENGTH, 4096.into());
                headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(HTML));
                return Ok(response);
            }
            _ => {}
        }
        Err(StatusCode::NOT_FOUND)
    }

    /// Serves until it is cancelled.
    async fn serve(self: Rc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let site = Rc::clone(&self);
            riata::spawn(async move {
                let service = service_fn(|request| site.answer(request));
                let connection =
                    server::conn::http1::Builder::new().serve_connection(stream, service);
                // Those that are to break do; the client counts them.
                let _ = connection.await;
            })
            .detach();
        }
    }
}

/// A folder and all that is served of it, names in order.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    paths.push(folder.into());
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<_> = entries.collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        // A link that leads nowhere is not served.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let extension = path.extension().and_then(|extension| extension.to_str());
        if metadata.is_dir() {
            if !name.is_some_and(|name| UNSEEN.contains(&name)) {
                walk(&path, paths)?;
            }
        } else if extension.is_some_and(|it| TEXT.contains(&it)) && metadata.len() <= LARGEST {
            paths.push(path);
        }
    }
    Ok(())
}

fn address(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    let inside = inside.strip_prefix('.').unwrap_or(&inside);
    let end = if path.is_dir() && path != root {
        "/"
    } else {
        ""
    };
    format!("/{inside}{end}")
}

/// The lines of a text file, whatever its encoding and its line ends.
fn read_lines(path: &Path) -> io::Result<Vec<String>> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    Ok(text.split(['\n', '\r']).map(String::from).collect())
}

fn html(place: &str, body: &str) -> Response<Body> {
    let place = place.split('@').next().unwrap_or(place);
    let text = format!("<!doctype html><title>{}</title>{body}", escape(place));
    let mut response = Response::new(Either::Left(Full::from(text)));
    let content_type = hyper::header::HeaderValue::from_static(HTML);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn link(address: &str) -> String {
    let quoted = utf8_percent_encode(address, &UNQUOTED);
    format!("<a href=\"{quoted}\">{}</a>", escape(address))
}

/// As Python's `html.escape`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Where a page's links lead.
fn links(text: &str) -> impl Iterator<Item = String> {
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

/// What a crawl found; times in seconds.
#[derive(Default)]
struct Report {
    pages: u64,
    bytes: usize,
    errors: BTreeMap<String, u64>,
    latencies: Vec<f64>,
    elapsed: f64,
    cpu: f64,
}

/// The report as JSON has it; latencies in milliseconds.
#[derive(Serialize)]
struct Summary<'a> {
    pages: u64,
    bytes: usize,
    errors: &'a BTreeMap<String, u64>,
    seconds: f64,
    cpu_seconds: f64,
    pages_per_second: f64,
    latency_ms: Percentiles,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Report {
    /// Pages per second.
    fn rate(&self) -> f64 {
        self.pages as f64 / self.elapsed
    }

    /// The latencies, in milliseconds, that half of the pages stayed within, and so on.
    fn percentiles(&self) -> Percentiles {
        let mut ordered = self.latencies.clone();
        ordered.sort_by(f64::total_cmp);
        let within = |share: f64| {
            let index = (share * ordered.len() as f64) as usize;
            let latency = ordered.get(index).or(ordered.last());
            1e3 * latency.copied().unwrap_or(0.0)
        };
        Percentiles {
            p50: within(0.5),
            p90: within(0.9),
            p99: within(0.99),
            max: within(1.0),
        }
    }

    fn summary(&self) -> Summary<'_> {
        let round = |value: f64, digits| {
            let scale = 10f64.powi(digits);
            (value * scale).round() / scale
        };
        let Percentiles { p50, p90, p99, max } = self.percentiles();
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|it| round(it, 3));
        Summary {
            pages: self.pages,
            bytes: self.bytes,
            errors: &self.errors,
            seconds: round(self.elapsed, 4),
            cpu_seconds: round(self.cpu, 4),
            pages_per_second: round(self.rate(), 1),
            latency_ms: Percentiles { p50, p90, p99, max },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.errors.values().sum();
        let kinds = self
            .errors
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        let errors = if total == 0 {
            String::new()
        } else {
            format!(" ({kinds})")
        };
        let Percentiles { p50, p90, p99, max } = self.percentiles();
        writeln!(f, "pages       {}", self.pages)?;
        writeln!(f, "bytes       {}", self.bytes)?;
        writeln!(f, "errors      {total}{errors}")?;
        writeln!(
            f,
            "seconds     {:.2}, of which CPU {:.2}",
            self.elapsed, self.cpu
        )?;
        writeln!(f, "pages/s     {:.0}", self.rate())?;
        write!(
            f,
            "latency/ms  p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1}"
        )
    }
}

/// Why a page could not be had. Where aiohttp has a name for it, it is written as that name, so
/// that both reports can be compared.
enum Failure {
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
struct Connection {
    sender: client::conn::http1::SendRequest<Empty<Bytes>>,
    driver: riata::Task<()>,
}

impl Connection {
    async fn open(server: SocketAddr) -> Result<Self, Box<dyn Error>> {
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
struct Crawler {
    server: SocketAddr,
    timeout: Duration,
    limit: usize,
    bar: ProgressBar,
    seen: RefCell<HashSet<Url>>,
    waiting: riata::Queue<Url>,
    report: RefCell<Report>,
}

impl Crawler {
    /// Has a page fetched, unless it was before or enough were.
    fn add(&self, address: Url) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() < self.limit && seen.insert(address.clone()) {
            self.bar.set_length(seen.len() as u64);
            // It has no limit and is shut down when nobody adds any more.
            let _ = self.waiting.put_nowait(address);
        }
    }

    /// Follows links from `first` until none are left, at most `concurrency` requests at a time.
    async fn crawl(
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
    async fn work(self: Rc<Self>) -> Result<(), riata::TaskDoneTooOften> {
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

    async fn fetch(&self, open: &mut Option<Connection>, address: &Url) -> Result<(), Failure> {
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

/// Serve Python's own standard library as a web site, and crawl it.
#[derive(Parser)]
struct Options {
    /// The folder to serve, instead of the standard library that python3 has
    #[arg(value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// For one request
    #[arg(long, value_name = "SECONDS", default_value = "2.0", value_parser = seconds)]
    timeout: Duration,
    /// Stop after so many pages
    #[arg(long, value_name = "PAGES", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Write the report there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err("must be positive".into()),
        span => span.map_err(|error| error.to_string()),
    }
}

/// Where python3 has its standard library.
fn standard_library() -> Result<PathBuf, Box<dyn Error>> {
    let ask = "import sysconfig; print(sysconfig.get_path('stdlib'), end='')";
    let answer = Command::new("python3").args(["-c", ask]).output()?;
    if !answer.status.success() {
        return Err("python3 does not say where its standard library is: name a folder".into());
    }
    Ok(String::from_utf8(answer.stdout)?.into())
}

/// Serves, crawls, stops serving.
async fn run(root: PathBuf, options: &Options) -> Result<Report, Box<dyn Error>> {
    let site = Rc::new(Site::new(root)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let serving = riata::spawn(Rc::clone(&site).serve(listener));
    let style = "crawling {wide_bar} {pos}/{len} pages  {per_sec}  {eta}";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let limit = options.limit.unwrap_or(u64::MAX);
    let crawler = Rc::new(Crawler {
        server,
        timeout: options.timeout,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        bar: bar.clone(),
        seen: RefCell::default(),
        waiting: riata::Queue::new(0),
        report: RefCell::default(),
    });
    let first = Url::parse(&format!("http://{server}/"))?;
    let report = crawler.crawl(first, options.concurrency.into()).await;
    bar.finish();
    site.closing.set();
    serving.cancel();
    report
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let root = match &options.root {
        Some(root) => root.clone(),
        None => standard_library()?,
    };
    let report = riata::run(run(root, &options))?;
    println!("{report}");
    if let Some(file) = &options.json {
        let mut text = serde_json::to_string_pretty(&report.summary())?;
        text.push('\n');
        fs::write(file, text)?;
    }
    Ok(())
}
