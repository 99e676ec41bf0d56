//! An echo server in a process of its own, and what is asked of it.
//!
//! It, or a web server in its place, prints its port; for each line on its standard input it answers with the CPU nanoseconds
//! it has used and the bytes it takes; it ends with its input.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use crate::Result;
use crate::loops::Loop;
use crate::readings::{cpu_time, resident};

const MESSAGE: usize = 1024;
const BUFFER: usize = 16 * 1024;
/// So that the buffer's size, which is the program's choice, does not hide the loop's share.
const SMALL_BUFFER: usize = 64;

/// Serves until standard input ends: an echo, or a web server where there is no buffer's size.
pub fn serve<L: Loop>(buffer: Option<usize>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The standard library listens with 128 only; the second call changes that.
    rustix::net::listen(&listener, 4096)?;
    println!("{}", listener.local_addr()?);
    thread::spawn(|| {
        for line in io::stdin().lines() {
            if line.is_err() {
                break;
            }
            println!("{} {}", cpu_time(), resident());
        }
        std::process::exit(0)
    });
    match buffer {
        Some(buffer) => L::run(L::echo(listener, buffer))?,
        None => L::run(L::hello(listener))?,
    }
}

struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str, buffer: Option<usize>) -> Result<Self> {
        let case = if buffer.is_some() { "echo" } else { "hello" };
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--child", name, case])
            .args(buffer.map(|buffer| buffer.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no standard input")?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(Self {
            process,
            input,
            output,
            address: line.trim().parse()?,
        })
    }

    /// CPU nanoseconds and bytes, so far.
    fn ask(&mut self) -> Result<(f64, f64)> {
        self.input.write_all(b"\n")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (cpu, bytes) = line.trim().split_once(' ').ok_or("the server has gone")?;
        Ok((cpu.parse()?, bytes.parse()?))
    }

    /// Connections that have each had a byte echoed.
    fn connect(&self, count: usize) -> io::Result<Vec<TcpStream>> {
        let connect = |_| {
            let mut stream = TcpStream::connect(self.address)?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            Ok(stream)
        };
        (0..count).map(connect).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended already, there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's CPU nanoseconds for a message of 1 KiB, without connecting.
pub fn echo(name: &str, connections: usize, messages: usize) -> Result<f64> {
    let mut server = Server::start(name, Some(BUFFER))?;
    let load = std::env::current_exe()?.with_file_name("echo_load");
    let mut run = |messages: usize| -> Result<f64> {
        let (before, _) = server.ask()?;
        let numbers = [connections, MESSAGE, messages].map(|number| number.to_string());
        let load = Command::new(&load)
            .arg(server.address.to_string())
            .args(numbers)
            .output()?;
        if !load.status.success() {
            let said = String::from_utf8_lossy(&load.stderr);
            return Err(format!("echo_load for {name}: {said}").into());
        }
        Ok(server.ask()?.0 - before)
    };
    // The same with few messages is what connecting costs.
    let connecting = run(connections)?;
    Ok((run(connections + messages)? - connecting) / messages as f64)
}

/// Why a web server cannot be measured here, if so.
pub fn what_is_missing() -> Option<&'static str> {
    match Command::new("wrk").arg("--version").output() {
        Ok(_) => None,
        Err(_) => Some("there is no wrk on PATH (on Debian: apt install wrk)"),
    }
}

/// The server's CPU nanoseconds for a request of `wrk`, once its connections are warm.
pub fn hello(name: &str, connections: usize, seconds: usize) -> Result<f64> {
    let mut server = Server::start(name, None)?;
    let url = format!("http://{}/", server.address);
    let mut run = |seconds: usize| -> Result<f64> {
        let (before, _) = server.ask()?;
        let load = Command::new("wrk")
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .arg(&url)
            .output()?;
        let said = String::from_utf8_lossy(&load.stdout).into_owned();
        let line = said.lines().find(|line| line.contains(" requests in "));
        let count = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        match count {
            Some(count) if !said.contains("Non-2xx") => Ok((server.ask()?.0 - before) / count),
            _ => Err(format!("wrk for {name}: {said}").into()),
        }
    };
    run(1)?;
    run(seconds)
}

/// Bytes that an idle connection takes in the server, beside the kernel's.
pub fn idle_connection(name: &str, connections: usize) -> Result<f64> {
    let mut server = Server::start(name, Some(SMALL_BUFFER))?;
    let _first = server.connect(10)?;
    let (_, before) = server.ask()?;
    let _connections = server.connect(connections)?;
    let (_, after) = server.ask()?;
    Ok((after - before) / connections as f64)
}
