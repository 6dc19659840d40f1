//! Which cluster is the store: asked of every given member before anything else is asked of any.
//!
//! ```text
//! Due ── somebody wants to send ──▶ Underway ── most agree, or nobody is left to answer ──▶ Over
//! ```
//!
//! An address of another cluster, left over in a configuration, answers as well as the right ones
//! do. Were the first answer believed, every third process with one wrong address among three would
//! take its records elsewhere. So all given members are sent a transaction of nothing, which each
//! answers from itself and to anybody (rows T9 and A3 of `docs/etcd.md`), and what more than half of
//! them say is the store. Where no more than
//! half say the same (the others are down), what most of those say that answered is; of as many, what
//! the first of them in the given order says, so that a fleet that was given the same addresses
//! decides alike.
//!
//! It cannot know better than the members do: while all right addresses are down, a wrong one is all
//! there is.

use crate::waist::MemberId;

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Census {
    state: State,
    /// By place among the given members.
    words: Vec<Word>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum State {
    Due,
    Underway,
    Over { home: Option<u64> },
}

/// What a member said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Word {
    Awaited,
    /// It failed, or had too little time.
    None,
    Cluster(u64),
}

impl Census {
    /// Of the `count` members that were given. A single one has nobody to be compared with.
    pub fn new(count: u16, is_wished: bool) -> Self {
        let state = if is_wished && count > 1 { State::Due } else { State::Over { home: None } };
        Self { state, words: vec![Word::Awaited; usize::from(count)] }
    }

    pub fn is_due(&self) -> bool {
        self.state == State::Due
    }

    /// Whether anything else may be sent.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// The cluster that it found.
    pub fn home(&self) -> Option<u64> {
        match self.state {
            State::Over { home } => home,
            State::Due | State::Underway => None,
        }
    }

    /// Whom to ask now.
    pub fn begin(&mut self) -> impl Iterator<Item = MemberId> + use<> {
        self.state = State::Underway;
        (0..).map(MemberId).take(self.words.len())
    }

    /// A member answered from this cluster, or failed. True: it is over now.
    pub fn heard(&mut self, member: MemberId, cluster: Option<u64>) -> bool {
        if self.state != State::Underway {
            return false;
        }
        if let Some(word) = self.words.get_mut(usize::from(member.0)) {
            *word = cluster.map_or(Word::None, Word::Cluster);
        }
        // The last of equals wins, so the given order is read backwards.
        let said = || self.words.iter().rev().filter_map(Word::cluster);
        let votes = |cluster| said().filter(|&other| other == cluster).count();
        let leading = said().max_by_key(|&cluster| votes(cluster));
        let agreed = leading.is_some_and(|cluster| votes(cluster) > self.words.len() / 2);
        let is_over = agreed || !self.words.contains(&Word::Awaited);
        if is_over {
            self.state = State::Over { home: leading };
        }
        is_over
    }

    /// Who said that it belongs to another cluster than the one found, and to which.
    pub fn strangers(&self) -> Vec<(MemberId, u64)> {
        let Some(home) = self.home() else { return Vec::new() };
        let words = (0..).map(MemberId).zip(&self.words);
        words
            .filter_map(|(member, word)| Some((member, word.cluster()?)))
            .filter(|&(_, cluster)| cluster != home)
            .collect()
    }
}

impl Word {
    fn cluster(&self) -> Option<u64> {
        match self {
            Self::Awaited | Self::None => None,
            Self::Cluster(cluster) => Some(*cluster),
        }
    }
}

#[cfg(test)]
mod tests;
