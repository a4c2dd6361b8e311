//! Numbers for people: grouped by thousands, short for an axis, in percent, and with their noun. English, as all
//! pages are.

/// Returns a number with a comma after each group of three digits: `1,204`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number in at most five characters below 10¹⁵: `950`, `1.2k`, `12k`, `3.4M`, `1B`, `2T`. The rest is cut
/// off, so that 999,999 is not shown as a million.
pub fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")];
    // The largest unit that fits.
    let Some((size, unit)) = UNITS.into_iter().find(|(size, _)| number >= *size) else {
        return number.to_string();
    };
    // Divided and not multiplied: this cannot overflow.
    let (whole, tenths) = (number / size, number % size / (size / 10));
    // Two digits are enough for an axis.
    if whole >= 10 || tenths == 0 {
        return format!("{}{unit}", grouped(whole));
    }
    format!("{whole}.{tenths}{unit}")
}

/// Returns the share of `part` in `total`: `37%`, `3.4%`, `<0.1%`. Only all of it is `100%`, and only nothing is `0%`.
pub fn percent(part: u64, total: u64) -> String {
    match permille(part, total) {
        _ if part == 0 || total == 0 => "0%".to_owned(),
        // What rounding would turn into nothing or all is neither.
        0 => "<0.1%".to_owned(),
        1000.. if part < total => "99.9%".to_owned(),
        tenths @ 1..100 => format!("{}.{}%", tenths / 10, tenths % 10),
        995..1000 => "99.9%".to_owned(),
        tenths => format!("{}%", (tenths + 5) / 10),
    }
}

/// Returns the share of `part` in `total` in thousandths, rounded to the nearest; 0 of a total of 0.
pub(super) fn permille(part: u64, total: u64) -> u128 {
    // In 128 bits: the product of the largest counter does not fit into 64.
    if total == 0 { 0 } else { (u128::from(part) * 2000 + u128::from(total)) / (2 * u128::from(total)) }
}

/// Returns a number with its noun, which is given in the plural: `1 click`, `1,204 clicks`, `1 miss`.
pub fn counted(number: u64, plural: &str) -> String {
    let noun = if number == 1 { singular(plural) } else { plural };
    format!("{} {noun}", grouped(number))
}

fn singular(plural: &str) -> &str {
    // "misses", "prefetches"; but "clicks", "bots", "visits".
    let stem = plural.strip_suffix("es").filter(|stem| stem.ends_with("ss") || stem.ends_with("ch"));
    stem.or_else(|| plural.strip_suffix('s')).unwrap_or(plural)
}

/// Returns a noun with a capital letter, for the head of a column.
pub(super) fn capitalized(noun: &str) -> String {
    let mut letters = noun.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns `thousandths` of 1, of 100 and so on as a decimal number without zeros at its end: 12500 is `12.5`.
pub(super) fn decimal(thousandths: u128) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened() {
        let rows = [
            (0, "0", "0"),
            (7, "7", "7"),
            (999, "999", "999"),
            (1000, "1,000", "1k"),
            (1204, "1,204", "1.2k"),
            (9999, "9,999", "9.9k"),
            (12_345, "12,345", "12k"),
            // Rounded up, this would be 1000k.
            (999_999, "999,999", "999k"),
            (3_400_000, "3,400,000", "3.4M"),
            (1_000_000_000, "1,000,000,000", "1B"),
            (2_500_000_000_000, "2,500,000,000,000", "2.5T"),
            (u64::MAX, "18,446,744,073,709,551,615", "18,446,744T"),
        ];
        for (number, long, brief) in rows {
            assert_eq!(grouped(number), long, "{number}");
            assert_eq!(short(number), brief, "{number}");
        }
    }

    #[test]
    fn shares_are_neither_hidden_nor_completed_by_rounding() {
        let rows = [
            (0, 0, "0%"),
            (0, 10, "0%"),
            (3, 0, "0%"),
            (1, 100_000, "<0.1%"),
            (1, 1000, "0.1%"),
            (34, 1000, "3.4%"),
            (99, 1000, "9.9%"),
            (1, 3, "33%"),
            (999_999, 1_000_000, "99.9%"),
            (996, 1000, "99.9%"),
            (994, 1000, "99%"),
            (10, 10, "100%"),
            (u64::MAX, u64::MAX, "100%"),
            (u64::MAX - 1, u64::MAX, "99.9%"),
            (u64::MAX / 2, u64::MAX, "50%"),
        ];
        for (part, total, want) in rows {
            assert_eq!(percent(part, total), want, "{part} of {total}");
        }
    }

    #[test]
    fn nouns_follow_their_number() {
        let rows = [
            (1, "clicks", "1 click"),
            (0, "clicks", "0 clicks"),
            (1204, "visits", "1,204 visits"),
            (1, "misses", "1 miss"),
            (1, "prefetches", "1 prefetch"),
        ];
        for (number, plural, want) in rows {
            assert_eq!(counted(number, plural), want);
        }
        assert_eq!(capitalized("visits"), "Visits");
        assert_eq!(capitalized(""), "");
    }

    #[test]
    fn decimals_have_no_zeros_at_their_end() {
        for (thousandths, want) in [(0, "0"), (500, "0.5"), (12_500, "12.5"), (100_000, "100"), (1, "0.001")]
        {
            assert_eq!(decimal(thousandths), want);
        }
    }
}
