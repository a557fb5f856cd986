//! A network namespace for one node, with a cable to its clients and another to its database, which can
//! be pulled: the kernel loses what is sent, and tells neither end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use ring::rand::{SystemRandom, generate};

use super::left_out::say;

/// The namespace and its cables. Dropped, they are gone; so are they when this process ends.
pub struct Cables {
    /// Where the node's clients find it.
    pub node: String,
    /// Where the node finds the database: an address of this machine.
    pub database: String,
    name: String,
    shell: Child,
    answers: BufReader<ChildStdout>,
}

/// The namespace's side of both cables, and this one's: the clients' ends here itself, the database's
/// in a switch, whose address stays when the cable is pulled.
const LAY: &str = r#"
name=$1 near=$2 node=$3 database=$4 far=$5
tidy() { ip netns del "$name"; ip link del "$name"; } 2>/dev/null
trap tidy EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
within() { ip -netns "$name" "$@"; }
{
    ip netns add "$name" && within link set lo up &&
        ip link add "${name}c" type veth peer name clients netns "$name" &&
        ip address add "$near/30" dev "${name}c" && ip link set "${name}c" up &&
        within address add "$node/30" dev clients && within link set clients up &&
        ip link add "$name" type bridge &&
        ip address add "$database/30" dev "$name" && ip link set "$name" up &&
        ip link add "${name}d" type veth peer name database netns "$name" &&
        ip link set "${name}d" master "$name" up &&
        within address add "$far/30" dev database && within link set database up
} >&2 && echo ready || exit
while read -r way; do ip link set "${name}d" "$way" && echo ready || exit; done
"#;

impl Cables {
    /// A whole network; `None`, which is said aloud, where none can be made. What
    /// [`Line`](super::line::Line) shows is nearly the same, so this is no test left out.
    pub fn laid() -> Option<Self> {
        let laid = Self::try_to_lay().expect("sh is on every Unix");
        if laid.is_none() {
            say("tenmint: no network can be made here: one node cut off is tried by a line alone");
        }
        laid
    }

    fn try_to_lay() -> io::Result<Option<Self>> {
        let random: [u8; 3] = generate(&SystemRandom::new()).unwrap().expose();
        let [a, b, c] = random;
        let name = format!("tenmint{a:02x}{b:02x}{c:02x}");
        // Set aside for measuring networks, so in use by none.
        let at = |host: u8| format!("198.18.{b}.{}", (c & 0xf8) + host);
        let [near, node, database, far] = [1, 2, 5, 6].map(at);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test process holds no root key"
        )]
        let mut shell = Command::new("sh")
            .args(["-c", LAY, "sh", &name, &near, &node, &database, &far])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let answers = BufReader::new(shell.stdout.take().expect("the shell answers by a pipe"));
        let mut cables = Self {
            node,
            database,
            name,
            shell,
            answers,
        };
        Ok(cables.is_ready()?.then_some(cables))
    }

    /// What runs a program within, and becomes it.
    pub fn within(&self) -> [String; 2] {
        let file = format!("--net=/run/netns/{}", self.name);
        ["nsenter".to_owned(), file]
    }

    /// Pulls the cable to the database.
    pub fn pull(&mut self) {
        self.tell("down");
    }

    /// Plugs it in again.
    pub fn plug_in(&mut self) {
        self.tell("up");
    }

    fn tell(&mut self, way: &str) {
        let mut input = self.shell.stdin.as_ref().expect("the shell reads a pipe");
        writeln!(input, "{way}").unwrap();
        assert!(self.is_ready().unwrap(), "the cable does not go {way}");
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer == "ready\n")
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
