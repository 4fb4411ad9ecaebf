//! Joins: the token's proof, each refusal's sentence, and what isn't sent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "that is how a test fails"
)]

mod loopback;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cairn_net::token::TokenError;
use cairn_net::{
    Clock, ClusterId, Fingerprint, JoinAttempt, JoinError, JoinHandler, JoinRefusal, JoinToken,
    Presented, Role, Server, ServerOptions, StoredToken, Trust, WitnessIdentity, join,
};
use futures::future::BoxFuture;
use loopback::proxy::{Proxy, Way};
use loopback::{Answers, Cluster, listen, log, until};

/// Lets in each stored token once, as a node does through the store.
struct Doorkeeper {
    stored: Mutex<Vec<StoredToken>>,
    now_s: u64,
}

impl JoinHandler for Doorkeeper {
    fn join(&self, attempt: JoinAttempt) -> BoxFuture<'_, Result<Bytes, JoinRefusal>> {
        Box::pin(async move {
            let mut all = self.stored.lock().unwrap();
            let stored = all
                .iter_mut()
                .find(|stored| stored.verifier == attempt.verifier);
            attempt.check(stored.as_deref(), self.now_s)?;
            stored.unwrap().used_by = Some("node5".into());
            if attempt.request == "clash" {
                return Err(JoinRefusal::Other("guest 100 is here already".into()));
            }
            Ok([b"welcome, ", attempt.request.as_ref()].concat().into())
        })
    }
}

struct Door {
    clock: Clock,
    keeper: Arc<Doorkeeper>,
    address: SocketAddr,
    token: JoinToken,
}

impl Door {
    async fn open(presented: Presented, id: ClusterId, pin: Fingerprint, role: Role) -> Self {
        log();
        let clock = Clock::system();
        let now_s = clock.now_s();
        let keeper = Arc::new(Doorkeeper {
            stored: Mutex::default(),
            now_s,
        });
        let server = Server::new(ServerOptions {
            presented,
            trust: Trust::new(clock.clone()),
            peers: Arc::new(Answers::default()),
            joins: Some(keeper.clone()),
            api: None,
        });
        let address = listen(&server).await;
        let token = JoinToken {
            cluster: id,
            fingerprint: pin,
            addresses: vec![address],
            secret: cairn_net::secret::Secret::random().unwrap(),
            role,
            expires_s: now_s + 3600,
        };
        let door = Self {
            clock,
            keeper,
            address,
            token,
        };
        door.store(&door.token);
        door
    }

    async fn of(cluster: &Cluster) -> Self {
        let authority = cluster.secrets.authority().unwrap();
        let presented = Presented::new(cluster.identity(1).certified_key().unwrap());
        Self::open(
            presented,
            authority.cluster(),
            authority.fingerprint(),
            Role::Node,
        )
        .await
    }

    fn store(&self, token: &JoinToken) {
        self.keeper.stored.lock().unwrap().push(StoredToken {
            verifier: token.verifier().unwrap(),
            role: token.role,
            expires_s: token.expires_s,
            used_by: None,
        });
    }

    async fn join(&self, token: &JoinToken, request: &'static str) -> Result<Bytes, JoinError> {
        join(token, token.role, request.into(), &self.clock).await
    }
}

fn sentence(result: Result<Bytes, JoinError>) -> String {
    match result.unwrap_err() {
        JoinError::Refused { sentence, .. } => sentence,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in_one_machine_once() {
    let door = Door::of(&Cluster::new("prod")).await;
    let printed = JoinToken::parse(&door.token.print().unwrap()).unwrap();
    assert_eq!(
        door.join(&printed, "pve-5").await.unwrap(),
        "welcome, pve-5"
    );
    let used = sentence(door.join(&printed, "pve-6").await);
    assert!(used.contains("used before, by node5"), "{used}");
    until("it is logged", || {
        log().contains("a join was refused: the token was used")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_gets_in() {
    let door = Arc::new(Door::of(&Cluster::new("prod")).await);
    let attempts = (0..8).map(|_| {
        let door = door.clone();
        tokio::spawn(async move { door.join(&door.token, "x").await })
    });
    let results = futures::future::join_all(attempts).await;
    let taken = results
        .iter()
        .filter(|result| result.as_ref().unwrap().is_ok())
        .count();
    assert_eq!(taken, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_sentence() {
    let door = Door::of(&Cluster::new("prod")).await;
    let secret = cairn_net::secret::Secret::random().unwrap();
    let unknown = JoinToken {
        secret: secret.clone(),
        ..door.token.clone()
    };
    let sentence_unknown = sentence(door.join(&unknown, "x").await);
    assert!(
        sentence_unknown.contains("no such token is known"),
        "{sentence_unknown}"
    );
    // Expired by the cluster's clock, whatever the joining machine's says.
    let expired = JoinToken {
        secret: secret.clone(),
        expires_s: door.keeper.now_s - 60,
        ..door.token.clone()
    };
    door.store(&expired);
    let error = door.join(&expired, "x").await.unwrap_err();
    assert!(
        matches!(error, JoinError::Token(TokenError::Expired { .. })),
        "{error}"
    );
    let early = Clock::new(|| 0);
    let error = join(&expired, Role::Node, "x".into(), &early)
        .await
        .unwrap_err();
    // A clock that wrong can't check certificates either.
    assert!(
        matches!(&error, JoinError::NotTheCluster { refusal, .. }
        if refusal.to_string().contains("clocks is wrong")),
        "{error}"
    );
    let other_date = JoinToken {
        expires_s: door.token.expires_s,
        ..expired
    };
    let told = sentence(door.join(&other_date, "x").await);
    assert!(told.contains("the token expired 60 s ago"), "{told}");
    let error = join(&door.token, Role::Witness, "x".into(), &door.clock)
        .await
        .unwrap_err();
    assert!(
        matches!(error, JoinError::Token(TokenError::OtherRole { .. })),
        "{error}"
    );
    let as_witness = JoinToken {
        role: Role::Witness,
        ..door.token.clone()
    };
    let told = sentence(door.join(&as_witness, "x").await);
    assert!(
        told.contains("is for a node and a witness's is needed"),
        "{told}"
    );
    let clash = sentence(door.join(&door.token, "clash").await);
    assert_eq!(clash, "guest 100 is here already");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_learns_nothing() {
    let (ours, theirs) = (Cluster::new("prod"), Cluster::new("prod"));
    let door = Door::of(&ours).await;
    let impostor = Door::of(&theirs).await;
    let misled = JoinToken {
        addresses: vec![impostor.address],
        ..door.token.clone()
    };
    let error = door.join(&misled, "secret request").await.unwrap_err();
    assert!(matches!(error, JoinError::NotTheCluster { .. }), "{error}");
    // A node signed by the right authority, of whose cluster the token isn't.
    let id = theirs.secrets.authority().unwrap().cluster();
    let wrong = JoinToken {
        cluster: id,
        ..door.token.clone()
    };
    let error = door.join(&wrong, "x").await.unwrap_err();
    assert!(error.to_string().contains("should be of"), "{error}");
    // The right one among the addresses is found.
    let addresses = vec![impostor.address, door.address];
    let both = JoinToken {
        addresses,
        ..door.token.clone()
    };
    assert_eq!(door.join(&both, "x").await.unwrap(), "welcome, x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_is_joined_by_its_own_fingerprint() {
    let witness = WitnessIdentity::create("w", &[], Clock::system().now_s()).unwrap();
    let shown = Presented::new(witness.certified_key().unwrap());
    let door = Door::open(shown, witness.id(), witness.fingerprint(), Role::Witness).await;
    assert_eq!(
        door.join(&door.token, "cluster").await.unwrap(),
        "welcome, cluster"
    );
    let other = WitnessIdentity::create("w", &[], Clock::system().now_s()).unwrap();
    let wrong = JoinToken {
        fingerprint: other.fingerprint(),
        ..door.token.clone()
    };
    let error = door.join(&wrong, "x").await.unwrap_err();
    assert!(matches!(error, JoinError::NotTheCluster { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_answers_and_no_answer_comes() {
    let door = Door::of(&Cluster::new("prod")).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nowhere = JoinToken {
        addresses: vec![free],
        ..door.token.clone()
    };
    let error = door.join(&nowhere, "x").await.unwrap_err();
    assert!(matches!(&error, JoinError::Unreachable(why) if why.contains(&free.to_string())));
    let too_large = vec![0; 5 * 1024 * 1024].into();
    let error = join(&door.token, Role::Node, too_large, &door.clock)
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::Identity(_)), "{error}");
}

/// Counts attempts and decides none.
#[derive(Default)]
struct Undecided(std::sync::atomic::AtomicUsize);

impl JoinHandler for Undecided {
    fn join(&self, _: JoinAttempt) -> BoxFuture<'_, Result<Bytes, JoinRefusal>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_after_the_request_says_so() {
    let cluster = Cluster::new("prod");
    let door = Door::of(&cluster).await;
    let undecided = Arc::new(Undecided::default());
    let server = Server::new(ServerOptions {
        presented: Presented::new(cluster.identity(1).certified_key().unwrap()),
        trust: Trust::new(door.clock.clone()),
        peers: Arc::new(Answers::default()),
        joins: Some(undecided.clone()),
        api: None,
    });
    let proxy = Proxy::to(listen(&server).await).await;
    let through = JoinToken {
        addresses: vec![proxy.address],
        ..door.token.clone()
    };
    let clock = door.clock.clone();
    let joining = tokio::spawn(async move { join(&through, Role::Node, "x".into(), &clock).await });
    until("it has arrived", || {
        undecided.0.load(Ordering::Relaxed) == 1
    })
    .await;
    proxy.set(Way::Broken);
    let error = joining.await.unwrap().unwrap_err();
    assert!(matches!(error, JoinError::Unanswered { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_doorkeeper_refuses() {
    let cluster = Cluster::new("prod");
    let node = cluster.node(1).await;
    let authority = cluster.secrets.authority().unwrap();
    let token = JoinToken {
        cluster: authority.cluster(),
        fingerprint: authority.fingerprint(),
        addresses: vec![node.address],
        secret: cairn_net::secret::Secret::random().unwrap(),
        role: Role::Node,
        expires_s: u64::MAX,
    };
    let error = join(&token, Role::Node, "x".into(), &Clock::system())
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::Unreachable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_secret_even_at_its_finest() {
    let cluster = Cluster::new("prod");
    let door = Door::of(&cluster).await;
    door.join(&door.token, "x").await.unwrap();
    until("something was logged", || !log().is_empty()).await;
    let hex: String = door
        .token
        .secret
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let list = format!("{:?}", door.token.secret.expose());
    let key = cluster
        .secrets
        .authority_key
        .expose()
        .lines()
        .nth(1)
        .unwrap();
    let printed = door.token.print().unwrap();
    let log = log();
    for secret in [&hex, &list, key, printed.as_str(), "PRIVATE KEY"] {
        assert!(!log.contains(secret));
    }
}
