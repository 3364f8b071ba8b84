//! How the double behaves, and misbehaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

/// How the double behaves. All of it can be changed at any time.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Steps of a node that samples.
    pub steps: u32,
    /// How long each takes.
    pub step: Duration,
    /// How long any other node takes, in silence.
    pub node: Duration,
    /// How the next prompts end; well, if there is none.
    pub fates: VecDeque<Fate>,
    /// What nodes that save write.
    pub content: Content,
    /// The picture that a sampler shows after each step, if its prompt asks for pictures and this version heeds that.
    pub picture: Bytes,
    /// What becomes of it on its way.
    pub shows: Shows,
    /// Whether pictures are made of whatever runs, asked for or not: the server was started with `--preview-method`.
    pub shows_unasked: bool,
    /// Time between the word of success and the entry in the history.
    pub history_lag: Duration,
    /// Whether sockets are open and silent.
    pub mute: bool,
    /// Whether prompts are taken and nothing runs any more.
    pub executor_dead: bool,
    /// Whether running prompts do not hear an interrupt.
    pub ignores_interrupts: bool,
    /// How everything is answered over HTTP.
    pub answers: Answers,
    /// How often the answer to a prompt that was taken is lost.
    pub lost_answers: u32,
    /// Sorts of node that it does not have.
    pub absent: BTreeSet<String>,
    /// Model files by folder.
    pub models: BTreeMap<String, Vec<String>>,
    /// What it says that it was started with.
    pub arguments: Vec<String>,
    /// Its card; it works on the host's processor if there is none.
    pub card: Option<Card>,
    /// Whether `/free` frees anything.
    pub frees: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            steps: 4,
            step: Duration::from_millis(10),
            node: Duration::ZERO,
            fates: VecDeque::new(),
            content: Content::Bytes(Bytes::from_static(b"not a clip")),
            picture: Bytes::from_static(b"\xff\xd8\xff\xe0\x00\x10JFIF and so on"),
            shows: Shows::Well,
            shows_unasked: false,
            history_lag: Duration::ZERO,
            mute: false,
            executor_dead: false,
            ignores_interrupts: false,
            answers: Answers::Well,
            lost_answers: 0,
            absent: BTreeSet::new(),
            models: BTreeMap::new(),
            arguments: vec!["main.py".to_owned()],
            card: None,
            frees: true,
        }
    }
}

/// What becomes of a picture on its way to who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// It comes as it is.
    Well,
    /// It has so many bytes.
    Huge(usize),
    /// Its frame ends in the middle.
    CutShort,
    /// It is said to be of another prompt, as far as it says of which one it is.
    OfAnother,
    /// It is of a sort that nobody knows.
    OfNoSort,
}

/// How a prompt ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Well.
    Well,
    /// A node fails.
    Fails {
        /// Python's name for it.
        exception: String,
        /// What it says.
        message: String,
    },
    /// A node fails, and the status says success.
    Lies,
    /// Well, by all signs, with nothing saved.
    SavesNothing,
    /// Well, with these outputs instead of its own.
    Outputs(Value),
    /// It stops after that step and goes on only when it is interrupted.
    StallsAt(u32),
    /// It stays in the running list for ever, and so does everything behind it.
    KillsExecutor,
    /// The server's process dies while it saves: half a file is there.
    DiesSaving,
}

/// What nodes that save write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// So many zeros, which are never held at once.
    Zeros(u64),
}

impl Content {
    pub(crate) fn half(&self) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(..bytes.len() / 2)),
            Self::Zeros(size) => Self::Zeros(size / 2),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(size) => *size,
        }
    }
}

/// How everything is answered over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// As it should be.
    Well,
    /// With a failure inside.
    Broken,
    /// With JSON that ends in the middle.
    HalfJson,
    /// With a page for people: this is some other server.
    Page,
}

/// A card, as `/system_stats` tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// Its memory in bytes.
    pub total: u64,
    /// What the server's models hold of it.
    pub held: u64,
}
