# frozen_string_literal: true

# Orders that say what happens to them, as in ../../src/orders in Rust: `stock.reserved` fast, for
# figures that are live in this process; `order.shipped` durable, for mails of which none may be
# missing; `payment.processed` and `payment.failed` broadcast, for both.
#
#   DATABASE_URL=postgres://… ruby -I worker/ruby/lib examples/orders/ruby/orders.rb
#
# An orchestrator must run: `tasker up --no-worker` in another terminal.

require "pg"
require "pgtasker"
require "securerandom"
require "yaml"

# The example.
module Orders
  # The template's, and so its queues'.
  NAMESPACE = "orders"
  TEMPLATE = File.expand_path("../../templates/orders.yaml", __dir__)
end

require_relative "order"
require_relative "handlers"
require_relative "listeners"
require_relative "expected"

module Orders
  module_function

  # Creates the tables and applies the template; does nothing where they are there.
  def install(connection)
    connection.set_notice_processor { nil }
    connection.transaction { connection.exec(File.read("#{Books::SQL}/schema.sql")) }
    Tasker::Client.new(connection).apply_template(YAML.safe_load_file(TEMPLATE))
  end

  # Enqueues a task for each order; `run` becomes their correlation id, which every event of theirs
  # carries.
  # @return [Array<String>] the tasks
  def place(connection, run, orders)
    client = Tasker::Client.new(connection)
    orders.map { |order| client.enqueue_task(NAMESPACE, "order", order, correlation_id: run) }
  end

  # @return [Integer] how many of the tasks have completed, once all have ended
  def settle(connection, tasks, seconds: 60)
    client = Tasker::Client.new(connection)
    states = -> { tasks.map { |task| client.task_status(task)["state"] } }
    wait("the tasks", seconds) { (states.call - %w[complete blocked_by_failures]).empty? }
    states.call.count("complete")
  end

  def wait(what, seconds)
    now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    give_up = now.call + seconds
    until yield
      raise "waited #{seconds} s for #{what}" if now.call > give_up

      sleep 0.02
    end
  end
end

if $PROGRAM_NAME == __FILE__
  db = PG.connect(ENV.fetch("DATABASE_URL"))
  Orders.install(db)
  run = SecureRandom.uuid
  worker = Orders.worker
  live = Orders::Live.new(worker, run)
  worker.start
  books = Orders::Books.new(PG.connect(ENV.fetch("DATABASE_URL")))
  consumer = books.consumer.start
  orders = Orders.orders(1..12)
  complete = Orders.settle(db, Orders.place(db, run, orders))
  Orders.wait("the events", 60) { books.waiting(run).zero? }
  [consumer, worker].each(&:stop)

  puts "Reserved: #{live.reserved}", "Paid: #{live.paid}", "Cards refused: #{live.refused}"
  puts "Booked: #{books.read(run)[:paid]}"
  books.read(run)[:mails].each { |order, subject| puts "Mail about order #{order}: #{subject}" }
  books.refused(run).each { |order, event, why| puts "Order #{order}, #{event}: #{why}" }
  expected = Orders::Expected.new(orders)
  same = [complete, live.reserved, books.read(run)[:mails]] ==
         [expected.complete, expected.reserved, expected.mails]
  abort "the events and plain Ruby disagree" unless same
  puts "All of it is as computed from the orders in plain Ruby."
end
