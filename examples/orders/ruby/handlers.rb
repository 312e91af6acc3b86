# frozen_string_literal: true

require "pgtasker"
require_relative "order"

module Orders
  # Puts the goods aside, and tells of each line, which its result does not.
  class Reserve
    include Tasker::Handler
    handler "order_reserve"

    def call(ctx)
      order = ctx.context(Order)
      order.lines.each do |line|
        ctx.publish("stock.reserved", { order_id: order.order_id, item: line.item,
                                        quantity: line.quantity })
      end
      { lines: order.lines.size }
    end
  end

  # Its result is what `payment.processed` tells, its failure what `payment.failed` does: the worker
  # publishes them.
  class Charge
    include Tasker::Handler
    handler "order_charge"

    def call(ctx)
      order = ctx.context(Order)
      unless order.card_valid?
        raise Tasker::PermanentError.new("the card was refused", code: "card_refused")
      end

      { order_id: order.order_id, amount: order.amount, currency: order.currency,
        card: order.card }
    end
  end

  # Packs it.
  class Ship
    include Tasker::Handler
    handler "order_ship"

    def call(ctx)
      order = ctx.context(Order)
      { order_id: order.order_id, parcels: order.parcels }
    end
  end

  # Every event about a payment: a card's number never leaves whole, nobody is told about a payment
  # of nothing, and the metadata says of which order it is, which the payload of a failure does not.
  def self.publish_payment(event, ctx)
    return if event.payload["amount"] == 0

    event.payload["card"] = masked(event.payload["card"]) if event.payload["card"]
    event.metadata = { order_id: ctx.context(Order).order_id, attempt: ctx.attempt }
    event
  end

  # The last four characters.
  def self.masked(card) = "**** #{card[-4..] || card}"

  # @return [Tasker::Worker] of this example
  def self.worker(**options)
    worker = Tasker::Worker.new(namespaces: [NAMESPACE], handlers: [Reserve, Charge, Ship],
                                **options)
    worker.publisher("payment.*") { |event, ctx| publish_payment(event, ctx) }
    worker
  end
end
