//! Programs: something to run.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use riata_engine::driver::Interest;

use crate::system::System;

/// Says something when it is dropped, however that comes about.
pub(crate) struct LastWords(pub(crate) System, pub(crate) &'static str);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

/// The first process: starts the others, one idea after another.
pub(crate) async fn init(system: System) {
    let pid = system.pid().await;
    system.say(format!("init: I am process {pid}"));
    sleepers(&system).await;
    ends(&system).await;
    echo(&system).await;
    system.say("init: done");
}

/// Processes sleep at the same time.
pub(crate) async fn sleepers(system: &System) {
    let mut pids = Vec::new();
    for naps in [3, 2, 1] {
        let program = move |system: System| async move {
            system.sleep(Duration::from_millis(20 * naps)).await;
            system.say(format!("sleeper: awake after {naps} naps"));
        };
        pids.push(system.spawn("sleeper", program).await);
    }
    system.say(format!("init: started the sleepers {pids:?}"));
    for pid in pids {
        system.wait_for(pid).await;
    }
}

/// A process ends in one of three ways, and whoever waits for it learns in which.
pub(crate) async fn ends(system: &System) {
    let turns = Rc::new(Cell::new(0));
    let counter = Rc::clone(&turns);
    let spinner = system.spawn("spinner", |system| async move {
        let _words = LastWords(system.clone(), "spinner: farewell");
        loop {
            counter.set(counter.get() + 1);
            system.give_way().await;
        }
    });
    let spinner = spinner.await;
    while turns.get() < 3 {
        system.give_way().await;
    }
    let judge = move |system: System| async move {
        let ending = system.wait_for(spinner).await;
        let ending = ending.map_or("is not there".into(), |ending| ending.to_string());
        system.say(format!("judge: process {spinner} {ending}"));
    };
    let judge = system.spawn("judge", judge).await;
    system.give_way().await;
    system.kill(spinner).await;
    system.wait_for(judge).await;
    let is_there = system.kill(spinner).await;
    system.say(format!("init: killed it again: {is_there}"));

    let bad = system.spawn("bad", |_| async { panic!("this is on purpose") });
    if let Some(ending) = system.wait_for(bad.await).await {
        system.say(format!(
            "init: the bad program {ending}, the system goes on"
        ));
    }
}

/// A server among the other processes, and two clients that talk to it at the same time.
pub(crate) async fn echo(system: &System) {
    let listener = match TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => listener,
        Err(error) => return system.say(format!("init: no network: {error}")),
    };
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let server = |system: System| async move {
        let _words = LastWords(system.clone(), "echo server: closed");
        if let Err(error) = serve(&system, listener).await {
            system.say(format!("echo server: {error}"));
        }
    };
    let server = system.spawn("echo server", server).await;
    let mut clients = Vec::new();
    for name in ["ping", "pong"] {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ears = Rc::clone(&heard);
        let client = move |system: System| async move {
            if let Err(error) = talk(&system, address, name, &ears).await {
                system.say(format!("client: {error}"));
            }
        };
        let pid = system.spawn("client", client).await;
        clients.push((name, pid, heard));
    }
    for (name, pid, heard) in clients {
        system.wait_for(pid).await;
        system.say(format!("{name}: heard {:?}", heard.take()));
    }
    system.kill(server).await;
}

/// Starts a process for each connection.
pub(crate) async fn serve(system: &System, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    system.say("echo server: open");
    loop {
        system.ready(&listener, Interest::READABLE).await?;
        let (stream, _) = listener.accept()?;
        let connection = |system: System| async move {
            // A client that breaks off ends its own connection only.
            let _ = send_back(&system, stream).await;
        };
        system.spawn("connection", connection).await;
    }
}

pub(crate) async fn send_back(system: &System, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut bytes = [0; 1024];
    loop {
        system.ready(&stream, Interest::READABLE).await?;
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        write_all(system, &mut stream, &bytes[..count]).await?;
    }
}

pub(crate) async fn write_all(
    system: &System,
    stream: &mut TcpStream,
    bytes: &[u8],
) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        system.ready(stream, Interest::WRITABLE).await?;
        sent += stream.write(&bytes[sent..])?;
    }
    Ok(())
}

/// Sends three lines, each when the one before has come back.
pub(crate) async fn talk(
    system: &System,
    address: SocketAddr,
    name: &str,
    heard: &RefCell<Vec<String>>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?; // on this machine: at once
    stream.set_nonblocking(true)?;
    for number in 1..=3 {
        let line = format!("{name} {number}");
        write_all(system, &mut stream, line.as_bytes()).await?;
        let mut reply = Vec::new();
        while reply.len() < line.len() {
            system.ready(&stream, Interest::READABLE).await?;
            let mut bytes = [0; 64];
            match stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => reply.extend_from_slice(&bytes[..count]),
            }
        }
        heard
            .borrow_mut()
            .push(String::from_utf8_lossy(&reply).into_owned());
    }
    Ok(())
}
