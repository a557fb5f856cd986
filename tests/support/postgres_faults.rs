//! What befalls a PostgreSQL server: done to a throw-away one.

use std::fs::OpenOptions;
use std::io::Write as _;

use url::Url;

use super::{Server, free_port};

impl Server {
    /// Kills every process of the server, as the kernel does when memory runs out.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// Stops every process of the server where it is: it answers nobody, and tells nobody why.
    pub fn pause(&mut self) {
        self.order("pause");
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.order("resume");
    }

    /// Makes and starts a standby, for which every commit waits from here on. Once.
    pub fn stand_by(&mut self) -> Standby {
        let port = free_port();
        self.order(&format!("stand_by {port}"));
        Standby { port }
    }

    /// Makes the standby a primary. The server itself knows nothing of that: pause or kill it first.
    pub fn promote(&mut self) {
        self.order("promote");
    }

    /// Has the server, which it restarts for that, listen at another address of this machine too, and
    /// let in who comes from near it.
    pub fn listen_also_at(&mut self, address: &str) {
        self.configure(&format!("listen_addresses = '127.0.0.1,{address}'"));
        let file = self.data().join("pg_hba.conf");
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        writeln!(file, "host all tenmint {address}/24 password").unwrap();
        self.stop();
        self.start();
    }

    /// Sets something in the server's configuration, which it reads at its next start.
    pub fn configure(&self, line: &str) {
        let file = self.data().join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// A standby of a throw-away server.
pub struct Standby {
    port: u16,
}

impl Standby {
    /// Where the same database is on the standby.
    pub fn url(&self, of_primary: &str) -> String {
        let mut url = Url::parse(of_primary).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }
}
