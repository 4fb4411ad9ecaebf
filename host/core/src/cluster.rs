//! Who votes, and what would cost the quorum. Pure: the leader's shell asks, and carries out.
//!
//! Up to seven nodes vote; the others have everything and no vote. A witness votes where the nodes' votes
//! are even, so that one half can still be told from the other; with odd votes it would only add a way to
//! lose the majority, and keeps the log without a vote.
//!
//! A voter that is gone for long gives its vote to a node that is here. A set of voters is only changed
//! where a majority of the new one is here: a change must never cost the quorum.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Code, Error};

/// Most nodes that vote: more make each change slower and survive no likelier failure.
pub const NODE_VOTERS_MAX: usize = 7;
/// A voter gone for so long is replaced, where another can take its vote.
pub const REPLACE_AFTER: Duration = Duration::from_secs(300);

/// The least number of votes that is more than half.
#[must_use]
pub fn majority(votes: usize) -> usize {
    votes / 2 + 1
}

/// A member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// It only votes.
    pub witness: bool,
    /// It votes now.
    pub votes: bool,
    /// How long it hasn't answered; zero: it is here.
    pub gone: Duration,
    /// It has nearly everything that the leader has.
    pub caught_up: bool,
    /// Its disk went back in time: it must not vote under this id.
    pub reverted: bool,
}

impl Candidate {
    fn here(&self) -> bool {
        self.gone.is_zero()
    }

    fn may_start(&self) -> bool {
        self.here() && self.caught_up && !self.reverted
    }
}

/// Who shall vote. The same set as now where nothing is to be done.
#[must_use]
pub fn choose_voters(members: &[Candidate]) -> BTreeSet<u64> {
    let now: BTreeSet<u64> = members.iter().filter(|m| m.votes).map(|m| m.id).collect();
    let nodes = choose_nodes(members);
    let mut wanted: BTreeSet<u64> = nodes.iter().map(|m| m.id).collect();
    if wanted.len().is_multiple_of(2)
        && let Some(witness) = choose_witness(members)
    {
        wanted.insert(witness);
    }
    let here = members
        .iter()
        .filter(|m| wanted.contains(&m.id) && m.here())
        .count();
    if wanted.is_empty() || here < majority(wanted.len()) {
        now
    } else {
        wanted
    }
}

fn choose_nodes(members: &[Candidate]) -> Vec<&Candidate> {
    let mut chosen: Vec<&Candidate> = members
        .iter()
        .filter(|m| !m.witness && m.votes && !m.reverted)
        .collect();
    let mut waiting = members
        .iter()
        .filter(|m| !m.witness && !m.votes && m.may_start());
    while chosen.len() < NODE_VOTERS_MAX
        && let Some(next) = waiting.next()
    {
        chosen.push(next);
    }
    // Full: who is gone for long gives its place to one that waits, one for one.
    for next in waiting {
        let longest = chosen
            .iter()
            .enumerate()
            .filter(|(_, m)| m.gone >= REPLACE_AFTER);
        let Some((place, _)) = longest.max_by_key(|(_, m)| m.gone) else {
            break;
        };
        chosen.swap_remove(place);
        chosen.push(next);
    }
    chosen
}

fn choose_witness(members: &[Candidate]) -> Option<u64> {
    let witnesses = || members.iter().filter(|m| m.witness && !m.reverted);
    let voting = witnesses().find(|m| m.votes && m.gone < REPLACE_AFTER);
    let ready = || witnesses().find(|m| !m.votes && m.may_start());
    let last = || witnesses().find(|m| m.votes);
    voting.or_else(ready).or_else(last).map(|m| m.id)
}

/// May this member be removed? The refusal shows the arithmetic.
///
/// # Errors
/// `blocked` where the rest would have no quorum, or nobody would be left.
pub fn may_remove(members: &[Candidate], id: u64) -> Result<(), Error> {
    let Some(leaving) = members.iter().find(|m| m.id == id) else {
        return Ok(());
    };
    if !members.iter().any(|m| m.id != id && !m.witness) {
        let message = format!(
            "{} is the cluster's only node; there is nothing to leave",
            leaving.name
        );
        return Err(Error::new(Code::Blocked, message));
    }
    let rest: Vec<&Candidate> = members.iter().filter(|m| m.id != id && m.votes).collect();
    let (here, gone): (Vec<&Candidate>, Vec<&Candidate>) = rest.iter().partition(|m| m.here());
    let needed = majority(rest.len());
    if rest.is_empty() || here.len() < needed {
        let missing: Vec<String> = gone.iter().map(|m| m.name.clone()).collect();
        let message = format!(
            "without {} the cluster has {} votes and needs {needed} of them; {} are here, and {} are not: {}. Bring \
             those back or remove them first, or give --force",
            leaving.name,
            rest.len(),
            here.len(),
            missing.len(),
            if missing.is_empty() {
                "none".to_owned()
            } else {
                missing.join(", ")
            },
        );
        return Err(Error::new(Code::Blocked, message).with_by(missing));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> Candidate {
        Candidate {
            id,
            name: format!("n{id}"),
            witness: false,
            votes: true,
            gone: Duration::ZERO,
            caught_up: true,
            reverted: false,
        }
    }

    fn witness(votes: bool) -> Candidate {
        Candidate {
            witness: true,
            votes,
            name: "w".to_owned(),
            ..node(99)
        }
    }

    fn waiting(id: u64) -> Candidate {
        Candidate {
            votes: false,
            ..node(id)
        }
    }

    fn gone(id: u64, seconds: u64) -> Candidate {
        Candidate {
            gone: Duration::from_secs(seconds),
            ..node(id)
        }
    }

    fn chosen(members: &[Candidate]) -> Vec<u64> {
        choose_voters(members).into_iter().collect()
    }

    #[test]
    fn a_witness_votes_where_the_nodes_are_even() {
        assert_eq!(chosen(&[node(1), witness(false)]), [1]);
        assert_eq!(chosen(&[node(1), node(2), witness(false)]), [1, 2, 99]);
        assert_eq!(
            chosen(&[node(1), node(2), waiting(3), witness(true)]),
            [1, 2, 3]
        );
        assert_eq!(
            chosen(&[node(1), node(2), node(3), waiting(4), witness(false)]),
            [1, 2, 3, 4, 99]
        );
    }

    #[test]
    fn up_to_seven_vote_and_who_is_gone_for_long_is_replaced() {
        let mut members: Vec<_> = (1..=9).map(waiting).collect();
        members[0].votes = true;
        assert_eq!(chosen(&members), [1, 2, 3, 4, 5, 6, 7]);
        let mut members: Vec<_> = (1..=7).map(node).collect();
        members.push(waiting(8));
        assert_eq!(chosen(&members), [1, 2, 3, 4, 5, 6, 7]);
        members[2] = gone(3, 299);
        assert_eq!(chosen(&members), [1, 2, 3, 4, 5, 6, 7]);
        members[2] = gone(3, 300);
        assert_eq!(chosen(&members), [1, 2, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn nothing_is_changed_that_would_cost_the_quorum() {
        // A fourth voter that is here doesn't help where two of three are gone.
        assert_eq!(
            chosen(&[node(1), gone(2, 9), gone(3, 9), waiting(4)]),
            [1, 2, 3]
        );
        // One that lags isn't taken.
        let late = Candidate {
            caught_up: false,
            ..waiting(2)
        };
        assert_eq!(chosen(&[node(1), late]), [1]);
        // One that went back in time loses its vote; the rest is odd again without the witness.
        let reverted = Candidate {
            reverted: true,
            ..node(3)
        };
        assert_eq!(chosen(&[node(1), node(2), reverted]), [1, 2]);
        let witness = Candidate {
            reverted: true,
            ..witness(true)
        };
        assert_eq!(chosen(&[node(1), node(2), witness]), [1, 2]);
    }

    #[test]
    fn for_any_members_the_new_set_has_a_majority_that_is_here_or_is_the_old_one() {
        // Every combination of four nodes and a witness in each of five conditions.
        let kinds = |id: u64| {
            [
                node(id),
                waiting(id),
                gone(id, 10),
                gone(id, 400),
                Candidate {
                    caught_up: false,
                    ..waiting(id)
                },
            ]
        };
        for case in 0..5_usize.pow(5) {
            let digit = |place: u32| case / 5_usize.pow(place) % 5;
            let mut members: Vec<_> = (0..4)
                .map(|n| kinds(u64::from(n) + 1)[digit(n)].clone())
                .collect();
            members.push(Candidate {
                witness: true,
                ..kinds(99)[digit(4)].clone()
            });
            let now: BTreeSet<u64> = members.iter().filter(|m| m.votes).map(|m| m.id).collect();
            let new = choose_voters(&members);
            let here = members
                .iter()
                .filter(|m| new.contains(&m.id) && m.here())
                .count();
            assert!(new == now || here >= majority(new.len()), "{members:?}");
            let again: Vec<_> = members
                .iter()
                .map(|m| Candidate {
                    votes: new.contains(&m.id),
                    ..m.clone()
                })
                .collect();
            assert_eq!(choose_voters(&again), new, "it must settle: {members:?}");
        }
    }

    #[test]
    fn a_removal_that_costs_the_quorum_is_refused_with_the_arithmetic() {
        let members = [node(1), node(2), gone(3, 5)];
        may_remove(&members, 3).unwrap();
        let refused = may_remove(&members, 2).unwrap_err();
        assert_eq!(refused.code, Code::Blocked);
        assert!(
            refused.message.contains("has 2 votes and needs 2"),
            "{}",
            refused.message
        );
        assert_eq!(refused.by, ["n3"]);
        assert!(
            may_remove(&[node(1), witness(false)], 1)
                .unwrap_err()
                .message
                .contains("only node")
        );
    }
}
