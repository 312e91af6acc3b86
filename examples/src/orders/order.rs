//! The orders of the example, and what can be computed from one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Items with their prices in cents.
const GOODS: [(&str, i64); 4] =
    [("kettle", 4_900), ("teapot", 3_100), ("cup", 890), ("tea", 1_250)];
/// Numbers for testing that pass the check digit; the last does not.
const CARDS: [&str; 4] =
    ["4242424242424242", "5555555555554444", "378282246310005", "4242424242424241"];
/// Pieces in one parcel.
const PARCEL: i64 = 4;

/// The context of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// From 1.
    pub order_id: i64,
    /// The number of the card that pays.
    pub card: String,
    /// Three letters.
    pub currency: String,
    /// At least one.
    pub lines: Vec<Line>,
}

/// So many of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub item: String,
    /// From 1.
    pub quantity: i64,
    /// The price of one, in cents; 0: a gift.
    pub cents: i64,
}

/// Orders with these numbers, the same each time. Every sixth is by a card that is refused, every
/// fifth a gift, and every eighth is paid in a currency that `payment.processed` does not know.
pub fn orders(numbers: impl IntoIterator<Item = i64>) -> Vec<Order> {
    numbers.into_iter().map(order).collect()
}

fn order(n: i64) -> Order {
    let pick = |of: usize, among: usize| of % among;
    let number = usize::try_from(n).unwrap_or_default();
    let line = |i: usize| {
        let (item, cents) = GOODS[pick(number + i, GOODS.len())];
        let quantity = 1 + (n * 5 + i64::try_from(i).unwrap_or_default() * 3) % 4;
        Line { item: item.to_owned(), quantity, cents: if n % 5 == 0 { 0 } else { cents } }
    };
    let card = if n % 6 == 0 { CARDS[3] } else { CARDS[pick(number, 3)] };
    let currency = match n {
        _ if n % 8 == 0 => "GBP",
        _ if n % 2 == 0 => "USD",
        _ => "EUR",
    };
    let lines = (0..=pick(number, 3)).map(line).collect();
    Order { order_id: n, card: card.to_owned(), currency: currency.to_owned(), lines }
}

impl Order {
    /// As the context of a task.
    pub fn context(&self) -> Value {
        json!(self)
    }

    /// What is to be paid, in cents.
    pub fn amount(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity * line.cents).sum()
    }

    /// How many it is packed in.
    pub fn parcels(&self) -> i64 {
        let pieces: i64 = self.lines.iter().map(|line| line.quantity).sum();
        (pieces + PARCEL - 1) / PARCEL
    }

    /// Whether the last digit of the card's number fits the others, by Luhn: what a bank checks
    /// first.
    pub fn is_card_valid(&self) -> bool {
        let digits = self.card.chars().rev().filter_map(|c| c.to_digit(10));
        let sum: u32 = digits
            .enumerate()
            .map(|(place, digit)| match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..=4) => 2 * digit,
                (_, digit) => 2 * digit - 9,
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_digit_in_a_cards_number_shows() {
        let valid = |card: &str| Order { card: card.to_owned(), ..order(1) }.is_card_valid();
        assert_eq!(CARDS.map(valid), [true, true, true, false]);
        assert!(!valid("5555555555554445") && !valid("378282246310015"));
    }

    #[test]
    fn the_first_dozen_has_one_of_each_kind() {
        let dozen = orders(1..=12);
        assert!(dozen.iter().any(|order| order.amount() == 0 && order.is_card_valid()));
        assert!(
            dozen.iter().any(|order| order.currency == "GBP"
                && order.is_card_valid()
                && order.amount() > 0)
        );
        assert_eq!(dozen.iter().filter(|order| !order.is_card_valid()).count(), 2);
        assert!(dozen.iter().any(|order| order.parcels() > 1));
    }
}
