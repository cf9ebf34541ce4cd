//! What a run has to know of a server before it begins, had by the client library and verified by it.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use tekd::client::{Ask, Carrier, Client, ClientError, QuicCarrier, TlsCarrier, UdpCarrier};
use tekd::engine::Random as _;
use tekd::node::SystemRandom;
use tekd::release::{Checkpoint, Schema, Trust};
use tekd::wire::layout::MAX_UDP_OBJECT;
use tekd::wire::question::Fetch;
use tekd::wire::{AnswerBody, HEADER_LEN, MAX_DATAGRAM};

use crate::syncs::{FROM_NOTHING, Way};
use crate::transports::Transport;

/// Bytes of an object in one answer over UDP and over a connection.
const PART_DATAGRAM: u32 = (MAX_DATAGRAM - HEADER_LEN) as u32;
const PART_STREAM: u32 = 16 << 10;
/// Bytes of an object that is fetched, at most.
const MAX_OBJECT: u32 = 64 << 20;

/// Why too little is known of a server.
#[derive(Debug, thiserror::Error)]
pub enum LearningError {
    /// It does not answer, or what it says is not believed.
    #[error(transparent)]
    Client(#[from] Box<ClientError>),
    /// A newer program is needed.
    #[error("the set has schema {0}, which this program does not know")]
    Schema(u16),
    /// It breaks a rule of the wire.
    #[error("what is to be fetched: {0}")]
    Object(&'static str),
}

impl From<ClientError> for LearningError {
    fn from(e: ClientError) -> Self {
        Box::new(e).into()
    }
}

/// Asks one set of one server.
pub(crate) struct Learner {
    client: Client<'static>,
    by_datagram: bool,
}

impl Learner {
    pub(crate) fn new(server: SocketAddr, transport: Transport, trust: Trust, set: u32) -> Self {
        let carrier: Box<dyn Carrier + Send> = match transport {
            Transport::Udp => Box::new(UdpCarrier::new(server)),
            Transport::Tls => Box::new(TlsCarrier::new(server, None)),
            Transport::Quic => Box::new(QuicCarrier::new(server, None)),
        };
        let random = |out: &mut [u8]| SystemRandom.fill(out);
        let client = Client::new(carrier, trust, set, random, std::thread::sleep);
        Learner { client, by_datagram: transport == Transport::Udp }
    }

    /// The newest checkpoint, verified, and the schema it names.
    ///
    /// # Errors
    /// [`LearningError`].
    pub(crate) fn checkpoint(&mut self) -> Result<(Checkpoint, Schema), LearningError> {
        let checkpoint = self.client.checkpoint()?;
        let schema = Schema::from_number(checkpoint.schema());
        Ok((checkpoint, schema.ok_or(LearningError::Schema(checkpoint.schema()))?))
    }

    /// The way from nothing to the newest version, with its first object if this transport carries it.
    ///
    /// # Errors
    /// [`LearningError`].
    pub(crate) fn way(&mut self) -> Result<Way, LearningError> {
        let reply = self.client.ask(&Ask::Sync(FROM_NOTHING))?;
        let view = reply.view();
        let AnswerBody::Sync(sync) = view.body else {
            return Err(LearningError::Object("the answer is none to a SYNC"));
        };
        let objects = sync.read(FROM_NOTHING).map_err(|_| LearningError::Object("no way from nothing"))?;
        let part = if self.by_datagram { PART_DATAGRAM } else { PART_STREAM };
        let limit = if self.by_datagram { MAX_UDP_OBJECT } else { MAX_OBJECT };
        let mut way =
            Way { version: view.header.version.get(), objects: objects.to_vec(), first: Vec::new(), part };
        if let Some(object) = way.objects.first().filter(|object| object.length.get() <= limit) {
            way.first = self.fetch(&object.digest, object.length.get(), part)?;
        }
        Ok(way)
    }

    fn fetch(&mut self, digest: &[u8; 32], length: u32, part: u32) -> Result<Vec<u8>, LearningError> {
        let mut object = Vec::new();
        while (object.len() as u32) < length {
            let offset = object.len() as u32;
            let asked = Fetch { digest, offset, length: part.min(length - offset) };
            let reply = self.client.ask(&Ask::Fetch(asked))?;
            let AnswerBody::Fetch(answer) = reply.view().body else {
                return Err(LearningError::Object("the answer is none to a FETCH"));
            };
            let part = answer.read(&asked).map_err(|_| LearningError::Object("a part is of another"))?;
            if part.bytes.is_empty() || part.total != length {
                return Err(LearningError::Object("a part is empty or of another length"));
            }
            object.extend_from_slice(part.bytes);
        }
        let found: [u8; 32] = Sha256::digest(&object).into();
        if found == *digest { Ok(object) } else { Err(LearningError::Object("it has another digest")) }
    }
}
