//! TLS on the listener: what is spoken, what is refused, and who cannot hold up whom.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::process::{Process, run};
use crate::support::raw::{AGES, talk};
use crate::support::server::Place;
use crate::support::tls::{Authority, Files, shake_hands};

/// A server behind TLS, its address, and whom to believe.
struct Behind {
    process: Process,
    address: String,
    authority: Authority,
    files: Files,
    place: Place,
}

fn behind_tls(environment: &[(&str, &str)]) -> Behind {
    let (place, authority) = (Place::sqlite(), Authority::new());
    let files = Files::new(place.folder(), &authority, &authority.issue(30));
    let (process, address) = files.serve(&place, environment);
    Behind {
        process,
        address,
        authority,
        files,
        place,
    }
}

impl Behind {
    fn socket(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    async fn serves(&self) -> bool {
        let mut channel = self.authority.connect(&self.address).await;
        channel.get("/healthz").await.starts_with("HTTP/1.1 200 ")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_choose_between_both_protocols_and_both_versions() {
    let behind = behind_tls(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for offered in [&[][..], &["http/1.1"], &["http/1.0", "http/1.1"]] {
            let client = behind.authority.client(offered, &[version]);
            let stream = shake_hands(&client, &behind.address).await.unwrap();
            let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            let expected = (!offered.is_empty()).then(|| b"http/1.1".to_vec());
            assert_eq!(agreed, expected);
            let mut channel = crate::support::tls::Channel(stream);
            let answer = channel.get("/healthz").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        let client = behind.authority.client(&["h2", "http/1.1"], &[version]);
        let stream = shake_hands(&client, &behind.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let document = format!(
            "https://{}/.well-known/oauth-authorization-server",
            behind.address
        );
        let request = hyper::Request::get(document).body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let metadata: Value = serde_json::from_slice(&body).unwrap();
        // What it listens on is what it is called, by the scheme that it speaks.
        assert_eq!(metadata["issuer"], format!("https://{}", behind.address));
    }
    // A client that speaks neither is not served as if it did.
    let client = behind.authority.client(&["spdy/3"], rustls::ALL_VERSIONS);
    assert!(shake_hands(&client, &behind.address).await.is_err());
    assert!(behind.process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_speaks_holds_nobody_up_and_is_dropped() {
    let behind = behind_tls(&[
        ("TENMINT_FIRST_REQUEST_TIMEOUT", "6s"),
        ("TENMINT_MAX_CONNECTIONS", "40"),
    ]);
    let began = Instant::now();
    let mut silent = Vec::new();
    for length in 0..30 {
        let mut stream = TcpStream::connect(&behind.address).await.unwrap();
        // Nothing, or the beginning of a ClientHello, or one whose rest never comes.
        let hello = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];
        let said = &hello[..(length % (hello.len() + 1))];
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..5 {
        assert!(behind.serves().await);
    }
    assert!(began.elapsed() < Duration::from_secs(6), "it held them up");
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = timeout(AGES, stream.read_to_end(&mut rest)).await;
        // By a close or by a reset, and without a word but an alert.
        assert!(ended.is_ok());
        assert!(!rest.starts_with(b"HTTP"));
    }
    // Neither does one who shakes hands and then asks for nothing.
    let mut idle = behind.authority.connect(&behind.address).await;
    let ended = timeout(AGES, idle.0.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(ended, Ok(count) if count > 0));
    assert!(behind.serves().await);
    assert!(behind.process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_to_come_by_https() {
    let behind = behind_tls(&[]);
    let secret = "tmsk_01ARZ3NDEKTSV4RRFFQ69G5FAV_secret";
    for request in [
        format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n\r\n"),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        // Longer than any head, so that bytes are left unread when the answer comes.
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(40_000)),
    ] {
        let answer = talk(behind.socket(), request.as_bytes()).await;
        assert_eq!(answer.statuses(), [400], "{answer:?}");
        assert!(answer.body().contains("use https"), "{answer:?}");
        assert!(!answer.0.contains(secret));
    }
    assert!(behind.serves().await);
    assert!(!behind.process.log().contains(secret));
    assert!(behind.process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_before_1_2_are_refused() {
    let behind = behind_tls(&[]);
    for minor in [0, 1, 2] {
        let answer = said_to(behind.socket(), &hello(minor)).await;
        // A fatal alert (RFC 8446 §6), and the end.
        assert_eq!(answer.first(), Some(&21), "{answer:?}");
        assert_eq!((answer.len(), answer[5]), (7, 2), "{answer:?}");
    }
    // The same of 1.2 is answered by a handshake.
    let answer = said_to(behind.socket(), &hello(3)).await;
    assert_eq!(answer.first(), Some(&22), "{answer:?}");
    assert!(behind.serves().await);
    assert!(behind.process.stop());
}

/// A ClientHello of SSL 3.0 or TLS 1.0 to 1.2, by its minor version, which offers nothing newer.
fn hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    // ECDHE and ECDSA, by AES-GCM and by AES-CBC.
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x09]);
    body.extend([1, 0]);
    // Groups, forms of points, signatures.
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    let length = |n: usize| u8::try_from(n).unwrap();
    body.extend([0, length(extensions.len())]);
    body.extend(extensions);
    let mut hello = vec![22, 3, minor, 0, length(body.len() + 4)];
    hello.extend([1, 0, 0, length(body.len())]);
    hello.extend(body);
    hello
}

/// What is heard after these bytes, until the server has no more to say.
async fn said_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(AGES, stream.read_to_end(&mut heard)).await.unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_believes_the_authority_that_it_is_told_of() {
    let behind = behind_tls(&[]);
    let (url, root) = (behind.place.database_url(), behind.place.root_key_file());
    let deployment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let key = run(&["operator-key", "--quiet"], &deployment).out;
    let base = format!("https://{}", behind.address);
    let authority = behind.files.authority.to_str().unwrap();
    let told = [
        ("TENMINT_API_KEY", key.trim()),
        ("TENMINT_URL", &base),
        ("TENMINT_CA_FILE", authority),
    ];
    let token = run(&["token", "--resource", &base], &told);
    assert!(token.success, "{}", token.err);
    let listed = run(&["orgs", "list"], &told);
    assert!(listed.success, "{}", listed.err);
    let inspected = run(
        &[
            "inspect",
            token.out.trim(),
            "--issuer",
            &base,
            "--audience",
            &base,
        ],
        &told,
    );
    assert!(inspected.success, "{}", inspected.err);

    let stranger = behind.place.folder().join("stranger.crt");
    std::fs::write(&stranger, Authority::new().pem).unwrap();
    let nobody = behind.place.folder().join("nobody.crt");
    std::fs::write(&nobody, "no certificate").unwrap();
    for (trusted, code) in [(None, 6), (Some(&stranger), 6), (Some(&nobody), 2)] {
        let mut told = told[..2].to_vec();
        told.extend(trusted.map(|path| ("TENMINT_CA_FILE", path.to_str().unwrap())));
        for command in [&["token"][..], &["orgs", "list"]] {
            let refused = run(command, &told);
            assert_eq!(refused.code, Some(code), "{}", refused.err);
            assert!(!refused.err.contains(key.trim()));
        }
    }
    assert!(behind.process.stop());
}
