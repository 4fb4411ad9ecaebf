//! How far a word is from another, for "did you mean".

/// Edits from one word to another (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut next = vec![i + 1];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((left + 1).min(above + 1).min(before + usize::from(x != y)));
            before = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
