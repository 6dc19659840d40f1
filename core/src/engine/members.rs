use crate::waist::MemberId;

/// Which member to ask: the one that worked last, and the next one when it fails.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Members {
    count: u16,
    current: MemberId,
}

impl Members {
    /// Of `count` members, beginning with `first` (taken modulo the count), so that many
    /// processes do not all begin with the same one.
    pub fn new(count: u16, first: u64) -> Self {
        let first = u16::try_from(first % u64::from(count)).expect("less than the count");
        Self { count, current: MemberId(first) }
    }

    /// The member to ask now.
    pub fn current(&self) -> MemberId {
        self.current
    }

    /// An attempt at `member` failed in a way that another member might not. Blame for a member
    /// that is no longer asked is old news.
    pub fn blame(&mut self, member: MemberId) {
        if member == self.current {
            self.current = MemberId((member.0 + 1) % self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    #[test]
    fn blame_moves_on_and_comes_round() {
        let mut members = Members::new(3, 7);
        assert_eq!(members.current(), MemberId(1));
        members.blame(MemberId(0));
        assert_eq!(members.current(), MemberId(1), "old news");
        members.blame(MemberId(1));
        members.blame(MemberId(2));
        assert_eq!(members.current(), MemberId(0));
    }

    proptest! {
        /// After as many blames as there are members, each of them was asked.
        #[test]
        fn every_member_is_asked(count in 1_u16..20, first: u64, old: u16) {
            let mut members = Members::new(count, first);
            let mut asked = BTreeSet::new();
            for _ in 0..count {
                let current = members.current();
                asked.insert(current);
                // Late news of the one before changes nothing.
                if old % count != current.0 {
                    members.blame(MemberId(old % count));
                }
                members.blame(current);
            }
            prop_assert_eq!(asked.len(), usize::from(count));
        }
    }

    #[test]
    fn a_single_member_is_asked_again() {
        let mut members = Members::new(1, 5);
        members.blame(MemberId(0));
        assert_eq!(members.current(), MemberId(0));
    }
}
