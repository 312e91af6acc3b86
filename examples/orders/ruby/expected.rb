# frozen_string_literal: true

require_relative "order"

module Orders
  # What plain Ruby makes of the same orders, without an engine and without events.
  class Expected
    # Currencies that the schema of `payment.processed` lets pass.
    KNOWN = %w[EUR USD].freeze

    attr_reader :reserved, :paid, :mails, :cards, :refused, :gifts, :complete

    def initialize(orders)
      @reserved = Hash.new(0)
      @paid = Hash.new(0)
      @mails = []
      @cards = @complete = 0
      # Orders that were paid and whose event became a dead letter; and whose event was kept back.
      @refused = []
      @gifts = []
      orders.each { |order| count(order) }
      @mails.sort!
    end

    private

    def count(order)
      order.lines.each { |line| @reserved[line.item] += line.quantity }
      unless order.card_valid?
        @cards += 1
        return @mails << [order.order_id, "Not paid: the card was refused"]
      end

      @complete += 1
      @mails << [order.order_id, "On its way, parcels: #{order.parcels}"]
      if order.amount.zero? then @gifts << order.order_id
      elsif KNOWN.include?(order.currency) then @paid[order.currency] += order.amount
      else @refused << order.order_id
      end
    end
  end
end
