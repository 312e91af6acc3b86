//! What plain Rust makes of the same orders, without an engine and without events.

use super::{Books, Figures, Order, books::add};

/// Currencies that the schema of `payment.processed` lets pass.
const KNOWN: [&str; 2] = ["EUR", "USD"];

/// What is to come of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// For those who look on.
    pub figures: Figures,
    /// In the tables.
    pub books: Books,
    /// Orders that were paid and of which the event became a dead letter.
    pub refused: Vec<i64>,
    /// Orders of which `payment.processed` was kept back.
    pub gifts: Vec<i64>,
    /// Tasks that complete.
    pub complete: usize,
}

impl Expected {
    /// What is to come of these orders.
    pub fn of(orders: &[Order]) -> Self {
        let mut all = Self::default();
        for order in orders {
            all.count(order);
        }
        all.books.mails.sort();
        all
    }

    fn count(&mut self, order: &Order) {
        for line in &order.lines {
            add(&mut self.figures.reserved, &line.item, line.quantity);
        }
        if !order.is_card_valid() {
            self.figures.refused += 1;
            self.books.mails.push((order.order_id, "Not paid: the card was refused".to_owned()));
            return;
        }
        self.complete += 1;
        self.books
            .mails
            .push((order.order_id, format!("On its way, parcels: {}", order.parcels())));
        if order.amount() == 0 {
            self.gifts.push(order.order_id);
        } else if KNOWN.contains(&order.currency.as_str()) {
            add(&mut self.figures.paid, &order.currency, order.amount());
            add(&mut self.books.paid, &order.currency, order.amount());
        } else {
            self.refused.push(order.order_id);
        }
    }
}
