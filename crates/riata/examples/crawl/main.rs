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

mod crawler;
mod report;
mod site;

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use riata::net::TcpListener;
use url::Url;

use crawler::Crawler;
use report::Report;
use site::Site;

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
