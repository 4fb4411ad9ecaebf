//! Every time limit and bound of this crate, with its unit in its name.

use std::time::Duration;

/// How long the certificate of a node is valid.
pub const CERTIFICATE_LIFE_S: u64 = 90 * DAY_S;
/// How long the certificate of a cluster's authority, or of a witness, is valid.
pub const AUTHORITY_LIFE_S: u64 = 20 * 365 * DAY_S;
/// Certificates are valid from this long before they are made, for nodes whose clock is behind.
pub const CERTIFICATE_BACKDATE_S: u64 = DAY_S;
/// Names in certificates: the bound of X.509 for a common name.
pub const MAX_NAME_BYTES: usize = 64;
const DAY_S: u64 = 24 * 60 * 60;

/// How long a join token is good unless told otherwise.
pub const TOKEN_LIFE_S: u64 = 60 * 60;
/// Addresses in one join token.
pub const MAX_TOKEN_ADDRESSES: usize = 16;
/// A join request, and the answer to one.
pub const MAX_JOIN_BYTES: usize = 4 * 1024 * 1024;
/// From the connection's start to the whole request of a join.
pub const JOIN_REQUEST_MS: u64 = 10_000;
/// What the handler of a join may take: it goes through consensus.
pub const JOIN_ANSWER_MS: u64 = 60_000;

/// TLS handshakes that aren't through by then are dropped.
pub const HANDSHAKE_MS: u64 = 5_000;
/// Handshakes under way at once on one server.
pub const MAX_HANDSHAKES: usize = 512;
/// Of those, from one address: one host can't take the places of all.
pub const MAX_HANDSHAKES_PER_ADDRESS: usize = 128;
/// Connections of peers at once on one server; a witness serves a hundred clusters of seven nodes.
pub const MAX_PEER_CONNECTIONS: usize = 4096;
/// Joins under way at once.
pub const MAX_JOINS: usize = 16;
/// Connections of the API at once.
pub const MAX_API_CONNECTIONS: usize = 1024;
/// The same refusal of the same address is logged this often.
pub const REFUSAL_LOGGED_EVERY_S: u64 = 60;
/// Refusals remembered for that; while there are more, new ones aren't logged.
pub const MAX_REFUSALS_REMEMBERED: usize = 256;
/// After `accept` failed (no file descriptors left, say).
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// How long a server that shuts down waits for requests under way.
pub const SHUT_DOWN_MS: u64 = 2_000;

/// A request's or answer's body, unless it is a stream.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bodies held in memory for one connection at once.
pub const MAX_BODY_BYTES_PER_CONNECTION: usize = 64 * 1024 * 1024;
/// The path of a request.
pub const MAX_PATH_BYTES: usize = 1024;
/// Requests at once on one connection.
pub const MAX_REQUESTS_PER_CONNECTION: u32 = 256;
/// What one request's body may have under way unread: a slow reader holds no more than this.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What all bodies of a connection may have under way unread.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// What a sender buffers for one body before it waits for the reader.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// A server asks a silent connection for a sign of life this often, …
pub const SERVER_KEEP_ALIVE_MS: u64 = 10_000;
/// … and drops it when none comes within this.
pub const SERVER_KEEP_ALIVE_ANSWER_MS: u64 = 10_000;

/// Addresses of one peer.
pub const MAX_LINKS_PER_PEER: usize = 8;
/// The links of a peer that is being called are probed this often, …
pub const PROBE_EVERY_MS: u64 = 300;
/// … those of another this often.
pub const PROBE_IDLE_EVERY_MS: u64 = 1_000;
/// A peer counts as being called until this long after a call began.
pub const BUSY_FOR_MS: u64 = 3_000;
/// A link whose probe isn't answered by then is suspect: calls leave it if there is another.
pub const SUSPECT_AFTER_MS: u64 = 600;
/// A link whose probe isn't answered by then is dropped and dialled again. Long enough that a busy
/// machine isn't made busier by new handshakes, and shorter than TCP's later retransmissions.
pub const DEAD_AFTER_MS: u64 = 3_000;
/// The TCP part of an attempt to dial. The kernel repeats a lost SYN after a second.
pub const CONNECT_MS: u64 = 1_500;
/// One attempt to dial: TCP, TLS, and the other side's judgement.
pub const DIAL_MS: u64 = 4_000;
/// The wait between the starts of two attempts to dial: first and longest.
pub const BACK_OFF_FIRST_MS: u64 = 100;
/// See [`BACK_OFF_FIRST_MS`]. Short enough that a healed network is noticed within two seconds.
pub const BACK_OFF_MAX_MS: u64 = 1_500;
/// A stream's connection that was silent this long is asked for a sign of life, …
pub const STREAM_KEEP_ALIVE_MS: u64 = 1_000;
/// … and broken off when none comes within this.
pub const STREAM_KEEP_ALIVE_ANSWER_MS: u64 = 4_000;
/// A call given no other limit ends by then.
pub const CALL_MS: u64 = 10_000;
/// A refusal's sentence that a peer sends is cut after this.
pub const MAX_SENTENCE_BYTES: usize = 4096;

/// Sealed entries add this to their content: version, key id, nonce, tag.
pub const SEAL_OVERHEAD_BYTES: usize = 1 + 1 + 12 + 16;

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
