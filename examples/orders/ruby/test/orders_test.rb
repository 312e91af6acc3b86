# frozen_string_literal: true

require "server_helper"
require "pgtasker/testing"
require_relative "../orders"

# What those who listen make of the events is what plain Ruby makes of the orders.
class OrdersTest < ServerTest
  def setup
    super
    Orders.install(db)
    @run = SecureRandom.uuid
  end

  # Runs the orders.
  def follow(orders)
    worker = Orders.worker(database_url: Server.url, logger: Logger.new(log))
    live = Orders::Live.new(worker, @run)
    worker.start
    complete = Orders.settle(db, Orders.place(db, @run, orders))
    worker.stop
    [complete, live]
  end

  def consume
    connection = PG.connect(Server.url)
    books = Orders::Books.new(connection)
    consumer = books.consumer(database_url: Server.url, logger: Logger.new(log)).start
    Orders.wait("the events", SOON) { books.waiting(@run).zero? }
    consumer.stop
    books
  ensure
    connection&.close
  end

  def queued
    sql = "select message from pgmq.q_orders_domain_events where message ->> 'correlation_id' = $1"
    db.exec_params(sql, [@run]).column_values(0).map { |text| JSON.parse(text) }
  end

  def test_60_orders
    orders = Orders.orders(1..60)
    expected = Orders::Expected.new(orders)
    complete, live = follow(orders)
    assert_equal [expected.complete, expected.reserved, expected.paid, expected.cards],
                 [complete, live.reserved, live.paid, live.refused]
    assert_operator expected.complete, :>, 40
    # Fast ones are heard and not queued, durable ones queued and not heard, broadcast ones both.
    paid = expected.complete - expected.gifts.size - expected.refused.size
    assert_equal({ "stock.reserved" => orders.sum { |order| order.lines.size },
                   "payment.processed" => paid, "payment.failed" => 10 },
                 live.heard.map(&:name).tally)
    assert_equal({ "payment.processed" => paid, "payment.failed" => 10,
                   "order.shipped" => expected.complete },
                 queued.map { |event| event["name"] }.tally)
    told = "#{live.heard.map(&:to_h)}#{queued}"
    assert(orders.none? { |order| told.include?(order.card) })
    consume
    books = Orders::Books.new(db)
    assert_equal [expected.paid, expected.mails], books.read(@run).values_at(:paid, :mails)
    assert_equal expected.refused, books.refused(@run).map(&:first)
  end

  def test_a_payment_that_breaks_its_schema_is_a_dead_letter
    complete, = follow(Orders.orders([8]))
    assert_equal 1, complete
    detail = "the payload breaks the event's schema: " \
             "/currency: \"GBP\" is not one of \"EUR\" or \"USD\""
    assert_equal [[8, "payment.processed", detail]], Orders::Books.new(db).refused(@run)
  end

  # A handler alone, without a database.
  def test_a_refused_card
    run = Tasker::Testing.run(Orders::Charge, context: Orders.order(6))
    assert_equal [false, "card_refused"], [run.retryable?, run.code]
    bought = order(%w[kettle 2 4900], %w[cup 1 890])
    run = Tasker::Testing.run(Orders::Charge, context: bought)
    assert_equal 10_690, run.result["amount"]
    assert_equal ["**** 4241", "**** 123", "**** "],
                 %w[4242424242424241 123].push("").map { |card| Orders.masked(card) }
  end

  def order(*lines)
    lines = lines.map { |item, n, cents| Orders::Line.new(item, n.to_i, cents.to_i) }
    Orders::Order.new(1, Orders::CARDS[0], "EUR", lines)
  end
end
