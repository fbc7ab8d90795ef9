//! Servers that tell a client which address they saw it come from, and their clients.
//!
//! A socket belongs to the namespace that it was made in, so only making it needs a thread inside. Used
//! by the suites for probes, services and large transfers. Invariant: a server ends with its value.

use crate::room::Room;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a client waits for an answer.
const WAIT: Duration = Duration::from_millis(1500);

/// How long a server sleeps while nobody asks.
const NAP: Duration = Duration::from_millis(2);

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens for TCP in a room, on every address of the family of `like`; port 0 is any.
    ///
    /// It says from where it saw the client come, and then repeats whatever it is told.
    #[must_use]
    pub fn tcp(room: &Room, like: IpAddr, port: u16) -> Self {
        let target = SocketAddr::new(unspecified(like), port);
        let listener = room.inside(move || TcpListener::bind(target).unwrap());
        listener.set_nonblocking(true).unwrap();
        Self::start(listener.local_addr().unwrap(), move || match listener.accept() {
            Ok((stream, peer)) => drop(std::thread::spawn(move || repeat(stream, peer))),
            Err(error) => nap(&error),
        })
    }

    /// Listens for UDP in a room, at one address exactly; each datagram is answered with the address
    /// that it came from.
    #[must_use]
    pub fn udp(room: &Room, target: SocketAddr) -> Self {
        let socket = room.inside(move || UdpSocket::bind(target).unwrap());
        socket.set_nonblocking(true).unwrap();
        Self::start(socket.local_addr().unwrap(), move || match socket.recv_from(&mut [0; 2048]) {
            Ok((_, peer)) => drop(socket.send_to(peer.ip().to_string().as_bytes(), peer)),
            Err(error) => nap(&error),
        })
    }

    fn start(address: SocketAddr, mut turn: impl FnMut() + Send + 'static) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let serve = move || {
            while !told.load(Ordering::Relaxed) {
                turn();
            }
        };
        Self { address, ends, thread: Some(std::thread::spawn(serve)) }
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A server that panicked has told so; the test sees that nobody answers.
            drop(thread.join());
        }
    }
}

fn nap(error: &std::io::Error) {
    let usual = [ErrorKind::WouldBlock, ErrorKind::ConnectionRefused, ErrorKind::ConnectionAborted];
    if !usual.contains(&error.kind()) {
        eprintln!("a server of the laboratory: {error}");
    }
    std::thread::sleep(NAP);
}

/// Tells the peer who it is, then repeats what it says. A peer that goes away ends it.
fn repeat(mut stream: TcpStream, peer: SocketAddr) {
    let mut talk = || -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{}\n", peer.ip()).as_bytes())?;
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes)? {
                0 => return Ok(()),
                count => stream.write_all(bytes.get(..count).unwrap_or_default())?,
            }
        }
    };
    drop(talk());
}

/// Asks a TCP server from inside a room, and gives the address that it saw, or what went wrong.
///
/// # Errors
/// The system's, when no connection comes about or nothing is answered.
pub fn ask(room: &Room, target: SocketAddr) -> std::io::Result<IpAddr> {
    send(room, target, 0)
}

/// As [`ask`], and sends so many bytes to and fro.
///
/// # Errors
/// The system's, when no connection comes about or not all comes back in time.
pub fn send(room: &Room, target: SocketAddr, count: usize) -> std::io::Result<IpAddr> {
    let mut stream = room.inside(move || TcpStream::connect_timeout(&target, WAIT))?;
    stream.set_read_timeout(Some(WAIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    stream.write_all(&vec![b'x'; count])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut back = Vec::new();
    reader.read_to_end(&mut back)?;
    assert_eq!(back.len(), count, "{target} does not repeat what it is told");
    line.trim().parse().map_err(|_| std::io::Error::other(format!("{line:?} is no address")))
}

/// Asks a UDP server from inside a room, and gives the address that it saw.
///
/// # Errors
/// The system's, when nothing is answered in time.
pub fn ask_udp(room: &Room, target: SocketAddr) -> std::io::Result<IpAddr> {
    let any = SocketAddr::new(unspecified(target.ip()), 0);
    let socket = room.inside(move || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(target)?;
        Ok(socket)
    })?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.send(b"who am I?")?;
    let mut bytes = [0; 64];
    let count = socket.recv(&mut bytes)?;
    let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
    text.parse().map_err(|_| std::io::Error::other(format!("{text:?} is no address")))
}

/// The address that a TCP server sees a room come from; fails the test when nobody answers in time.
#[track_caller]
pub fn seen_from(room: &Room, target: SocketAddr) -> IpAddr {
    let mut last = None;
    for _ in 0..4 {
        match ask(room, target) {
            Ok(seen) => return seen,
            Err(error) => last = Some(error),
        }
    }
    panic!("no connection from {} to {target}: {last:?}", room.name())
}

/// The unspecified address of the family of another.
#[must_use]
pub const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
