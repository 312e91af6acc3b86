# frozen_string_literal: true

module Orders
  # Items with their prices in cents.
  GOODS = [["kettle", 4_900], ["teapot", 3_100], ["cup", 890], ["tea", 1_250]].freeze
  # Numbers for testing that pass the check digit; the last does not.
  CARDS = %w[4242424242424242 5555555555554444 378282246310005 4242424242424241].freeze
  # Pieces in one parcel.
  PARCEL = 4

  # So many of one item; `cents` is the price of one, 0: a gift.
  Line = Struct.new(:item, :quantity, :cents) do
    def self.tasker_types = { item: String, quantity: Integer, cents: Integer }
  end

  # The context of a task.
  Order = Struct.new(:order_id, :card, :currency, :lines) do
    def self.tasker_types
      { order_id: Integer, card: String, currency: String, lines: [Line] }
    end

    # What is to be paid, in cents.
    def amount = lines.sum { |line| line.quantity * line.cents }

    # How many it is packed in.
    def parcels = (lines.sum(&:quantity) + PARCEL - 1) / PARCEL

    # Whether the last digit of the card's number fits the others, by Luhn.
    def card_valid?
      digits = card.reverse.each_char.with_index.map do |digit, place|
        place.even? ? digit.to_i : (2 * digit.to_i).digits.sum
      end
      (digits.sum % 10).zero?
    end
  end

  module_function

  # Orders with these numbers, the same each time. Every sixth is by a card that is refused, every
  # fifth a gift, and every eighth is paid in a currency that `payment.processed` does not know.
  def orders(numbers) = numbers.map { |number| order(number) }

  def order(number)
    card = (number % 6).zero? ? CARDS[3] : CARDS[number % 3]
    currency = (number % 8).zero? ? "GBP" : %w[USD EUR][number % 2]
    lines = (0..number % 3).map do |i|
      item, cents = GOODS[(number + i) % GOODS.size]
      Line.new(item, 1 + (((number * 5) + (i * 3)) % 4), (number % 5).zero? ? 0 : cents)
    end
    Order.new(number, card, currency, lines)
  end
end
