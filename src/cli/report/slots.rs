//! Which running hosts the lines of a terminal show. A host keeps its line as long as it runs, so that nothing jumps.

use std::collections::BTreeSet;

/// The lines, each with the position of its host in the request.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    lines: Vec<Option<u32>>,
}

impl Slots {
    /// There are `room` lines now.
    pub(crate) fn resize(&mut self, room: usize) {
        self.lines.resize(room, None);
    }

    /// Gives free lines to running hosts; returns how many hosts have none.
    pub(crate) fn assign(&mut self, running: &[u32]) -> usize {
        let alive: BTreeSet<u32> = running.iter().copied().collect();
        for line in &mut self.lines {
            *line = line.filter(|host| alive.contains(host));
        }
        let shown: BTreeSet<u32> = self.lines.iter().flatten().copied().collect();
        let mut waiting = running.iter().filter(|host| !shown.contains(host));
        for line in self.lines.iter_mut().filter(|line| line.is_none()) {
            *line = waiting.next().copied();
        }
        waiting.count()
    }

    /// The host of every line.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Option<u32>> {
        self.lines.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_line_and_the_others_are_counted() {
        let mut slots = Slots::default();
        slots.resize(3);
        assert_eq!(slots.assign(&[1, 2, 3, 4, 5]), 2);
        assert_eq!(slots.assign(&[1, 3, 4, 5]), 1);
        assert_eq!(slots.shown().collect::<Vec<_>>(), [Some(1), Some(4), Some(3)]);
        slots.resize(2);
        assert_eq!(slots.assign(&[4]), 0);
        assert_eq!(slots.shown().collect::<Vec<_>>(), [None, Some(4)]);
    }
}
