//! Where newcomers arrive.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// How many may wait to be accepted, if the system allows as many (`net.core.somaxconn` on Linux).
/// What libraries take by default, 128, is less than one burst: after an outage thousands come within
/// milliseconds, and whose first packet found no room sends it again a whole second later.
const NEWCOMERS: u32 = 4_096;

/// Listens on an address, also right after another server left it.
///
/// # Errors
/// When the address is taken, not this machine's, or not allowed.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Elsewhere it would let two servers share an address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(NEWCOMERS)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_burst_of_newcomers_finds_room_while_nobody_is_accepted() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let burst = allowed.trim().parse::<usize>().unwrap().min(500);
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // Half a second: whoever finds no room tries again after a whole one.
        let come = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500));
        let came: io::Result<Vec<_>> = (0..burst).map(come).collect();
        assert_eq!(came.unwrap().len(), burst);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_not_taken_again() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let again = bind(listener.local_addr().unwrap());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
