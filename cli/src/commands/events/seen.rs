//! Which messages were seen. Numbers become visible in another order than their own where
//! transactions overlap, so that those left out are looked for again: soon at first, then ever more
//! rarely, as most of them were deleted by a consumer.

use pgtasker_client::QueuedEvent;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a message may become visible after one with a higher number. The engine's transactions
/// are short.
const OVERLAP: Duration = Duration::from_secs(60);

/// What was seen, and what was left out.
#[derive(Debug, Default)]
pub struct Seen {
    highest: i64,
    /// By their first number.
    gaps: BTreeMap<i64, Gap>,
}

/// Numbers that were not there when a higher one was.
#[derive(Debug, Clone, Copy)]
struct Gap {
    last: i64,
    since: Instant,
    next: Instant,
}

impl Seen {
    /// From the newest, which are all there are, or else those from the first of them on.
    pub fn begin(&mut self, newest: &[QueuedEvent], all: bool) {
        self.highest = newest.first().filter(|_| !all).map_or(0, |event| event.msg_id - 1);
        self.add(newest);
    }

    /// The highest number seen.
    pub fn highest(&self) -> i64 {
        self.highest
    }

    /// Takes in what was found after the highest number, in its order.
    pub fn add(&mut self, new: &[QueuedEvent]) {
        let now = Instant::now();
        for event in new {
            if event.msg_id > self.highest + 1 {
                let gap = Gap { last: event.msg_id - 1, since: now, next: now };
                self.gaps.insert(self.highest + 1, gap);
            }
            self.highest = self.highest.max(event.msg_id);
        }
    }

    /// Takes in what was found before it: whether it was not seen yet.
    pub fn fill(&mut self, number: i64) -> bool {
        let Some((&first, &gap)) =
            self.gaps.range(..=number).next_back().filter(|(_, gap)| gap.last >= number)
        else {
            return false;
        };
        self.gaps.remove(&first);
        if first < number {
            self.gaps.insert(first, Gap { last: number - 1, ..gap });
        }
        if number < gap.last {
            self.gaps.insert(number + 1, gap);
        }
        true
    }

    /// The gaps to look into now; those that are too old are given up.
    pub fn due(&mut self, page: u32) -> Due {
        let now = Instant::now();
        self.gaps.retain(|_, gap| now - gap.since < OVERLAP);
        let ranges = self
            .gaps
            .iter()
            .filter(|(_, gap)| gap.next <= now)
            .map(|(&first, gap)| (first, gap.last));
        Due { ranges: ranges.collect(), at: 0, page: i64::from(page), begun: now }
    }

    /// They were looked into: again after as long as they are old.
    pub fn looked(&mut self, due: Due) {
        for gap in self.gaps.values_mut().filter(|gap| gap.next <= due.begun) {
            gap.next = due.begun + (due.begun - gap.since).max(Duration::from_millis(1));
        }
    }
}

/// Gaps in their order, and how far they were looked into.
#[derive(Debug)]
pub struct Due {
    ranges: Vec<(i64, i64)>,
    /// All up to this number is known.
    at: i64,
    page: i64,
    begun: Instant,
}

impl Due {
    /// After which number to look for how many messages; none: that was all. Gaps near each other
    /// are one request.
    pub fn next_request(&self) -> Option<(i64, u32)> {
        let open = self.ranges.partition_point(|&(_, last)| last <= self.at);
        let &(first, _) = self.ranges.get(open)?;
        let after = self.at.max(first - 1);
        let within = self.ranges[open..]
            .iter()
            .map(|&(_, last)| last - after)
            .take_while(|&n| n <= self.page);
        let limit = within.last().unwrap_or(self.page);
        Some((after, u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    /// The number of the last message of an answer; none: there are no more.
    pub fn answered(&mut self, last: Option<i64>) {
        self.at = last.unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn events(numbers: &[i64]) -> Vec<QueuedEvent> {
        let event = |&msg_id| QueuedEvent {
            msg_id,
            enqueued_at: chrono::Utc::now(),
            read_ct: 0,
            event: Value::Null,
        };
        numbers.iter().map(event).collect()
    }

    /// Looks into all gaps of a queue that holds these numbers; what was new, and how often it
    /// asked.
    fn look(seen: &mut Seen, queue: &[i64], page: u32) -> (Vec<i64>, usize) {
        let (mut found, mut asked, mut due) = (Vec::new(), 0, seen.due(page));
        while let Some((after, limit)) = due.next_request() {
            let answer: Vec<i64> =
                queue.iter().copied().filter(|&n| n > after).take(limit as usize).collect();
            due.answered(answer.last().copied().filter(|_| answer.len() >= limit as usize));
            found.extend(answer.into_iter().filter(|&n| seen.fill(n)));
            asked += 1;
        }
        seen.looked(due);
        (found, asked)
    }

    fn ranges(seen: &Seen) -> Vec<(i64, i64)> {
        seen.gaps.iter().map(|(&first, gap)| (first, gap.last)).collect()
    }

    #[test]
    fn what_becomes_visible_late_is_found_once() {
        let mut seen = Seen::default();
        seen.begin(&events(&[4, 5, 9]), false);
        assert_eq!((seen.highest(), ranges(&seen)), (9, vec![(6, 8)]));
        seen.add(&events(&[10, 12]));
        assert_eq!(look(&mut seen, &[4, 5, 7, 9, 10, 11, 12], 500), (vec![7, 11], 1));
        assert_eq!((seen.highest(), ranges(&seen)), (12, vec![(6, 6), (8, 8)]));
        assert!(!seen.fill(7) && !seen.fill(4) && !seen.fill(12) && seen.fill(8));
    }

    #[test]
    fn the_first_message_there_is_may_have_others_before_it() {
        let mut seen = Seen::default();
        seen.begin(&[], true);
        seen.add(&events(&[3]));
        assert_eq!(ranges(&seen), [(1, 2)]);
        let mut seen = Seen::default();
        seen.begin(&events(&[3, 4]), true);
        assert_eq!((seen.highest(), ranges(&seen)), (4, vec![(1, 2)]));
    }

    #[test]
    fn long_gaps_are_read_in_pages_and_short_ones_together() {
        let mut seen = Seen::default();
        seen.begin(&events(&[1]), true);
        seen.add(&events(&[1001]));
        let queue: Vec<i64> = (1..=1001).collect();
        let (found, asked) = look(&mut seen, &queue, 100);
        assert_eq!((found.len(), asked, ranges(&seen)), (999, 10, vec![]));
        // Every other one: within reach of two pages.
        let odd: Vec<i64> = (1..100).map(|n| 1001 + 2 * n).collect();
        seen.add(&events(&odd));
        let (found, asked) = look(&mut seen, &odd, 100);
        assert_eq!((found.len(), ranges(&seen).len()), (0, 99));
        assert!(asked <= 2, "{asked}");
    }

    #[test]
    fn a_gap_is_looked_into_ever_more_rarely() {
        let mut seen = Seen::default();
        seen.begin(&events(&[1]), true);
        seen.add(&events(&[3]));
        assert_eq!(look(&mut seen, &[1, 3], 100).1, 1);
        for gap in seen.gaps.values_mut() {
            gap.since -= Duration::from_secs(8);
            gap.next = gap.since;
        }
        assert_eq!(look(&mut seen, &[1, 3], 100).1, 1);
        // Not again for eight seconds.
        assert_eq!(look(&mut seen, &[1, 2, 3], 100), (vec![], 0));
        assert!(seen.gaps[&2].next > Instant::now() + Duration::from_secs(7));
        seen.gaps.values_mut().for_each(|gap| gap.since -= OVERLAP);
        assert_eq!(look(&mut seen, &[1, 2, 3], 100), (vec![], 0));
        assert!(seen.gaps.is_empty());
    }
}
