//! Python's standard library as a web site.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::{fs, io};

use futures_lite::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, server};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use riata::net::TcpListener;

pub(crate) const TEXT: [&str; 11] = [
    "py", "pyi", "txt", "rst", "md", "json", "cfg", "toml", "xml", "csv", "decTest",
];
pub(crate) const UNSEEN: [&str; 3] = ["__pycache__", "site-packages", "dist-packages"];
/// Bytes; what is larger is not served.
pub(crate) const LARGEST: u64 = 1 << 20;
/// Lines of source on one page.
pub(crate) const LINES: usize = 75;
pub(crate) const TROUBLE: [&str; 4] = ["missing", "broken", "silent", "cut-off"];
pub(crate) const HTML: &str = "text/html; charset=utf-8";
/// What Python's `urllib.parse.quote` leaves alone.
pub(crate) const UNQUOTED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>>>>;
pub(crate) type Body = Either<Full<Bytes>, StreamBody<Chunks>>;

/// The pages of a folder: which there are, and what each says.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    /// Addresses and files, in the order of the walk.
    pub(crate) pages: Vec<(String, PathBuf)>,
    pub(crate) numbers: HashMap<String, usize>,
    pub(crate) read: RefCell<HashMap<usize, Rc<[String]>>>,
    pub(crate) import: Regex,
    pub(crate) closing: riata::Event,
}

impl Site {
    pub(crate) fn new(root: PathBuf) -> Result<Self, Box<dyn Error>> {
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
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
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

    pub(crate) async fn page(&self, path: &str) -> Result<String, StatusCode> {
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

    pub(crate) fn folder(&self, folder: &Path) -> String {
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
    pub(crate) async fn lines(&self, page: usize) -> Result<Rc<[String]>, Box<dyn Error>> {
        if let Some(lines) = self.read.borrow().get(&page) {
            return Ok(Rc::clone(lines));
        }
        let path = self.pages[page].1.clone();
        let lines = riata::run_in_executor(move || read_lines(&path)).await??;
        let lines: Rc<[String]> = lines.into();
        self.read.borrow_mut().insert(page, Rc::clone(&lines));
        Ok(lines)
    }

    pub(crate) fn source(
        &self,
        place: &str,
        number: usize,
        lines: &[String],
    ) -> Result<String, StatusCode> {
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

    pub(crate) async fn trouble(&self, kind: &str) -> Result<Response<Body>, StatusCode> {
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
    pub(crate) async fn serve(self: Rc<Self>, listener: TcpListener) -> io::Result<()> {
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
pub(crate) fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
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

pub(crate) fn address(root: &Path, path: &Path) -> String {
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
pub(crate) fn read_lines(path: &Path) -> io::Result<Vec<String>> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    Ok(text.split(['\n', '\r']).map(String::from).collect())
}

pub(crate) fn html(place: &str, body: &str) -> Response<Body> {
    let place = place.split('@').next().unwrap_or(place);
    let text = format!("<!doctype html><title>{}</title>{body}", escape(place));
    let mut response = Response::new(Either::Left(Full::from(text)));
    let content_type = hyper::header::HeaderValue::from_static(HTML);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

pub(crate) fn link(address: &str) -> String {
    let quoted = utf8_percent_encode(address, &UNQUOTED);
    format!("<a href=\"{quoted}\">{}</a>", escape(address))
}

/// As Python's `html.escape`.
pub(crate) fn escape(text: &str) -> String {
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
